"""A search, an explanation and a sizing as tables and charts: nothing is lost, and Vega-Lite accepts every chart."""

from __future__ import annotations

import functools
import math

import pytest

from aggsim import service
from aggsim.planning.deployment import Load
from aggsim.planning.pareto import frontier
from aggsim.planning.search_result import SearchResult
from aggsim.report import explain_charts, explain_words, search_charts, search_tables, search_titles, sizing
from aggsim.report.theme import DARK, LIGHT, Theme
from aggsim.scenario import Scenario
from aggsim.share_search import decode_search

LINKS = (
    "engine=analytic",
    "engine=analytic&timing=stepped&tp=4,8&output=200",
    "engine=analytic&device=H100_SXM_80G,H200_SXM_141G&devices=4,8",
    "engine=analytic&model=Qwen/Qwen3-30B-A3B&devices=4",
    "engine=analytic&batch=16",
    "engine=analytic&tpot=none&ttft=none",
    "engine=analytic&tpot=1",
    "engine=analytic&tp=1&pp=1&ttft=0.001",
)


@functools.cache
def result_of(link: str) -> SearchResult:
    return service.search(decode_search(link).question)


@pytest.mark.parametrize("link", LINKS)
def test_every_point_is_in_the_table_and_every_priced_one_in_the_chart(link: str) -> None:
    result = result_of(link)
    table, points = search_tables.all_points_table(result), search_tables.points_frame(result)
    priced = [point for point in result.points() if 0 < point.tried.tpot_s < math.inf]
    assert len(table) == result.evaluated
    assert len(points) == len(priced)
    assert table["pareto"].sum() == len(frontier(result.points()))
    assert list(points["ok"]) == [point.tried.verdict.ok for point in priced]
    assert points["is_best"].sum() == len(result.candidates)
    assert set(points["series"]) <= {*search_tables.series_names(result), search_tables.OTHERS}


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
@pytest.mark.parametrize("link", LINKS)
def test_every_chart_is_valid(link: str, theme: Theme) -> None:
    result = result_of(link)
    points, edge = search_tables.points_frame(result), search_tables.frontier_frame(result)
    series, heat = search_tables.series_names(result), search_tables.heat_frame(result)
    limit = result.question.base.tpot
    stops = search_tables.stops_frame(result, per_device=result.by_device)
    drawn = [
        search_charts.pareto_chart(points, edge, series, theme, search_titles.pareto(edge), limit),
        search_charts.heat_chart(heat, theme, search_titles.heat(heat)),
    ]
    if len(stops):
        title = search_titles.throughput(result)
        drawn.append(search_charts.batch_chart(points, stops, series, theme, title, per_device=result.by_device))
        table, devices = search_tables.device_table(result), list(dict.fromkeys(points["device"]))
        title = search_titles.devices(table)
        drawn.append(search_charts.device_chart(points, edge, devices, theme, title, limit))
    for chart in drawn:
        spec = chart.to_dict(validate=True)
        assert spec["title"]["text"]


def test_replicas_of_one_thing_are_named_once() -> None:
    result = result_of(LINKS[2])
    named = search_tables.named_candidates(result)
    assert {candidate.scenario.device for candidate in named} == {"H100_SXM_80G", "H200_SXM_141G"}
    rates = [(c.scenario.device, c.layout.tp, round(c.output_tokens_per_s_per_device, 6)) for c in named]
    assert len(set(rates)) == len(rates)


def test_a_cell_of_the_heat_map_is_the_best_of_its_sizes() -> None:
    result = result_of(LINKS[0])
    for cell in search_tables.heat_frame(result).to_dict("records"):
        inside = [
            point.output_tokens_per_s_per_device
            for point in result.points()
            if f"TP {point.candidate.layout.tp}" == cell["tp"]
            and cell["first"] <= point.tried.batch_size < 2 * cell["first"]
            and point.tried.verdict.ok
        ]
        assert cell["per_device"] == max(inside, default=0.0)


@pytest.mark.parametrize("asked", [Scenario(engine="analytic"), Scenario(engine="analytic", tpot=3, tp=1)])
def test_what_would_help_is_ranked_and_the_rest_has_its_reason(asked: Scenario) -> None:
    explanation = service.explain(asked)
    frame = explain_charts.changes_frame(explanation)
    assert list(frame["gain"]) == sorted(frame["gain"], reverse=True)
    for row, change in zip(frame["row"], frame["change"], strict=True):
        assert explain_words.change_words(explanation.changes[row]) == change
    told = " ".join(explain_words.without_gain(explanation))
    for change in (*explanation.changes, *explanation.skipped):
        shown = explain_words.helps(change) or explain_words.change_words(change) in told
        assert shown, change
    if len(frame):
        explain_charts.changes_chart(frame, LIGHT, explain_words.title(explanation)).to_dict(validate=True)


def test_the_smallest_deployment_beside_its_load() -> None:
    question = decode_search(LINKS[2]).question
    result = service.size(question, Load(output_tokens_per_s=100_000))
    frame = sizing.sizing_frame(result)
    assert (frame["capacity_tokens_per_s"] >= 100_000).all()
    assert (frame["devices"] == frame["replicas"] * frame["devices_per_replica"]).all()
    assert (frame["one_lost_tokens_per_s"] < frame["capacity_tokens_per_s"]).all()
    assert "100,000 output tokens/s" in sizing.headline(result)
    sizing.sizing_chart(frame, DARK, sizing.title(result)).to_dict(validate=True)
