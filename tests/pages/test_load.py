"""Requests that arrive, in AppTest: what each page says of them is what was simulated."""

from __future__ import annotations

import time
from collections.abc import Callable
from html import unescape

import pytest

from aggsim import service
from aggsim.planning.evaluation import Evaluation
from aggsim.report import load_tables, load_timeline_words
from aggsim.report.format import percent
from aggsim.report.load_words import steady_words
from aggsim.share import decode
from aggsim.ui import trace_upload
from tests.pages.conftest import App
from tests.pages.test_help import columns
from tests.pages.test_search import explained, press, searching

Open = Callable[..., App]
LAW = "engine=linear&law=fixed_s:0.005,per_token_s:2e-05,memory_gib:8,gib_per_ctx:0.0001"
SIZE = f"{LAW}&devices=2&tp=1&input=256&output=64&seeds=2&max_num_seqs=16&scheduler=chunked_prefill"
OPEN = f"{SIZE}&arrival=open&rate=40"
CLOSED = f"{SIZE}&arrival=closed&users=12"
TIMELINE = ["Overview of the run", "Steps of the window", "Queue in the window", "KV cache in the window",
            "Requests in the window"]  # fmt: skip


def answer(query: str) -> Evaluation:
    return service.evaluate(decode(query).scenario)


def names(charts: list[str]) -> list[str]:
    return [chart.partition(":")[0] for chart in charts]


@pytest.mark.parametrize("query", [OPEN, CLOSED, f"{SIZE}&arrival=trace&trace=0/200/10,0.5/300/20"])
def test_the_timeline_is_that_of_the_load(open_app: Open, query: str) -> None:
    app, evaluation = open_app(query, "timeline"), answer(query)
    measured = service.load_run(evaluation.scenario)
    assert load_timeline_words.headline(evaluation, measured) in unescape(app.html)
    assert "one of 2 equal replicas" in app.html
    assert names(app.charts) == TIMELINE
    [table] = app.test.dataframe
    assert [name for name, config in columns(table).items() if not (config.get("help") or "").strip()] == []


def test_the_timeline_of_more_than_can_be_carried(open_app: Open) -> None:
    app = open_app(OPEN.replace("rate=40", "rate=900"), "timeline")
    assert "The queue grows without end: 900 requests/s asked" in app.html
    assert names(app.charts) == TIMELINE


def test_the_timeline_where_nothing_fits(open_app: Open) -> None:
    app = open_app(OPEN.replace("memory_gib:8", "memory_gib:0.01"), "timeline")
    assert "Not one request fits in memory" in app.test.info[0].value
    assert app.charts == []


def test_plan_says_what_the_load_comes_to(open_app: Open) -> None:
    app, evaluation = open_app(OPEN), answer(OPEN)
    load = evaluation.load
    assert load is not None
    said = unescape(app.html)
    for row in load_tables.time_rows(load):
        for cell, sure in zip(row.cells, row.plus_minus, strict=True):
            assert f'{cell}<span class="sure">{sure}</span>' in said
            assert sure.startswith("± ")
    for name, value, text in load_tables.facts(load):
        assert f"<th>{name}</th><td>{value}</td>" in said
        assert text in said
    assert f"steady: {percent(load.utilization or 0)} of the " in said
    assert names(app.charts)[:2] == ["Queue over time", "KV cache over time"]
    assert "Passes, operators and memory below are those of a burst" in captions(app)
    [table] = app.test.dataframe
    assert [name for name, config in columns(table).items() if not (config.get("help") or "").strip()] == []


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (OPEN.replace("rate=40", "rate=900"), "saturated: 900 requests/s asked, "),
        (CLOSED, "steady: users wait for their answers"),
        (f"{OPEN}&percentile=p99&ttft=100", "of requests, "),
        (f"{OPEN}&tpot=none", "no limit is set"),
        (f"{OPEN}&length_spread=uniform:0.5", "tokens on average"),
        (f"{SIZE}&arrival=trace&trace=0/200/10,0.5/300/20", "Each replica"),
        (f"{SIZE}&arrival=trace&trace=0/200/10", "too few requests to speak of a rate"),
        (OPEN.replace("memory_gib:8", "memory_gib:0.01"), "Does not fit even at batch 1"),
        (OPEN.replace(",memory_gib:8,gib_per_ctx:0.0001", ""), "without end; no preemption"),
    ],
)
def test_plan_in_plain_words(open_app: Open, query: str, words: str) -> None:
    app = open_app(query)
    assert words in unescape(app.html)


def test_what_would_help_is_said_of_a_burst(open_app: Open) -> None:
    query = "arrival=closed&users=8&seeds=1&engine=analytic&input=500&output=100&model=Qwen/Qwen3-8B&ttft=900"
    app = explained(open_app(query))
    assert "Worked out for a burst without the limit on TTFT" in captions(app)
    assert not any("TTFT stops" in text.value for text in app.test.markdown)
    assert any("What stops a burst" in text.value for text in app.test.markdown)
    button = app.test.button(key="explain-timeline")
    assert button.label.startswith("See a burst of batch ")
    names_of_changes = app.test.selectbox(key="explain-open").options
    app.test.selectbox(key="explain-open").select(names_of_changes[0])
    app.run()
    assert app.address["arrival"] == "closed", "the change, for the requests that arrive as asked"
    assert (app.address["users"], app.address["ttft"]) == ("8", "900")
    app = explained(open_app(query))
    app.test.button(key="explain-timeline").click()
    app.run()
    assert "arrival" not in app.address
    assert "all " in app.html


def test_the_steady_state_beside_a_burst(open_app: Open) -> None:
    query = f"{LAW}&devices=2&tp=1&input=256&output=64&batch=4"
    app = open_app(query)
    load = service.steady_state(decode(query).scenario)
    assert load is not None
    assert steady_words(load, 8) in captions(app)
    assert "Steady state" not in captions(open_app(OPEN))


def test_a_trace_is_uploaded(open_app: Open) -> None:
    app = open_app(f"{SIZE}&arrival=trace&trace=0/200/10")
    upload(app, b"arrival_s,input,output\n0,300,20\n0.5,200,many\n")
    assert "line 3, column output: many" in unescape(app.html)
    assert app.address["trace"] == "0/200/10", "the rest stays as it was"
    upload(app, b"\xff\xfe\x00")
    assert "byte 1 of the file" in unescape(app.html)
    upload(app, b"arrival_s,input,output\n0,300,20\n12.5,200,64\n")
    name = service.keep_trace("arrival_s,input,output\n0,300,20\n12.5,200,64\n")
    assert app.address["trace"] == name
    assert app.test.session_state["trace"] == name
    assert "2 requests over 12.5 s" in captions(app)
    assert "✗" not in app.html
    load = answer(f"{SIZE}&arrival=trace&trace={name}").load
    assert load is not None
    assert load.num_requests == 1, "one of two replicas is simulated, which gets every second request"
    app.go("timeline")
    assert names(app.charts) == TIMELINE


def test_a_trace_for_a_form_that_has_none(open_app: Open) -> None:
    app = open_app(f"{SIZE}&output=64")
    app.enter("arrival", "trace")
    assert "Showing the last valid scenario" in app.warnings
    upload(app, b"arrival_s,input,output\n0,300,20\n")
    assert app.warnings == ""
    assert app.address["arrival"] == "trace"
    assert "this trace" in app.html


def upload(app: App, content: bytes) -> None:
    app.test.file_uploader(key=trace_upload.KEY).set_value(("trace.csv", content, "text/csv"))
    app.run()


def captions(app: App) -> str:
    return "\n".join(caption.value for caption in app.test.caption).replace("\\", "")


@pytest.mark.parametrize(
    ("arrival", "words"),
    [
        ("arrival=open&rate=40", ["All that carry this rate make as many tokens", "40 requests/s"]),
        ("arrival=closed&users=12&tpot=6", ["12 users"]),
        ("arrival=open&rate=900", ["None of 2 layouts meets the limits"]),
    ],
)
def test_a_search_of_a_load_speaks_of_loads(open_app: Open, arrival: str, words: list[str]) -> None:
    query = SIZE.replace("&tp=1", "").replace("seeds=2", "seeds=1")
    app = searched(searching(open_app, f"{query}&tp=1,2&{arrival}"))
    said = "\n".join([unescape(app.html), *app.charts])
    for word in words:
        assert word in said
    specs = "".join(chart.proto.spec for chart in app.test.get("vega_lite_chart"))
    assert "batch size" not in said
    assert "batch size (requests per replica)" not in specs
    if "meets the limits." not in said:
        assert "requests served at once per replica (mean)" in specs
        [top, *_] = app.test.dataframe
        assert columns(top)["batch"]["label"] == "at once"
        assert [name for name, config in columns(top).items() if not (config.get("help") or "").strip()] == []


def searched(app: App) -> App:
    """A search of a load is a job."""
    press(app, "search-start")
    for _ in range(100):
        if "layouts evaluated" in app.html:
            return app
        time.sleep(0.1)
        app.run()
    raise AssertionError("no result after 100 runs")
