"""The panel of engines on Plan: asked only when opened, and never a traceback."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from aggsim.engines.silicon_tables import availability
from aggsim.ui import engines_view
from tests.pages.conftest import App

Open = Callable[..., App]
CHART = "Engines compared"


def opened(app: App, seconds: float = 20.0) -> App:
    """The panel unfolded, when every engine has answered (AppTest does not poll)."""
    app.test.session_state[engines_view.PANEL] = True
    end = time.monotonic() + seconds
    app.run()
    while any("Asking" in caption.value for caption in app.test.caption) and time.monotonic() < end:
        time.sleep(0.2)
        app.run()
    return app


def texts(app: App) -> str:
    return "\n".join(element.value for kind in (app.test.markdown, app.test.caption) for element in kind).replace(
        "\\", ""
    )


def test_nothing_is_asked_before_the_panel_is_open(open_app: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(engines_view, "ask_engine", lambda name, _: asked.append(name))
    app = open_app("batch=16&engine=analytic")
    assert asked == []
    assert not any(chart.startswith(CHART) for chart in app.all_charts)


def test_engines_without_an_answer_are_listed(open_app: Open) -> None:
    app = opened(open_app("device=TEST_DEVICE&batch=16&engine=analytic"))
    assert "analytic stands alone at batch 16" in texts(app)
    assert "linear: it needs a law of your own" in texts(app)
    assert not any(chart.startswith(CHART) for chart in app.all_charts)


@pytest.mark.skipif(availability() is not None, reason=availability() or "")
def test_measured_tables_are_laid_beside_the_roofline(open_app: Open) -> None:
    app = opened(open_app("batch=16&engine=analytic"))
    (chart,) = [chart for chart in app.all_charts if chart.startswith(CHART)]
    assert chart.startswith(f"{CHART}: Decode: silicon is ")
    assert "<td>silicon</td>" in app.html
    phase = next(group for group in app.test.button_group if group.key == "engines-phase")
    phase.set_value("prefill")
    app.run()
    (chart,) = [chart for chart in app.all_charts if chart.startswith(CHART)]
    assert chart.startswith(f"{CHART}: Prefill: silicon is ")


def test_a_law_is_compared_with_what_knows_the_model(open_app: Open) -> None:
    law = "law=fixed_s:0.01,per_token_s:1e-05,per_ctx_s:2e-08,memory_gib:40"
    app = opened(open_app(f"device=TEST_DEVICE&batch=4&engine=linear&{law}"))
    assert "analytic" in texts(app)
    assert "<td>analytic</td>" in app.html


@pytest.mark.skipif(availability() is not None, reason=availability() or "")
def test_models_and_devices_of_the_package_can_be_chosen(open_app: Open) -> None:
    app = open_app("model=Qwen/Qwen3-30B-A3B-FP8&device=GB300_288G&batch=8")
    assert app.warnings == ""
    assert "Qwen3-30B-A3B-FP8 · 8 × GB300 288G" in app.html
    assert app.address["device"] == "GB300_288G"
    refused = open_app("model=deepseek-ai/DeepSeek-V4-Pro")
    assert "a model that aggsim understands (DeepseekV4ForCausalLM: model_type" in refused.warnings
