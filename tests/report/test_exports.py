"""What is taken along: the trace is one, commands run, pictures and report have the numbers, bytes repeat."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ET
from html import escape
from pathlib import Path
from typing import Any

import pytest

from aggsim import service
from aggsim.parameters import LinearLaw
from aggsim.planning.evaluation import Evaluation
from aggsim.report import charts, load_charts, tables, titles
from aggsim.report.export_chart import file_stem, named_svg, png, svg
from aggsim.report.export_code import command_line, python_snippet
from aggsim.report.export_html import Reported, report_html
from aggsim.report.export_trace import trace, trace_json
from aggsim.report.format import number
from aggsim.report.json_form import evaluation_text
from aggsim.report.load_tables import time_rows
from aggsim.report.theme import DARK, LIGHT
from aggsim.report.tiles import tiles
from aggsim.report.timeline_charts import overview_chart
from aggsim.report.timeline_tables import overview, steps_frame
from aggsim.report.words import assumptions
from aggsim.scenario import Scenario
from aggsim.service_own import find_model, own_model
from aggsim.share import encode
from tests.trace_format import problems

ROOT = Path(__file__).parent.parent.parent
LAW = LinearLaw(fixed_s=0.008, per_token_s=5e-6, per_token_ctx_s=1e-11, per_ctx_s=6e-8, memory_gib=20, gib_per_ctx=1e-5)
SCENARIOS = {
    "wave": Scenario(batch=16, engine="analytic"),
    "chunks": Scenario(input=20_000, max_batched_tokens=8192, batch=16, engine="analytic"),
    "experts": Scenario(model="Qwen/Qwen3-30B-A3B", tp=4, ep=8, batch=8, timing="stepped", mtp=1, engine="analytic"),
    "law": Scenario(engine="linear", law=LAW, batch=8),
    "does not fit": Scenario(device="L40S_48G", devices=1, batch=1, engine="analytic"),
    "arrivals": Scenario(engine="analytic", arrival="closed", users=8, input=500, output=60, seeds=1),
    "too many": Scenario(engine="linear", law=LAW, batch=100_000, output=4),
}


@pytest.fixture(params=SCENARIOS.values(), ids=SCENARIOS)
def evaluation(request: pytest.FixtureRequest) -> Evaluation:
    return service.evaluate(request.param)


def test_the_trace_is_one(evaluation: Evaluation) -> None:
    text = trace_json(evaluation)
    assert problems(text) == []
    assert trace_json(evaluation) == text


def test_the_trace_has_every_step_and_every_request() -> None:
    evaluation = service.evaluate(SCENARIOS["chunks"])
    timeline = evaluation.run.timeline
    slices = [event for event in trace(evaluation)["traceEvents"] if event["ph"] == "X"]
    steps, prefill, decode = ([s for s in slices if s["tid"] == lane] for lane in (1, 2, 3))
    assert sum(s["args"]["steps"] for s in steps) == timeline.num_steps
    assert sum(s["dur"] for s in steps) == pytest.approx(timeline.end_s * 1e6)
    assert [s["args"]["requests"] for s in prefill] == [
        s.prefill_requests for s in timeline.steps if s.prefill_requests
    ]
    assert [s["args"]["requests"] for s in decode] == [s.decode_requests for s in timeline.steps if s.decode_requests]
    queued = [e["args"]["waiting"] for e in trace(evaluation)["traceEvents"] if e["ph"] == "C"]
    assert queued == [*(s.waiting for s in timeline.steps), 0]


@pytest.mark.parametrize(
    "spoiled",
    [
        {"ts": -1},
        {"ts": "1"},
        {"dur": float("nan")},
        {"pid": "one"},
        {"tid": True},
        {"ph": "Z"},
        {"name": ""},
        {"args": []},
        {"extra": 1},
        {"tid": 99},
    ],
    ids=str,
)
def test_a_spoiled_trace_is_seen(spoiled: dict[str, Any]) -> None:
    spec = trace(service.evaluate(SCENARIOS["chunks"]))
    first = next(event for event in spec["traceEvents"] if event["ph"] == "X")
    first.update(spoiled)
    assert problems(json.dumps(spec))


def test_slices_that_overlap_are_seen() -> None:
    spec = trace(service.evaluate(SCENARIOS["chunks"]))
    first = next(event for event in spec["traceEvents"] if event["ph"] == "X")
    first["dur"] *= 1.5
    assert problems(json.dumps(spec)) == ["step 2 overlaps the slice before it"]


def test_a_report_of_a_load_has_its_percentiles_and_no_timeline_of_a_burst() -> None:
    evaluation = service.evaluate(SCENARIOS["arrivals"])
    load = evaluation.load
    assert load is not None
    page = report_html([Reported(evaluation=evaluation)])
    for row in time_rows(load):
        assert all(f">{cell}<" in page for cell in row.cells)
    assert load_charts.queue_chart(load, LIGHT).to_dict()["title"]["text"] in page
    assert "Overview of the run" not in page
    assert "Overview of the run" in report_html([Reported(evaluation=service.evaluate(SCENARIOS["chunks"]))])


def printed(code: list[str]) -> str:
    done = subprocess.run(code, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["experts", "law"])
@pytest.mark.parametrize("complete", [False, True])
def test_the_command_line_prints_the_same_json(name: str, complete: bool) -> None:
    evaluation = service.evaluate(SCENARIOS[name])
    scenario = evaluation.scenario if complete else evaluation.asked
    command = shlex.split(command_line(scenario, complete=complete))
    assert command[:2] == ["python", "-m"]
    assert printed([sys.executable, *command[1:], "--json"]) == evaluation_text(evaluation)


@pytest.mark.parametrize("name", ["experts", "law"])
@pytest.mark.parametrize("complete", [False, True])
def test_the_python_prints_the_same_numbers(name: str, complete: bool) -> None:
    evaluation = service.evaluate(SCENARIOS[name])
    scenario = evaluation.scenario if complete else evaluation.asked
    lines = printed([sys.executable, "-c", python_snippet(scenario, complete=complete)]).splitlines()
    assert dict(line.rsplit(" ", 1) for line in lines) == {
        "TTFT (s)": repr(evaluation.ttft_s),
        "TPOT (s)": repr(evaluation.tpot_s),
        "output tokens/s": repr(evaluation.output_tokens_per_s),
        "prompt tokens/s": repr(evaluation.prompt_tokens_per_s),
        "requests/s": repr(evaluation.requests_per_s),
    }


def test_a_field_with_odd_text_stays_one_argument_and_one_literal() -> None:
    scenario = Scenario(model="o'dd\" $(x) `y` \\ !z, a=b")
    for complete in (False, True):
        assert len(shlex.split(command_line(scenario, complete=complete))) == 5
        assert not set("$`\\!'") & set(command_line(scenario, complete=complete))
        found: dict[str, Any] = {"Scenario": Scenario, "LinearLaw": LinearLaw}
        code = python_snippet(scenario, complete=complete)
        exec(code[code.index("scenario =") : code.index("answer =")], found)
        assert found["scenario"] == scenario


def chart_of(evaluation: Evaluation) -> Any:
    frame = tables.operators(evaluation.decode)  # type: ignore[arg-type]
    return charts.operators_chart(frame, LIGHT, "Decode operators", titles.operators("Decode", evaluation.decode))  # type: ignore[arg-type]


def test_pictures_show_the_chart() -> None:
    evaluation = service.evaluate(SCENARIOS["wave"])
    chart = chart_of(evaluation)
    text = svg(chart, LIGHT)
    assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    for label in tables.operators(evaluation.decode)["label"]:  # type: ignore[arg-type]
        assert label in text
    assert f'fill="{LIGHT.surface}"'.lower() in text.lower()
    assert f'fill="{DARK.surface}"'.lower() in svg(chart, DARK).lower()
    assert png(chart, LIGHT).startswith(b"\x89PNG\r\n")
    assert file_stem(chart) == "aggsim-decode-operators"


def test_pictures_are_the_same_bytes_whatever_was_drawn_before() -> None:
    evaluation = service.evaluate(SCENARIOS["chunks"])
    chart = overview_chart(overview(steps_frame(evaluation.run.timeline)), LIGHT, "run", (0.0, 1.0))
    first, pixels = svg(chart, LIGHT), png(chart, LIGHT)
    svg(chart_of(evaluation), LIGHT)
    assert (svg(chart, LIGHT), png(chart, LIGHT)) == (first, pixels)


def test_ids_of_pictures_in_one_page_do_not_meet() -> None:
    evaluation = service.evaluate(SCENARIOS["chunks"])
    chart = overview_chart(overview(steps_frame(evaluation.run.timeline)), LIGHT, "run", (0.0, 1.0))
    ids = [set(re.findall(r'\bid="([^"]+)"', named_svg(chart, LIGHT, name, 400))) for name in ("a", "b")]
    assert not ids[0] & ids[1]
    for found, name in zip(ids, ("a", "b"), strict=True):
        assert set(re.findall(r"url\(#([^)]+)\)", named_svg(chart, LIGHT, name, 400))) <= found


def test_the_report_has_the_numbers_charts_assumptions_sources_and_the_link(evaluation: Evaluation) -> None:
    link = f"https://aggsim.example.org/?{encode(evaluation.scenario)}"
    device = service.devices()[evaluation.scenario.device]
    page = report_html([Reported(evaluation=evaluation, link=link, device=device)])
    for tile in tiles(evaluation):
        assert f">{tile.value}<" in page
    assert page.count("<svg ") >= 2
    for words in ("Assumptions", "What the model leaves out", "Sources", *assumptions(evaluation), device.device_id):
        assert escape(words) in page
    assert link.replace("&", "&amp;") in page
    assert command_line(evaluation.scenario, complete=True).replace("&", "&amp;").replace('"', "&quot;") in page
    assert page == report_html([Reported(evaluation=evaluation, link=link, device=device)])


def test_the_report_loads_nothing(evaluation: Evaluation) -> None:
    page = report_html([Reported(evaluation=evaluation, link="https://aggsim.example.org/?v=1")])
    assert "default-src 'none'" in page
    tags = ("<script", "<link", "<img", "<iframe", "<object", "<embed", "@import", " src=")
    assert [tag for tag in tags if tag in page] == []
    assert not re.search(r"url\((?!#)", page)
    assert not re.search(r'href="(?!#|https://aggsim\.example\.org/)', page)


def test_a_comparison_says_what_differs_and_by_how_much() -> None:
    one, other = (service.evaluate(Scenario(tp=tp, batch=8, engine="analytic")) for tp in (8, 4))
    page = report_html([Reported(evaluation=one, name="now"), Reported(evaluation=other, name="then")])
    differ = page[page.index("Inputs that differ") : page.index("<h2>now")]
    assert "Tensor parallel (TP)" in differ
    assert "Input length" not in differ
    assert "Input length" in page[page.index("Inputs that are the same") :]
    share = 100 * (other.output_tokens_per_s / one.output_tokens_per_s - 1)
    assert f"({'+' if share > 0 else '−'}{number(abs(share), 2)}%)" in page
    assert page.count("All 8 requests arrive at once") == 1
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_text_of_users_is_shown_not_interpreted() -> None:
    evaluation = service.evaluate(SCENARIOS["wave"])
    odd = '<script>alert("x")</script>'
    page = report_html(
        [Reported(evaluation=evaluation, name=odd, link=f"javascript:{odd}"), Reported(evaluation=evaluation)], odd
    )
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 3
    assert 'href="javascript' not in page


def test_a_report_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        report_html([])


def test_an_own_model_is_named_and_travels_in_the_commands() -> None:
    config = (ROOT / "aggsim/models/data/Qwen--Qwen3-0.6B.json").read_text()
    scenario = Scenario(model=own_model(config, "my-model"), engine="analytic", batch=4, devices=1)
    evaluation = service.evaluate(scenario)
    page = report_html([Reported(evaluation=evaluation, model=find_model(scenario.model))])
    assert "my-model" in page
    assert scenario.model not in re.sub(r"<pre>.*?</pre>", "", page, flags=re.DOTALL)
    assert scenario.model in python_snippet(scenario)
    command = shlex.split(command_line(scenario))
    assert printed([sys.executable, *command[1:], "--json"]) == evaluation_text(evaluation)
