"""What must hold of every simulated burst, whatever the numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aggsim.engines.linear import LinearForward
from aggsim.forward.batch import RequestGroup
from aggsim.scenario import LinearLaw, ParallelLayout, Workload
from aggsim.serving import SCHEDULERS, Scheduler, SchedulerState, ServingRun, StepDecision, simulate
from tests.plain_loop import PlainRun, plain_run

EXACT = {"rel": 1e-9, "abs": 0.0}


class PrefillFirst:
    """Decodes at most half the ready requests, so the decode queue rotates; passes run one after the other."""

    def decide(self, state: SchedulerState) -> StepDecision:
        prefill_requests = min(state.pending, state.max_batched_tokens // state.query_len)
        room = state.max_batched_tokens - prefill_requests * state.query_len
        return StepDecision(
            prefill_requests=prefill_requests, decode_requests=min(room, math.ceil(state.ready / 2), state.ready)
        )

    def step_latency(self, prefill_s: float, decode_s: float) -> float:
        return prefill_s + decode_s


class OneAtATime:
    """A single request a step, decoding before prefilling only when three wait."""

    def decide(self, state: SchedulerState) -> StepDecision:
        decode = state.ready >= 3 or not state.pending
        return StepDecision(prefill_requests=0 if decode else 1, decode_requests=1 if decode else 0)

    def step_latency(self, prefill_s: float, decode_s: float) -> float:
        return max(prefill_s, decode_s)


@dataclass(frozen=True)
class Case:
    workload: Workload
    layout: ParallelLayout
    batch_size: int
    max_batched_tokens: int
    law: LinearLaw
    scheduler: Scheduler = SCHEDULERS["decode_first_with_slack"]
    rules: str = "current"
    timing: str = "stepped"

    def run(self, *, detail: bool = True) -> ServingRun:
        return simulate(
            LinearForward(law=self.law, dp=self.layout.dp),
            self.workload,
            self.layout,
            batch_size=self.batch_size,
            max_batched_tokens=self.max_batched_tokens,
            scheduler=self.scheduler,
            timing=self.timing,
            rules=self.rules,
            detail=detail,
        )


LAWS = st.builds(
    LinearLaw,
    fixed_s=st.floats(1e-4, 1e-2),
    per_token_s=st.floats(0, 1e-4),
    per_token_ctx_s=st.floats(0, 1e-7),
    per_ctx_s=st.floats(0, 1e-6),
    memory_gib=st.just(40.0),
    gib_per_ctx=st.floats(0, 0.1),
)
CASES = st.builds(
    Case,
    workload=st.builds(
        Workload,
        num_input_tokens=st.integers(1, 40),
        num_output_tokens=st.integers(1, 30),
        prefix_cache_hit_rate=st.sampled_from((0.0, 0.3, 0.9)),
        num_mtp_tokens=st.integers(0, 3),
    ),
    layout=st.builds(ParallelLayout, dp=st.integers(1, 3), pp=st.integers(1, 2)),
    batch_size=st.integers(1, 25),
    max_batched_tokens=st.integers(1, 30),
    law=LAWS,
    scheduler=st.sampled_from((SCHEDULERS["decode_first_with_slack"], PrefillFirst(), OneAtATime())),
    rules=st.sampled_from(("current", "seed")),
)
ROTATING = Case(
    workload=Workload(num_input_tokens=1, num_output_tokens=9),
    layout=ParallelLayout(),
    batch_size=40,
    max_batched_tokens=10,
    law=LinearLaw(fixed_s=1e-3, per_token_s=1e-5, memory_gib=1.0),
)
"""More requests ready than the budget lets decode in one step."""


def plain(case: Case) -> PlainRun:
    """The same burst step by step, with shapes and folds worked out here once more."""
    asked, dp = case.workload, case.layout.dp
    prompt = asked.num_input_tokens - math.floor(asked.num_input_tokens * asked.prefix_cache_hit_rate)
    lens = []
    while sum(lens) < prompt:
        lens.append(min(case.max_batched_tokens, prompt - sum(lens)))
    forward = LinearForward(law=case.law, dp=dp)
    new = asked.num_mtp_tokens + 1
    per_pass = 1 + sum(asked.mtp_acceptance_rates[: asked.num_mtp_tokens])

    def price(num_requests: int, chunk: int) -> tuple[float, float]:
        decode = chunk < 0
        query_len = new if decode else lens[chunk]
        seq_len = asked.num_input_tokens + asked.num_output_tokens // 2 + new if decode else sum(lens[: chunk + 1])
        cost = forward.cost(
            (RequestGroup(num_requests=num_requests, query_len=query_len, seq_len=seq_len, is_decode=decode),)
        )
        return cost.latency_s / (per_pass if decode else 1), cost.memory.available

    return plain_run(
        concurrency=case.batch_size * dp * case.layout.pp,
        chunk_lens=lens,
        num_output_tokens=asked.num_output_tokens,
        budget=case.max_batched_tokens * (dp if case.rules == "current" else 1),
        price=price,
        scheduler=case.scheduler,
        stop_when_full=case.rules == "current",
    )


@settings(max_examples=200, deadline=None)
@given(CASES)
@example(ROTATING)
@example(replace(ROTATING, scheduler=PrefillFirst(), layout=ParallelLayout(dp=2, pp=2)))
def test_jumps_equal_the_plain_loop(case: Case) -> None:
    run, expected = case.run(), plain(case)
    for name in (
        "ttft_s",
        "tpot_s",
        "output_tokens_per_s",
        "finish_s",
        "memory_left_bytes",
        "prefill_memory_left_bytes",
        "prefill_latency_s",
        "decode_latency_s",
    ):
        assert getattr(run, name) == pytest.approx(getattr(expected, name), **EXACT), name

    ran = [
        (s.prefill_requests, s.decode_requests, s.chunk, s.pending, s.waiting, s.ready)
        for s in run.timeline.steps
        for _ in range(s.repeat)
    ]
    ends = [s.start_s + (i + 1) * s.step_s for s in run.timeline.steps for i in range(s.repeat)]
    stopped = case.rules == "current" and expected.out_of_memory
    assert ran[: len(ran) - stopped] == [
        (s.prefill_requests, s.decode_requests, s.chunk if s.prefill_requests else -1, s.pending, s.waiting, s.ready)
        for s in expected.steps
    ]
    assert ends[: len(ran) - stopped] == pytest.approx([s.end_s for s in expected.steps], **EXACT)
    assert (run.out_of_memory_step is not None) == expected.out_of_memory


@settings(deadline=None)
@given(CASES)
def test_no_request_is_lost(case: Case) -> None:
    case = replace(case, rules="seed")  # runs to the end, full or not
    run = case.run()
    for chunk in range(run.num_chunks):
        prefilled = sum(s.repeat * s.prefill_requests for s in run.timeline.steps if s.chunk == chunk)
        assert prefilled == run.concurrency
    decoded = sum(s.repeat * s.decode_requests for s in run.timeline.steps)
    assert decoded == run.concurrency * (case.workload.num_output_tokens - 1)


@settings(deadline=None)
@given(CASES, st.sampled_from(("stepped", "auto")))
def test_the_timeline_has_no_gap_and_its_steps_add_up(case: Case, timing: str) -> None:
    run = replace(case, timing=timing).run()
    steps = run.timeline.steps
    assert steps[0].start_s == 0
    assert all(before.end_s == after.start_s for before, after in pairwise(steps))
    assert sum(s.repeat * s.step_s for s in steps) == pytest.approx(run.timeline.end_s, **EXACT)
    if math.isfinite(run.finish_s):
        assert run.finish_s == pytest.approx(run.timeline.end_s, **EXACT)
        assert run.num_steps == run.timeline.num_steps
        assert run.out_of_memory_step is None or case.rules == "seed" or run.timing == "wave"
    if run.out_of_memory_step is not None:
        assert run.memory_left_bytes < 0
        assert run.out_of_memory_step < len(steps)


@settings(deadline=None)
@given(CASES, st.sampled_from(("stepped", "auto")))
def test_numbers_do_not_depend_on_the_detail(case: Case, timing: str) -> None:
    case = replace(case, timing=timing)
    full, numbers = case.run(), case.run(detail=False)
    assert (numbers.prefill_cost, numbers.decode_cost, numbers.tightest_cost) == (None, None, None)
    assert numbers.timeline.steps == ()
    assert full.tightest_cost is not None
    assert full.tightest_cost.memory.available == full.memory_left_bytes
    hidden = {"prefill_cost", "decode_cost", "tightest_cost", "timeline"}
    assert all(getattr(full, f.name) == getattr(numbers, f.name) for f in fields(full) if f.name not in hidden)


@settings(deadline=None)
@given(
    CASES,
    st.sampled_from(("fixed_s", "per_token_s", "per_token_ctx_s", "per_ctx_s")),
    st.sampled_from(("stepped", "auto")),
)
def test_a_slower_law_never_answers_faster(case: Case, coefficient: str, timing: str) -> None:
    case = replace(case, timing=timing, law=replace(case.law, gib_per_ctx=0.0))
    slower = replace(case, law=replace(case.law, **{coefficient: 1.5 * getattr(case.law, coefficient) + 1e-6}))
    before, after = case.run(), slower.run()
    for name in ("ttft_s", "tpot_s", "finish_s", "prefill_latency_s", "decode_latency_s"):
        assert getattr(after, name) >= getattr(before, name) * (1 - 1e-9), name
    assert after.output_tokens_per_s <= before.output_tokens_per_s * (1 + 1e-9)


@settings(deadline=None)
@given(CASES)
def test_more_context_never_leaves_more_memory(case: Case) -> None:
    case = replace(case, rules="seed")
    fuller = replace(case, law=replace(case.law, gib_per_ctx=case.law.gib_per_ctx + 1e-3))
    assert fuller.run().memory_left_bytes < case.run().memory_left_bytes


@settings(deadline=None)
@given(CASES, st.integers(2, 100_000))
def test_steps_that_change_nothing_cost_nothing(case: Case, num_output_tokens: int) -> None:
    """Every timeline entry either prefills or ends with a request finished, however long the output is."""
    workload = replace(case.workload, num_output_tokens=num_output_tokens)
    run = replace(case, workload=workload, rules="seed").run()
    prefill_steps = sum(s.prefill_requests > 0 for s in run.timeline.steps)
    assert len(run.timeline.steps) <= prefill_steps + run.concurrency
