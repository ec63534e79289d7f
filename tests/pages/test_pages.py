"""Both pages in AppTest: no link and no field may end in a traceback, and what is on screen is what was computed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aggsim import service
from aggsim.parameters_load import USED_BY
from aggsim.report.format import number
from aggsim.scenario import PARAMETERS, Parameter, Scenario
from aggsim.share import decode, encode
from tests.pages.conftest import App

Open = Callable[..., App]

PAGES = ("plan", "timeline")
MOE = "Qwen/Qwen3-30B-A3B"
LAW = (
    "engine=linear&law=fixed_s:0.008,per_token_s:5e-06,per_token_ctx_s:1e-11,per_ctx_s:6e-08,"
    "memory_gib:20,gib_per_ctx:1e-05"
)
CHUNKED = "input=20000&max_batched_tokens=8192&batch=16"


def test_the_first_screen_answers_the_default_scenario(open_app: Open) -> None:
    app, answer = open_app(), service.evaluate(Scenario())
    assert f"at batch {number(answer.run.batch_size)}" in app.html
    assert number(answer.output_tokens_per_s) in app.html
    assert [chart.partition(":")[0] for chart in app.charts] == [
        "Where the time goes",
        "Memory of a device",
        "Prefill operators",
        "Decode operators",
    ]
    assert app.address == {}
    assert app.warnings == ""


def test_the_timeline_of_a_wave_says_that_it_is_assumed(open_app: Open) -> None:
    app = open_app("batch=16", "timeline")
    assert "Assumed, not simulated" in app.html
    assert "1 prefill chunk per prompt" in app.html
    assert len(app.charts) == 3


def test_the_timeline_of_chunks_says_how_steps_mix(open_app: Open) -> None:
    app = open_app(CHUNKED, "timeline")
    assert "3 prefill chunks per prompt" in app.html
    assert "steps mix both" in app.html
    assert app.address == {"input": "20000", "max_batched_tokens": "8192", "batch": "16"}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("parameter", [p for p in PARAMETERS if p.choices], ids=lambda p: p.key)
def test_every_choice_is_answered_or_explained(open_app: Open, parameter: Parameter, page: str) -> None:
    arrival = USED_BY.get(parameter.key, ("burst",))[0]
    app = open_app(f"model={MOE}&batch=4&output=64&rate=2&seeds=1&arrival={arrival}", page)
    for choice in parameter.choices:
        app.enter(parameter.key, None if choice == "auto" else choice)
        explained = "Showing the last valid scenario" in app.warnings
        assert explained or app.address.get(parameter.key, parameter.default or "auto") == choice


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("devices=8.5", ["devices", "8.5", "whole number from 1 to 4,096"]),
        ("tp=3", ["tp", "3", "1, 2, 4, 8"]),
        ("attention=fp7", ["attention", "fp7", "none, int8, fp8"]),
        ("model=nobody/nothing", ["model", "nobody/nothing", "an id in the catalog"]),
        ("device=H200", ["device", "H200", "H200_SXM_141G"]),
        ("output=", ["output", "whole number"]),
        ("prefix_hit=1", ["prefix_hit", "1", "to below 1"]),
        ("mtp_rates=2", ["mtp_rates", "2", "from 0 to 1"]),
        ("law=fixed_s:1", ["law", "linear"]),
        ("engine=linear", ["engine", "linear", "law"]),
        ("reserved_gib=5000", ["reserved_gib", "5000", "140"]),
        ("devices=4096&device=TEST_DEVICE&engine=tensor_cast", ["devices", "4096", "engine", "tensor_cast"]),
        ("v=99", ["v", "99", "1"]),
        ("tp=2&tp=nan", ["tp", "nan"]),
        ("colour=red", ["unknown", "colour"]),
    ],
)
@pytest.mark.parametrize("page", PAGES)
def test_a_bad_value_in_a_link_is_told_and_the_rest_kept(
    open_app: Open, query: str, names: list[str], page: str
) -> None:
    app = open_app(f"{query}&input=1234", page)
    assert "Ignored in the link" in app.warnings
    for name in names:
        assert name in app.warnings
    assert app.address["input"] == "1234"
    assert app.charts
    app.enter("input", 1235)
    assert "Ignored" not in app.warnings


@pytest.mark.parametrize(
    "query",
    [
        "input=1000000&output=1000000&batch=1",
        "output=1",
        "output=1&input=20000&max_batched_tokens=8192&batch=64",
        "input=1&output=1&batch=1",
        "batch=100000",
        "batch=2000&input=20000&max_batched_tokens=8192&output=4",
        "device=L40S_48G&devices=1",
        "devices=4096&tp=1&batch=1",
        "tpot=0.001",
        "ttft=0.001&tpot=none",
        "prefix_hit=0.999999",
        "mtp=5",
        "reserved_gib=0&max_batched_tokens=1&input=64&output=4&batch=2",
        "rules=seed&timing=stepped&batch=8",
        f"{LAW}&batch=64",
        f"{LAW}&batch=100000&output=4",
        f"model={MOE}&ep=2&tp=4&linear=w8a8_dynamic&experts=w4a8_dynamic&attention=int8",
    ],
)
@pytest.mark.parametrize("page", PAGES)
def test_extreme_scenarios_are_shown(open_app: Open, query: str, page: str) -> None:
    app = open_app(query, page)
    assert "Ignored" not in app.warnings
    assert app.address == dict(pair.split("=", 1) for pair in query.split("&"))
    answer = service.evaluate(decode(query).scenario)
    assert ("✓" in app.html) == answer.verdict.ok or page == "timeline"


def test_a_field_that_cannot_be_right_keeps_the_last_answer(open_app: Open) -> None:
    app = open_app("output=700")
    before = app.charts
    app.enter("output", 0)
    assert "✗ &quot;0&quot; is not possible; allowed: a whole number from 1 to 1,000,000" in app.html
    assert "Showing the last valid scenario" in app.warnings
    assert app.charts == before
    assert app.address == {"output": "700"}
    app.go("timeline")
    assert "Showing the last valid scenario" in app.warnings
    app.enter("output", 800)
    assert app.warnings == ""
    assert app.address == {"output": "800"}


def test_fields_that_contradict_each_other_say_so_under_the_field(open_app: Open) -> None:
    app = open_app("input=2000&tp=8")
    app.enter("devices", 4)
    assert "a divisor of devices (4): 1, 2, 4" in app.html
    app.enter("devices", 16)
    assert "not possible" not in app.html
    assert app.address == {"input": "2000", "devices": "16", "tp": "8"}


def test_the_form_says_what_auto_came_to(open_app: Open) -> None:
    app, answer = open_app(), service.evaluate(Scenario())
    placeholders = {field.key: field.placeholder for field in (*app.test.number_input, *app.test.selectbox)}
    assert placeholders["tp"] == f"auto: {answer.scenario.tp}"
    assert placeholders["batch"] == f"auto: {answer.run.batch_size}"
    assert placeholders["linear"] == "auto: fp8"
    assert placeholders["ttft"] == "none"
    assert placeholders["engine"] == f"auto: {answer.engine.name}"
    assert placeholders["timing"] == "auto: wave"
    assert any("dp 1 = 8 / (8·1)" in caption.value for caption in app.test.caption)


def test_every_field_has_a_tooltip(open_app: Open) -> None:
    app = open_app(f"model={MOE}")
    assert app.fields == {p.key for p in PARAMETERS} - {"law"} - set(USED_BY)
    assert all(
        widget.help for kind in (app.test.number_input, app.test.selectbox, app.test.text_input) for widget in kind
    )


def test_expert_fields_come_and_go_with_the_model(open_app: Open) -> None:
    app = open_app(f"model={MOE}&ep=4")
    assert {"ep", "moe_dp", "experts"} <= app.fields
    app.enter("model", "Qwen/Qwen3-8B")
    assert {"ep", "moe_dp", "experts"}.isdisjoint(app.fields)
    assert app.address == {"model": "Qwen/Qwen3-8B"}


def test_a_law_comes_and_goes_with_its_engine(open_app: Open) -> None:
    app = open_app(f"{LAW}&batch=8")
    assert "does not know what bounds a pass" in app.test.info[0].value
    app.enter("engine", None)
    assert "law" not in app.fields
    assert app.address == {"batch": "8"}
    app.enter("engine", "linear")
    assert "law" in app.fields
    assert "a law" in app.warnings


def test_the_form_follows_the_back_button(open_app: Open) -> None:
    app = open_app("output=700")
    app.enter("output", 800)
    app.test.query_params.clear()
    app.test.query_params["output"] = "700"
    app.run()
    assert app.test.session_state["output"] == 700
    app.test.query_params.clear()
    app.run()
    assert app.test.session_state["output"] == Scenario().output


def test_changing_the_page_keeps_the_form(open_app: Open) -> None:
    app = open_app("output=700&tpot=none")
    app.test.query_params.clear()  # as a click on a page's name does
    app.go("timeline")
    assert app.address == {"output": "700", "tpot": "none"}
    app.go("plan")
    assert app.address == {"output": "700", "tpot": "none"}


def test_text_of_a_link_is_shown_not_interpreted(open_app: Open) -> None:
    app = open_app("model=![x](http://example.org/x.png)&device=<b>$y$</b>&:red[z]=1")
    raw = "\n".join(warning.value for warning in app.test.warning)
    assert "![x](" not in raw
    assert "<b>" not in raw
    assert "$y$" not in raw
    assert ":red[z" not in raw
    assert "![x](http://example.org/x.png)" in app.warnings


def test_the_copied_link_is_complete_and_leads_to_the_same_answer(open_app: Open) -> None:
    app = open_app("output=700")
    link = app.test.get("bidi_component")[0].proto
    complete = encode(service.evaluate(Scenario(output=700)).scenario)
    assert complete in str(link)
    assert App(complete).charts == app.charts


def test_tables_have_the_exported_columns(open_app: Open) -> None:
    plan = open_app("batch=16").test.dataframe[0].value
    assert {"device_name", "token/s", "token/s/device", "percentage_breakdowns(d)", "parallel"} <= set(plan.columns)
    steps = open_app(CHUNKED, "timeline").test.dataframe[0].value
    assert steps["step"].iloc[0] == 1
    assert set(steps["kind"]) <= {"prefill", "mixed", "decode"}


def test_the_same_answer_on_the_command_line(open_app: Open) -> None:
    app = open_app("output=700&tp=4")
    assert app.test.code[0].value == 'python -m aggsim evaluate "tp=4&output=700"'
