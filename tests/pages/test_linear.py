"""The law of engine linear on the Plan page: typed, pasted, fitted; the link carries it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aggsim.engines.linear import LinearForward
from aggsim.forward.batch import RequestGroup
from aggsim.report.law_words import law_words
from aggsim.scenario import PARAMETER, LinearLaw
from aggsim.share_law import law_toml
from tests.pages.conftest import App

Open = Callable[..., App]

LAW = LinearLaw(
    fixed_s=0.0078125, per_token_s=5.3e-6, per_token_ctx_s=5e-12, per_ctx_s=5.9e-8, memory_gib=60.0, gib_per_ctx=3e-5
)
QUERY = f"engine=linear&batch=16&law={PARAMETER['law'].format(LAW)}"


def csv_text(*more: str) -> str:
    forward = LinearForward(law=LAW, dp=1)
    lines = ["phase,requests,query_len,seq_len,latency_ms"]
    for phase, n, q, s in (
        *(("prefill", n, q, q) for n in (1, 4) for q in (512, 4096)),
        *(("decode", n, 1, s) for n in (1, 64) for s in (1000, 8000)),
    ):
        group = RequestGroup(num_requests=n, query_len=q, seq_len=s, is_decode=phase == "decode")
        lines.append(f"{phase},{n},{q},{s},{forward.cost((group,)).latency_s * 1000!r}")
    return "\n".join((*lines, *more))


def write(app: App, key: str, text: str) -> None:
    next(area for area in app.test.text_area if area.key == key).set_value(text)
    app.run()


def press(app: App, key: str) -> None:
    next(button for button in app.test.button if button.key == key).click()
    app.run()


def said(app: App) -> str:
    kinds = (app.test.caption, app.test.markdown, app.test.error, app.test.warning)
    return "\n".join(element.value for kind in kinds for element in kind).replace("\\", "")


def law_of(app: App) -> LinearLaw:
    law: LinearLaw = PARAMETER["law"].parse(app.address["law"])
    return law


def test_only_engine_linear_has_a_law(open_app: Open) -> None:
    app = open_app("engine=analytic&batch=16")
    assert not [expander for expander in app.test.expander if "aw" in expander.label.partition(":")[0]]


def test_without_a_law_the_panel_offers_one_to_start_from(open_app: Open) -> None:
    app = open_app("device=MI300X_192G&batch=16")
    app.enter("engine", "linear")
    (panel,) = [expander for expander in app.test.expander if "needs a law" in expander.label]
    assert panel.proto.expanded
    assert "closest to 21 passes as engine analytic prices them" in said(app)
    assert "engine" not in app.address
    press(app, "law_use_typed")
    assert app.address["engine"] == "linear"
    assert law_of(app).memory_gib > 100
    assert "■&nbsp;fitted" in app.html
    (panel,) = [expander for expander in app.test.expander if expander.label.startswith("Law")]
    assert not panel.proto.expanded


def test_typing_a_coefficient_changes_only_that(open_app: Open) -> None:
    app = open_app(QUERY)
    (field,) = [widget for widget in app.test.number_input if widget.key == "law_fixed_s"]
    assert field.value == 7.8125
    field.set_value(9.5)
    press(app, "law_use_typed")
    assert law_of(app) == LinearLaw(
        fixed_s=0.0095, per_token_s=5.3e-6, per_token_ctx_s=5e-12, per_ctx_s=5.9e-8, memory_gib=60, gib_per_ctx=3e-5
    )


def test_a_law_that_takes_no_time_is_refused_and_the_old_one_stays(open_app: Open) -> None:
    app = open_app(QUERY)
    for widget in app.test.number_input:
        if widget.key in ("law_fixed_s", "law_per_token_s", "law_per_token_ctx_s", "law_per_ctx_s"):
            widget.set_value(0.0)
    press(app, "law_use_typed")
    assert "a step that takes no time" in said(app)
    assert law_of(app) == LAW


def test_a_pasted_toml_becomes_the_law(open_app: Open) -> None:
    app = open_app("engine=linear&batch=16&law=fixed_s:0.02,memory_gib:60")
    write(app, "law_toml_text", law_toml(LAW))
    assert law_words(LAW) in said(app)
    press(app, "law_use_toml")
    assert law_of(app) == LAW


def test_a_bad_toml_is_named_and_cannot_be_used(open_app: Open) -> None:
    app = open_app(QUERY)
    write(app, "law_toml_text", "per_step = 3")
    assert "an unknown name, per_step" in said(app)
    assert next(button for button in app.test.button if button.key == "law_use_toml").disabled
    assert law_of(app) == LAW


def test_measurements_are_fitted_shown_and_used(open_app: Open) -> None:
    app = open_app("engine=linear&batch=16&law=fixed_s:0.02,memory_gib:60,gib_per_ctx:3e-05")
    write(app, "law_csv_text", csv_text("decode,1,1,0,5"))
    assert "1 row of 9 left out" in said(app)
    assert "line 10, seq_len: " in said(app)
    assert "R² 1" in said(app)
    assert any(chart.startswith("Residuals of the law: Half of the 8 rows") for chart in app.charts)
    worst = next(frame.value for frame in app.test.dataframe if "law_ms" in frame.value.columns)
    assert len(worst) == 5
    press(app, "law_use_fit")
    found = law_of(app)
    assert found.fixed_s == pytest.approx(LAW.fixed_s, rel=1e-5)
    assert (found.memory_gib, found.gib_per_ctx) == (60, 3e-5)
    assert app.warnings.count("left out") == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [("hello", "seq_len"), (csv_text().splitlines()[0], "at least 5"), ("a,b\n1,2", "phase is missing")],
)
def test_what_cannot_be_fitted_is_one_sentence(open_app: Open, text: str, words: str) -> None:
    app = open_app(QUERY)
    write(app, "law_csv_text", text)
    assert words in said(app)
    assert law_of(app) == LAW
