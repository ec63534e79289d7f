"""One replica lost: the others take its load, and what that means is computed, not assumed."""

from __future__ import annotations

import json
import math

import pytest

from aggsim import service
from aggsim.planning.deployment import Load, Sizing, SizingResult
from aggsim.report import sizing as report
from aggsim.report.format import number
from aggsim.report.search_json import sizing_json
from aggsim.report.search_words import load_words, loss_words, spare_words
from aggsim.scenario import Scenario
from aggsim.scenario_search import SearchQuestion

FAST = Scenario(engine="analytic", devices=8, tpot=15)


def sized(load: float, base: Scenario = FAST) -> SizingResult:
    return service.size(SearchQuestion(base=base), Load(output_tokens_per_s=load))


def smallest(load: float, base: Scenario = FAST) -> Sizing:
    return sized(load, base).sizings[0]


def lost(sizing: Sizing) -> Sizing:
    return sizing.with_replicas(sizing.num_replicas - 1)


@pytest.mark.parametrize("load", [30_000, 50_000, 77_777])
@pytest.mark.parametrize("tpot", [10, 15, 25])
def test_the_others_take_over_at_the_smallest_batch_size_that_makes_it(load: float, tpot: float) -> None:
    sizing = smallest(load, FAST.replace(tpot=tpot))
    assert sizing.carries
    assert not lost(sizing).carries
    share = load / (sizing.num_replicas - 1)
    point = lost(sizing).operating_point
    assert point is not None
    evaluated = service.evaluate(sizing.candidate.scenario.replace(batch=point.batch_size))
    fewer = service.evaluate(sizing.candidate.scenario.replace(batch=point.batch_size - 1))
    assert evaluated.output_tokens_per_s >= share > fewer.output_tokens_per_s
    assert point.tpot_s == pytest.approx(evaluated.tpot_s, rel=1e-12)
    assert point.verdict.limit == "tpot", "within the limits it would not be short"


def test_where_memory_ends_before_nothing_makes_it() -> None:
    base = FAST.replace(tpot=None)
    sizing = smallest(100_000, base)
    best = sizing.candidate
    assert best.next_stop is not None
    assert best.next_stop.verdict.limit == "memory"
    assert lost(sizing).operating_point is None
    assert "more than any batch size that fits makes" in loss_words(sizing)


def test_spares_bring_the_deployment_back_to_what_carries() -> None:
    sizing = smallest(50_000)
    assert sizing.spares_needed() == 1
    assert sizing.spares_needed(3) == 3
    roomy = sizing.with_replicas(sizing.num_replicas + 2)
    assert roomy.spares_needed() == 0
    assert lost(roomy).carries
    assert "still carried" in spare_words(roomy)
    assert "No spare is needed" in spare_words(roomy)
    assert lost(sizing.with_replicas(sizing.num_replicas + sizing.spares_needed())).carries


def test_the_only_replica_leaves_nothing() -> None:
    sizing = smallest(10)
    assert sizing.num_replicas == 1
    assert lost(sizing).load_per_replica_tokens_per_s == math.inf
    assert lost(sizing).operating_point is None
    assert "nothing is left" in spare_words(sizing)
    frame = report.loss_frame(sizing)
    assert list(frame["replicas"]) == [1, 0, 2]
    json.dumps(sizing_json(sized(10)), allow_nan=False)


def test_the_table_and_the_json_say_the_same() -> None:
    result = sized(50_000)
    sizing = result.sizings[0]
    frame = report.loss_frame(sizing).set_index("case")
    assert list(frame["replicas"] - sizing.num_replicas) == [0, -1, 1]
    assert (frame["tokens_per_s_each"] * frame["replicas"]).tolist() == pytest.approx([50_000] * 3)
    scenario = sizing.candidate.scenario
    each = frame.loc["as sized"]
    assert each["requests_per_s_each"] == pytest.approx(each["tokens_per_s_each"] / scenario.output)
    assert each["prompt_tokens_per_s_each"] == pytest.approx(each["requests_per_s_each"] * scenario.input)
    told = sizing_json(result)["smallest"][0]
    without = told["without_one"]
    assert without["at"]["batch_size"] == frame.loc["one replica lost", "batch"]
    assert without["at"]["tpot_ms"] == frame.loc["one replica lost", "tpot_ms"]
    assert without["at"]["verdict"]["limit"] == "tpot"
    assert without["shortfall_tokens_per_s"] == pytest.approx(-without["headroom"] * 50_000)
    assert told["spares_needed"] == 1


def test_capacity_is_told_in_tokens_requests_and_prompt_tokens() -> None:
    result = sized(50_000)
    requests = 50_000 / FAST.output
    assert load_words(result) == (
        f"50,000 output tokens/s ({number(requests)} requests/s, {number(requests * FAST.input)} prompt tokens/s)"
    )
    candidate = result.sizings[0].candidate
    evaluation = service.evaluate(candidate.scenario)
    assert candidate.requests_per_s == pytest.approx(evaluation.requests_per_s, rel=1e-9)
    assert candidate.prompt_tokens_per_s == pytest.approx(evaluation.prompt_tokens_per_s, rel=1e-9)


def test_prompt_tokens_of_requests_that_arrive_follow_the_requests() -> None:
    evaluation = service.evaluate(
        Scenario(engine="analytic", arrival="open", rate=5, input=1000, output=100, seeds=1, ttft=None)
    )
    assert evaluation.load is not None
    assert evaluation.prompt_tokens_per_s == pytest.approx(1000 * evaluation.requests_per_s, rel=1e-9)
    assert evaluation.output_tokens_per_s == pytest.approx(100 * evaluation.requests_per_s, rel=1e-9)
