"""What holds for every search, frontier, explanation and sizing."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aggsim.devices.catalog import load_device
from aggsim.models.catalog import load_model
from aggsim.planning.deployment import Load, smallest_deployments
from aggsim.planning.evaluation import TriedBatch, Verdict
from aggsim.planning.explain import Explanation, explain
from aggsim.planning.pareto import frontier
from aggsim.planning.search import search
from aggsim.planning.search_result import Candidate, SearchPoint, SearchResult
from aggsim.scenario import ParallelLayout, Quantization, Scenario
from aggsim.scenario_search import SearchQuestion

MODEL = "Qwen/Qwen3-8B"
DEVICES = {name: load_device(name) for name in ("H100_SXM_80G", "H200_SXM_141G", "A100_SXM_80G")}
LIMITS = st.floats(5, 200)


def base(**changes: Any) -> Scenario:
    return Scenario(**{"model": MODEL, "engine": "analytic", "input": 1000, "output": 200, "devices": 4} | changes)


def searched(scenario: Scenario, **axes: Any) -> SearchResult:
    return search(SearchQuestion.of(scenario, **axes), load_model(MODEL), DEVICES)


def rate(result: SearchResult) -> float:
    return result.best.output_tokens_per_s if result.best else 0.0


@settings(max_examples=25, deadline=None)
@given(LIMITS, st.lists(st.sampled_from([1, 2, 4]), min_size=1, max_size=3, unique=True), st.sampled_from([1, 2, 4]))
def test_one_layout_more_never_lowers_the_best(tpot: float, sizes: list[int], more: int) -> None:
    assert rate(searched(base(tpot=tpot), tp=[*sizes, more])) >= rate(searched(base(tpot=tpot), tp=sizes))


@settings(max_examples=25, deadline=None)
@given(LIMITS, st.floats(50, 5000) | st.none(), st.floats(1, 3))
def test_a_relaxed_limit_never_shrinks_what_is_feasible(tpot: float, ttft: float | None, factor: float) -> None:
    # The best may fall by the odd wave that a larger batch leaves over: 1% is more than that here.
    tight = searched(base(tpot=tpot, ttft=ttft))
    for loose in (base(tpot=tpot * factor, ttft=ttft), base(tpot=tpot, ttft=ttft and ttft * factor)):
        assert rate(searched(loose)) >= 0.99 * rate(tight)


@settings(max_examples=15, deadline=None)
@given(LIMITS)
def test_the_frontier_holds_what_nothing_beats(tpot: float) -> None:
    result = searched(base(tpot=tpot), device=["H100_SXM_80G", "A100_SXM_80G"], devices=[1, 4])
    check_frontier(list(result.points()))


def make_point(tpot_s: float, per_s: float, *, ok: bool) -> SearchPoint:
    verdict = Verdict(ok=ok, limit=None if ok else "tpot", margin=None if ok else 0.5, step=None)
    tried = TriedBatch(batch_size=1, concurrency=1, ttft_s=1.0, tpot_s=tpot_s, output_tokens_per_s=per_s,
                       memory_left_bytes=1.0, verdict=verdict)  # fmt: skip
    candidate = Candidate(scenario=Scenario(), layout=ParallelLayout(), quantization=Quantization(), is_moe=False,
                          num_chunks=1, effective_input_tokens=1, tried=(tried,))  # fmt: skip
    return SearchPoint(candidate, tried)


@given(st.lists(st.builds(make_point, st.integers(0, 5).map(float), st.integers(0, 5).map(float), ok=st.booleans())))
def test_the_frontier_of_any_points(points: list[SearchPoint]) -> None:
    check_frontier(points)


def check_frontier(points: list[SearchPoint]) -> None:
    edge = frontier(points)
    feasible = [point for point in points if point.tried.verdict.ok]
    assert bool(edge) == bool(feasible)
    for point in edge:
        assert point in feasible
        assert not any(beats(other, point) for other in feasible)
    for point in feasible:
        assert any(beats(other, point) or axes(other) == axes(point) for other in edge)
    assert [axes(p) for p in edge] == sorted({axes(p) for p in edge}, reverse=True)


def axes(point: SearchPoint) -> tuple[float, float]:
    return point.output_tokens_per_s_per_user, point.output_tokens_per_s_per_device


def beats(one: SearchPoint, other: SearchPoint) -> bool:
    return axes(one) != axes(other) and all(a >= b for a, b in zip(axes(one), axes(other), strict=True))


@settings(max_examples=20, deadline=None)
@given(LIMITS, st.floats(1, 1e6), st.sampled_from([1, 2, 8]))
def test_a_deployment_carries_its_load_and_one_replica_fewer_does_not(tpot: float, load: float, size: int) -> None:
    question = SearchQuestion.of(base(tpot=tpot, devices=size), device=list(DEVICES))
    result = smallest_deployments(question, Load(output_tokens_per_s=load), load_model(MODEL), DEVICES)
    assert {s.candidate.scenario.device for s in result.sizings} | set(result.without) == set(DEVICES)
    assert [s.num_devices for s in result.sizings] == sorted(s.num_devices for s in result.sizings)
    for sizing in result.sizings:
        fewer = sizing.with_replicas(sizing.num_replicas - 1)
        assert sizing.carries
        assert sizing.headroom >= 0
        assert not fewer.carries
        assert fewer.utilization > 1
        assert math.isclose(sizing.utilization * sizing.capacity_tokens_per_s, load)
        assert sizing.num_devices == sizing.num_replicas * sizing.candidate.layout.num_devices
        options = next(s for s in result.searches if sizing.candidate in s.candidates).candidates
        sizes = [math.ceil(load / c.output_tokens_per_s) * c.layout.num_devices for c in options]
        assert sizing.num_devices == min(sizes)


@settings(max_examples=10, deadline=None)
@given(st.floats(10, 60), st.floats(100, 2000) | st.none(), st.sampled_from([1, 2, 4]), st.booleans())
def test_an_explanation_starts_from_the_answer(tpot: float, ttft: float | None, tp: int, chunked: bool) -> None:
    # A chunked search that no limit stops simulates a hundred thousand requests step by step: minutes.
    steps = {"max_batched_tokens": 700, "output": 8, "ttft": ttft or 2000} if chunked else {}
    scenario = base(**{"tpot": tpot, "ttft": ttft, "tp": tp} | steps)
    found = explain(scenario, load_model(MODEL), {scenario.device: DEVICES[scenario.device]})
    best = searched(scenario).best
    assert found.best == (best.best if best else None)
    check_explanation(found)
    for change in found.changes:
        if change.engine == found.engine:
            assert change.now_per_device == (found.best.output_tokens_per_s if found.best else 0.0) / found.num_devices
        again = searched(change.scenario).best if change.scenario else None
        assert (again.best if again else None) == change.best


def check_explanation(found: Explanation) -> None:
    assert found.reaches[0].largest_batch == min(reach.largest_batch for reach in found.reaches)
    if found.best:
        assert found.best.batch_size <= found.reaches[0].largest_batch
    assume(found.binding)
    binding = found.binding
    assert binding is not None
    assert binding.stop is not None
    assert binding.stop.batch_size == binding.largest_batch + 1
    assert binding.stop.verdict.limit == binding.limit
    merits = [change.output_tokens_per_s_per_device for change in found.changes]
    assert merits == sorted(merits, reverse=True)
    assert all(change.reason for change in found.skipped)
