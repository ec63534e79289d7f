"""The Accuracy page."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aggsim.engines.silicon_tables import availability
from aggsim.errors import EngineError
from aggsim.planning import measurements
from tests.pages.conftest import App


@pytest.mark.skipif(availability() is not None, reason="the measurements are part of aiconfigurator-core")
def test_it_shows_the_claim_the_chart_and_the_tables(open_app: Callable[..., App]) -> None:
    app = open_app("engine=analytic", "accuracy")
    assert "measurements that no parameter was fitted on" in app.html
    assert any("No blind test" in caption.value for caption in app.test.caption)
    assert len(app.charts) == 1
    errors, parts, worst, suspects = app.test.dataframe
    assert list(errors.value["Engine"])[:2] == ["silicon", "analytic"]
    assert len(errors.value) == 6
    assert parts.value["Rows"].sum() == 1306
    assert worst.value["Plan"].str.startswith("/?").all()
    assert len(suspects.value) == 79


@pytest.mark.skipif(availability() is not None, reason="the measurements are part of aiconfigurator-core")
def test_plan_says_what_measurements_say(open_app: Callable[..., App]) -> None:
    known = "engine=analytic&batch=16&device=H200_SXM_141G&model=meta-llama/Meta-Llama-3.1-70B&tp=8"
    said = [caption.value for caption in open_app(known).test.caption]
    assert any("closed-loop benchmarks" in text and "nearest: meta-llama/Llama-3.1-70B" in text for text in said)
    unknown = open_app("engine=analytic&batch=16&device=TEST_DEVICE")
    assert not any("easured accuracy" in caption.value for caption in unknown.test.caption)


def test_without_measurements_it_says_so(open_app: Callable[..., App], monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise EngineError("silicon", "the measurements are part of aiconfigurator-core, which is not installed")

    monkeypatch.setattr(measurements, "load_measurements", missing)
    app = open_app("engine=analytic", "accuracy")
    assert app.charts == []
    assert "not installed" in app.test.info[0].value
