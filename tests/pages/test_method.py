"""The Method page in AppTest: what is on screen is the scenario's own numbers, for every kind of answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from aggsim import service
from aggsim.planning.evaluation import Evaluation
from aggsim.report import method_tables
from aggsim.report.derivation import FOLLOWED
from aggsim.report.format import duration
from aggsim.report.glossary import GLOSSARY
from aggsim.scenario import Scenario
from aggsim.share import decode
from aggsim.ui import method_view
from tests.pages.conftest import App

Open = Callable[..., App]

ANALYTIC = "engine=analytic&batch=16"
LAW = "engine=linear&law=fixed_s:0.008,per_token_s:5e-06,memory_gib:20&batch=8"
CHUNKED = "engine=analytic&input=20000&max_batched_tokens=8192&batch=16"


def answer_of(query: str) -> Evaluation:
    return service.evaluate(decode(query).scenario)


def choose(app: App, key: str, value: str) -> None:
    kinds = (app.test.segmented_control, app.test.radio, app.test.text_input)
    next(widget for kind in kinds for widget in kind if widget.key == key).set_value(value)
    app.run()


@pytest.mark.parametrize(
    "query",
    [
        "",
        ANALYTIC,
        CHUNKED,
        LAW,
        "engine=analytic&model=deepseek-ai/DeepSeek-V3&devices=16&mtp=1",
        "engine=analytic&device=ATLAS_800_A3_752T_128G_DIE&pp=2&batch=4",
        "engine=analytic&model=meta-llama/Meta-Llama-3.1-70B&device=L40S_48G&devices=1&batch=1",
        "output=1&timing=stepped&batch=4&engine=analytic",
        "rules=seed&batch=8",
    ],
)
def test_every_kind_of_answer_is_derived(open_app: Open, query: str) -> None:
    app, answer = open_app(query, "method"), answer_of(query)
    for followed in FOLLOWED:
        choose(app, "method_follow", followed)
        assert '<ol class="aggsim-rungs">' in app.html
    choose(app, "method_follow", "TTFT")
    assert f'<div class="value">{duration(answer.ttft_s)}</div>' in app.html
    for name in app.test.radio[0].options:
        choose(app, "method_pass", name)
        cost = {"Prefill": answer.prefill, "Decode": answer.decode}[name]
        assert cost is not None
        frame = app.test.dataframe[0].value
        assert frame["ms"].iloc[0] == pytest.approx(cost.latency_s * 1e3)
        assert len(frame) == len(cost.ops) + 1


def test_tpot_of_the_tile_is_followed_to_one_call(open_app: Open) -> None:
    app, answer = open_app(ANALYTIC, "method"), answer_of(ANALYTIC)
    assert answer.decode is not None
    longest = method_tables.ranked(answer.decode)[0]
    values = [duration(answer.tpot_s), duration(answer.decode.latency_s), duration(longest.total_s)]
    places = [app.html.index(f'<div class="value">{value}</div>') for value in values]
    assert places == sorted(places)


def test_the_roofline_and_what_is_beside_it(open_app: Open) -> None:
    app = open_app(ANALYTIC, "method")
    names = [chart.partition(":")[0] for chart in app.charts]
    assert names == ["Decode roofline", "Decode operators without FLOPs"]
    choose(app, "method_pass", "Prefill")
    assert app.charts[0].startswith("Prefill roofline: Prefill: ")


def test_where_no_flops_are_reported_the_roofline_is_the_analytic_one(
    open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With passes that tell times only, as those of measured tables do."""
    monkeypatch.setattr(method_tables, "reports_work", lambda _: False)
    app = open_app(ANALYTIC, "method")
    assert app.charts[0].startswith("Decode (analytic) roofline: ")
    assert any("reports times only" in caption.value for caption in app.test.caption)


def test_a_law_has_no_roofline_and_says_so(open_app: Open) -> None:
    app = open_app(LAW, "method")
    assert app.charts == []
    assert any("no roofline" in info.value for info in app.test.info)
    assert app.test.dataframe[0].value["flop_per_byte"].isna().all()


def test_a_stand_in_is_the_same_deployment_or_none() -> None:
    answer = answer_of(ANALYTIC)
    same = method_view.priced_by_analytic(answer)
    assert same is not None
    assert (same.layout, same.run.batch_size) == (answer.layout, answer.run.batch_size)
    assert method_view.priced_by_analytic(answer_of(LAW)) is None
    odd = dataclasses.replace(answer, scenario=answer.scenario.replace(model="nobody/knows"))
    assert method_view.priced_by_analytic(odd) is None


def test_rules_limits_and_sources_are_there(open_app: Open) -> None:
    app = open_app(CHUNKED, "method")
    assert [tab.label for tab in app.test.tabs] == ["Rules", "Known limits", "Sources", "Glossary"]
    for words in ("Wave<span>not in this answer</span>", "<dt>Stepped</dt>", "No causal halving", "causal_prefill"):
        assert words in app.html
    assert "174 forward passes" in app.html
    assert "NVIDIA H200 data sheet" in app.html


def test_the_glossary_can_be_searched(open_app: Open) -> None:
    app = open_app(ANALYTIC, "method")
    assert app.html.count("<dt>") > len(GLOSSARY)
    choose(app, "method_glossary", "latency token")
    assert "inter-token latency" in app.html
    assert "Pareto frontier" not in app.html
    choose(app, "method_glossary", "<b>no such</b>")
    assert any(caption.value == "No term says that." for caption in app.test.caption)
    assert "<b>no such" not in app.html


def test_a_stale_page_keeps_its_derivation(open_app: Open) -> None:
    app = open_app(ANALYTIC, "method")
    before = app.html.count('<div class="value">')
    app.enter("output", 0)
    assert "Showing the last valid scenario" in app.warnings
    assert app.html.count('<div class="value">') == before
    assert app.address["batch"] == "16"


def test_what_is_followed_survives_a_change_of_the_scenario(open_app: Open) -> None:
    app = open_app(ANALYTIC, "method")
    choose(app, "method_follow", "Memory left")
    app.enter("batch", 8)
    assert "At the last token" in app.html
    assert service.evaluate(Scenario(engine="analytic", batch=8)).run.batch_size == 8
