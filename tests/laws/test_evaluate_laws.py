"""What must hold for any answer, whatever the scenario."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from aggsim import codec
from aggsim.devices.catalog import load_device
from aggsim.forward.cost import ForwardCost
from aggsim.models.catalog import load_model
from aggsim.planning.batch_search import MAX_BATCH_SIZE, best_of, next_stop_of, search_batch_sizes
from aggsim.planning.evaluate import evaluate
from aggsim.planning.evaluation import Evaluation, TriedBatch, Verdict
from aggsim.planning.resolve import resolve
from aggsim.report.json_form import evaluation_json
from aggsim.scenario import LinearLaw, Scenario
from aggsim.share import from_json


def answer(scenario: Scenario) -> Evaluation:
    deployment = resolve(scenario, load_model(scenario.model), load_device(scenario.device))
    return evaluate(deployment, deployment.bind())


def point(batch_size: int, *, ok: bool, tokens_per_s: float) -> TriedBatch:
    verdict = Verdict(ok=ok, limit=None if ok else "tpot", margin=None if ok else 0.1, step=None)
    return TriedBatch(
        batch_size=batch_size,
        concurrency=batch_size,
        ttft_s=1.0,
        tpot_s=0.05,
        output_tokens_per_s=tokens_per_s,
        memory_left_bytes=0.0,
        verdict=verdict,
    )


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Small questions of every kind, priced by a law."""
    law = LinearLaw(
        fixed_s=draw(st.floats(1e-4, 0.02)),
        per_token_s=draw(st.floats(0, 1e-5)),
        per_token_ctx_s=draw(st.floats(0, 1e-9)),
        per_ctx_s=draw(st.floats(0, 1e-7)),
        memory_gib=draw(st.sampled_from((0.001, 0.1, 20.0))),
        gib_per_ctx=draw(st.floats(0, 1e-4)),
    )
    tp, dp, pp = (draw(st.sampled_from((1, 2, 4))) for _ in range(3))
    length = draw(st.integers(1, 4000))
    budget = draw(st.none() | st.integers(max(1, length // 4), 8000))
    timing = draw(st.sampled_from(("auto", "stepped")))
    # a stepped search may run to 100,000 requests where no limit stops it: minutes, and nothing new to see
    searched = timing == "auto" and (budget is None or budget >= length)
    return Scenario(
        model=draw(st.sampled_from(("Qwen/Qwen3-32B", "Qwen/Qwen3-235B-A22B"))),
        devices=tp * dp * pp,
        tp=tp,
        pp=pp,
        input=length,
        output=draw(st.integers(1, 60)),
        batch=draw(st.none() | st.integers(1, 40) if searched else st.integers(1, 40)),
        prefix_hit=draw(st.sampled_from((0.0, 0.5, 0.99))),
        mtp=draw(st.integers(0, 5)),
        max_batched_tokens=budget,
        ttft=draw(st.none() | st.floats(1, 500)),
        tpot=draw(st.floats(1, 500)),
        engine="linear",
        law=law,
        timing=timing,
        rules=draw(st.sampled_from(("current", "seed"))),
    )


@given(st.integers(0, MAX_BATCH_SIZE))
def test_the_search_finds_any_boundary(largest: int) -> None:
    looked: list[int] = []

    def look(batch_size: int) -> TriedBatch:
        looked.append(batch_size)
        return point(batch_size, ok=batch_size <= largest, tokens_per_s=float(batch_size))

    tried = search_batch_sizes(look)
    best = best_of(tried)
    assert (best.batch_size if best else 0) == largest
    assert sorted(looked) == [p.batch_size for p in tried]
    assert len(set(looked)) == len(looked) <= 1 + 10 + 17
    assert max(looked) <= MAX_BATCH_SIZE
    stop = next_stop_of(tried, largest)
    assert stop is None if largest == MAX_BATCH_SIZE else stop is not None and stop.batch_size == largest + 1


@given(st.lists(st.tuples(st.integers(1, 99), st.booleans(), st.integers(0, 3)), unique_by=lambda p: p[0]))
def test_the_best_point_is_feasible_and_unbeaten(drawn: list[tuple[int, bool, int]]) -> None:
    tried = [point(batch, ok=ok, tokens_per_s=float(rate)) for batch, ok, rate in drawn]
    best = best_of(tried)
    feasible = [p for p in tried if p.verdict.ok]
    assert (best is None) == (not feasible)
    assert best is None or all(
        (best.output_tokens_per_s, -best.batch_size) >= (p.output_tokens_per_s, -p.batch_size) for p in feasible
    )


@settings(max_examples=60, deadline=None)
@given(scenarios())
def test_an_answer_is_complete_consistent_and_reproducible(scenario: Scenario) -> None:
    evaluation = answer(scenario)
    assert evaluation.asked == scenario
    assert evaluation.scenario.is_complete
    again = answer(evaluation.scenario)
    assert again.run == evaluation.run
    assert again.verdict == evaluation.verdict
    assert again.scenario == evaluation.scenario
    check_verdict(evaluation)
    check_figures(evaluation)


def check_verdict(evaluation: Evaluation) -> None:
    run, scenario, verdict = evaluation.run, evaluation.scenario, evaluation.verdict
    stopped = {
        "memory": run.memory_left_bytes < 0,
        "tpot": run.tpot_s > (scenario.tpot or math.inf) / 1000,
        "ttft": run.ttft_s > (scenario.ttft or math.inf) / 1000,
    }
    assert verdict.ok is not any(stopped.values())
    assert verdict.limit == next((limit for limit, stops in stopped.items() if stops), None)
    assert verdict.step is None or 0 <= verdict.step < len(run.timeline.steps)
    if not verdict.ok and evaluation.asked.batch is None:
        assert run.batch_size == 1


def check_figures(evaluation: Evaluation) -> None:
    assert evaluation.concurrency == evaluation.run.batch_size * evaluation.layout.dp * evaluation.layout.pp
    assert evaluation.end_to_end_s >= evaluation.ttft_s
    assert evaluation.memory_left_at_last_token_bytes <= evaluation.memory.total
    assert not any(math.isnan(value) for value in (evaluation.end_to_end_s, evaluation.tpot_other_s))


@settings(max_examples=40, deadline=None)
@given(scenarios())
def test_the_stored_form_gives_every_bit_back(scenario: Scenario) -> None:
    evaluation = answer(scenario)
    packed = json.loads(json.dumps(codec.pack(evaluation, share=ForwardCost)))
    assert codec.unpack(Evaluation, packed, share=ForwardCost) == evaluation


@settings(max_examples=40, deadline=None)
@given(scenarios())
def test_the_json_is_finite_and_its_scenario_reads_back(scenario: Scenario) -> None:
    evaluation = answer(scenario)
    form: dict[str, Any] = json.loads(json.dumps(evaluation_json(evaluation), allow_nan=False))
    assert from_json(form["scenario"]) == evaluation.scenario
    assert (form["tpot_ms"] is None) == math.isinf(evaluation.tpot_s)
    assert form["verdict"]["ok"] == evaluation.verdict.ok
