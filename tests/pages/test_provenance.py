"""On screen: who answered, why nobody better, and where each figure is from."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aggsim import service
from aggsim.engines.silicon_tables import availability
from aggsim.report.provenance import source_words
from aggsim.scenario import Scenario
from tests.pages.conftest import App

Open = Callable[..., App]
needs_package = pytest.mark.skipif(availability() is not None, reason=availability() or "")

COVERED = "device=H100_SXM_80G&batch=16"
NOT_MEASURED = f"{COVERED}&linear=w8a8_dynamic"


def told(html: str) -> str:
    """Without the marks and the hover texts."""
    text = html[html.index('<div class="aggsim-evidence">') :]
    parts = [part.partition(">")[2] for part in text.split("<")]
    words = "".join(parts)
    for mark in "●◆▲■":
        words = words.replace(f"{mark}&nbsp;", "")
    return words


def foot(app: App) -> str:
    return "\n".join(caption.value for caption in app.test.caption).replace("\\", "")


@needs_package
@pytest.mark.parametrize(("page", "does"), [("plan", "Priced by silicon"), ("timeline", "Steps priced by silicon")])
def test_the_engine_and_its_shares_are_on_screen(open_app: Open, page: str, does: str) -> None:
    app = open_app(COVERED, page)
    answer = service.evaluate(Scenario(device="H100_SXM_80G", batch=16))
    words = told(app.html)
    assert does in words
    assert ", chosen by auto" in words
    assert answer.decode is not None
    assert answer.prefill is not None
    for name, cost in (("decode", answer.decode), ("prefill", answer.prefill)):
        assert source_words(name, cost).replace("<", "&lt;").replace(">", "&gt;") in words
    assert "●&nbsp;measured" in app.html
    assert "could not" not in app.html
    assert f"{answer.engine.version}, chosen by auto" in foot(app)


@needs_package
@pytest.mark.parametrize("page", ["plan", "timeline", "method"])
def test_falling_back_is_said_with_the_reason_once(open_app: Open, page: str) -> None:
    app = open_app(NOT_MEASURED, page)
    reason = "silicon could not (vllm 0.24.0 on h100_sxm: qkv gemm was not measured"
    assert reason in foot(app)
    assert app.html.count(reason) == (0 if page == "method" else 1)
    if page != "method":
        assert f"⚠ Engine analytic answered: {reason}" in app.html
        assert "All decode time is computed" in told(app.html)


@needs_package
def test_operators_are_coloured_by_what_bounds_them_or_by_source(open_app: Open) -> None:
    app = open_app(COVERED)
    assert any("coloured by what bounds each operator" in chart for chart in app.charts)
    switch = next(group for group in app.test.segmented_control if group.key == "plan_colour_by")
    switch.set_value("Source")
    app.run()
    operators = [chart for chart in app.charts if "operators:" in chart]
    assert len(operators) == 2
    assert all("measured" in chart and "coloured by" not in chart for chart in operators)
    app.enter("batch", 8)
    assert all("measured" in chart for chart in app.charts if "operators:" in chart)


def test_a_named_engine_was_not_chosen_by_auto(open_app: Open) -> None:
    app = open_app("engine=analytic&batch=16")
    assert "Priced by analytic" in told(app.html)
    assert "chosen by auto" not in app.html


def test_the_operator_table_has_the_source_beside_the_bound(open_app: Open) -> None:
    app = open_app("engine=analytic&batch=16", "method")
    table = next(frame for frame in app.test.dataframe if "flop_per_byte" in frame.value.columns)
    assert set(table.value["source"]) == {"computed"}
