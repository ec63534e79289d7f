"""Requests that arrive, in AppTest: what each page says of them is what was simulated."""

from __future__ import annotations

from collections.abc import Callable
from html import unescape

import pytest

from aggsim import service
from aggsim.planning.evaluation import Evaluation
from aggsim.report import load_timeline_words
from aggsim.share import decode
from tests.pages.conftest import App
from tests.pages.test_help import columns

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
