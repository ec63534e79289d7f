"""Budgets, the wave's closed form, schedulers and what is refused."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggsim.engines.linear import LinearForward
from aggsim.errors import InputError, NoProgressError
from aggsim.forward.batch import Batch, Batches
from aggsim.forward.cost import ForwardCost, Prices
from aggsim.scenario import LinearLaw, ParallelLayout, Workload
from aggsim.serving import (
    SCHEDULERS,
    SchedulerState,
    ServingRun,
    StepDecision,
    choose_max_batched_tokens,
    plan,
    simulate,
    wave_many,
)
from aggsim.serving.chunks import decode_shape, effective_input_tokens, plan_chunks
from aggsim.units import GIB

SCHEDULER = SCHEDULERS["decode_first_with_slack"]
LAW = LinearLaw(fixed_s=0.01, per_token_s=1e-5, per_ctx_s=1e-7, memory_gib=100.0, gib_per_ctx=0.001)
WORKLOAD = Workload(num_input_tokens=1000, num_output_tokens=100)


def run(
    *, workload: Workload = WORKLOAD, layout: ParallelLayout | None = None, law: LinearLaw = LAW, **asked: object
) -> ServingRun:
    layout = layout or ParallelLayout()
    asked = {"batch_size": 10, "max_batched_tokens": 4000, "scheduler": SCHEDULER, **asked}
    return simulate(LinearForward(law=law, dp=layout.dp), workload, layout, **asked)


@dataclass
class CountingForward:
    """A linear law that counts how often it is asked."""

    inner: LinearForward
    price_calls: int = 0
    cost_calls: int = 0
    warnings: tuple[str, ...] = field(default=())

    def price(self, batches: Batches | Iterable[Batch]) -> Prices:
        self.price_calls += 1
        return self.inner.price(batches)

    def cost(self, batch: Batch) -> ForwardCost:
        self.cost_calls += 1
        return self.inner.cost(batch)


class Stuck:
    """Prefills, then never decodes."""

    def decide(self, state: SchedulerState) -> StepDecision:
        return StepDecision(prefill_requests=min(1, state.pending), decode_requests=0)

    def step_latency(self, prefill_s: float, decode_s: float) -> float:
        return prefill_s + decode_s


class TestScheduler:
    @pytest.mark.parametrize(
        ("ready", "pending", "query_len", "expected"),
        [
            (0, 100, 1000, (16, 0)),  # floor(1.15 · 14000) = 16099
            (100, 100, 1000, (15, 100)),
            (99, 100, 1000, (16, 99)),
            (20_000, 100, 2100, (0, 14_000)),
            (20_000, 100, 2099, (1, 14_000)),
            (5, 0, 14_000, (0, 5)),
        ],
    )
    def test_decodes_first_then_prefills_into_the_slack(
        self, ready: int, pending: int, query_len: int, expected: tuple[int, int]
    ) -> None:
        state = SchedulerState(ready=ready, pending=pending, query_len=query_len, max_batched_tokens=14_000)
        decision = SCHEDULER.decide(state)
        assert (decision.prefill_requests, decision.decode_requests) == expected

    def test_passes_overlap(self) -> None:
        assert SCHEDULER.step_latency(0.3, 0.2) == 0.3

    def test_no_progress_is_an_error_not_an_endless_loop(self) -> None:
        with pytest.raises(NoProgressError, match="10 to decode"):
            run(timing="stepped", scheduler=Stuck())

    def test_a_decision_beyond_the_queues_is_refused(self) -> None:
        class Greedy(Stuck):
            def decide(self, state: SchedulerState) -> StepDecision:
                return StepDecision(prefill_requests=state.pending + 1, decode_requests=0)

        with pytest.raises(ValueError, match="11 of 10"):
            run(timing="stepped", scheduler=Greedy())


class TestRefused:
    @pytest.mark.parametrize(
        ("asked", "name"),
        [
            ({"batch_size": 0}, "batch"),
            ({"max_batched_tokens": 0}, "max_batched_tokens"),
            ({"timing": "exact"}, "timing"),
            ({"rules": "newest"}, "rules"),
            ({"timing": "wave", "max_batched_tokens": 999}, "timing"),
        ],
    )
    def test_names_the_field(self, asked: dict[str, object], name: str) -> None:
        with pytest.raises(InputError) as error:
            run(**asked)
        assert error.value.field == name


class TestRequest:
    @given(st.integers(1, 1_000_000), st.floats(0, 1, exclude_max=True), st.integers(1000, 50_000))
    def test_chunks_cover_what_the_prefix_cache_left(self, num_input_tokens: int, hit: float, budget: int) -> None:
        workload = Workload(num_input_tokens=num_input_tokens, num_output_tokens=1, prefix_cache_hit_rate=hit)
        tokens = effective_input_tokens(workload)
        assert 1 <= tokens <= num_input_tokens
        chunks = plan_chunks(tokens, budget)
        assert sum(chunk.query_len for chunk in chunks) == tokens == chunks[-1].seq_len
        assert all(chunk.query_len == budget for chunk in chunks[:-1])
        assert all(1 <= chunk.query_len <= min(budget, chunk.seq_len) for chunk in chunks)

    def test_a_decode_pass_sees_the_whole_prompt_and_half_the_output(self) -> None:
        workload = Workload(num_input_tokens=100, num_output_tokens=9, prefix_cache_hit_rate=0.5, num_mtp_tokens=2)
        assert decode_shape(workload) == (3, 100 + 4 + 3)


class TestTokenBudget:
    @pytest.mark.parametrize(
        ("memory_gib", "prompts"),
        [(100.0, 4), (3.2, 4), (1.2, 4), (0.5, 1)],
    )
    def test_falls_back_only_where_prefill_memory_runs_out_at_batch_1(self, memory_gib: float, prompts: int) -> None:
        """At batch 1 a single prompt of 1 GiB is the whole wave, whatever the budget; decode memory does not count."""
        law = LinearLaw(fixed_s=0.01, memory_gib=memory_gib, gib_per_ctx=0.001)
        layout = ParallelLayout()
        chosen = choose_max_batched_tokens(LinearForward(law=law, dp=1), WORKLOAD, layout, scheduler=SCHEDULER)
        assert chosen == prompts * WORKLOAD.num_input_tokens

    def test_a_wave_over_pipeline_stages_may_need_the_smaller_budget(self) -> None:
        law = LinearLaw(fixed_s=0.01, memory_gib=2.5, gib_per_ctx=0.001)
        layout = ParallelLayout(pp=4)  # 4 requests at batch 1: 4 GiB in one wave, 2 GiB in waves of two
        forward = LinearForward(law=law, dp=1)
        assert choose_max_batched_tokens(forward, WORKLOAD, layout, scheduler=SCHEDULER) == 2000


class TestWave:
    def test_closed_form_by_hand(self) -> None:
        """10 requests, 4 a wave: two full waves and one of 2."""
        answer = run()
        full, rest = 0.01 + 4000e-5 + 4000e-7, 0.01 + 2000e-5 + 2000e-7
        decode = 0.01 + 10e-5 + 10 * 1051e-7
        ttft = (4 * full + 4 * 2 * full + 2 * (2 * full + rest)) / 10
        assert answer.ttft_s == pytest.approx(ttft)
        assert answer.tpot_s == pytest.approx(ttft / 100 + decode)
        assert answer.output_tokens_per_s == pytest.approx(1000 / (ttft + 100 * decode))
        assert (answer.prefill_latency_s, answer.prefill_last_latency_s) == pytest.approx((full, rest))
        assert answer.memory_left_bytes == pytest.approx((100 - 0.001 * 10 * 1051) * GIB)
        assert answer.prefill_memory_left_bytes == pytest.approx(96 * GIB)
        shown = [(s.repeat, s.prefill_requests, s.decode_requests, s.pending, s.ready) for s in answer.timeline.steps]
        assert shown == [(2, 4, 0, 10, 0), (1, 2, 0, 2, 8), (100, 0, 10, 0, 10)]
        assert answer.finish_s == pytest.approx(2 * full + rest + 100 * decode)

    def test_the_seed_counts_ttft_twice(self) -> None:
        current, seed = run(), run(rules="seed")
        assert (seed.ttft_s, seed.tpot_s) == (current.ttft_s, current.tpot_s)
        assert seed.output_tokens_per_s == pytest.approx(1000 / (seed.ttft_s + seed.tpot_s * 100))
        assert seed.output_tokens_per_s < current.output_tokens_per_s

    def test_the_seed_reports_a_full_wave_that_never_runs(self) -> None:
        current, seed = run(batch_size=1), run(batch_size=1, rules="seed")
        assert current.prefill_latency_s == pytest.approx(0.01 + 1000e-5 + 1000e-7)
        assert seed.prefill_latency_s == pytest.approx(0.01 + 4000e-5 + 4000e-7)
        assert seed.prefill_last_latency_s == current.prefill_last_latency_s == current.prefill_latency_s
        assert seed.prefill_cost is not None
        assert seed.prefill_cost.latency_s == seed.prefill_latency_s
        assert seed.prefill_memory_left_bytes == current.prefill_memory_left_bytes == pytest.approx(99 * GIB)

    @pytest.mark.parametrize(("batch_size", "memory_gib", "steps"), [(10, 3.5, 1), (3, 2.5, 1), (4, 3.5, 1)])
    def test_prefill_that_does_not_fit_ends_a_current_run(self, batch_size: int, memory_gib: float, steps: int) -> None:
        law = LinearLaw(fixed_s=0.01, memory_gib=memory_gib, gib_per_ctx=0.001)
        current = run(batch_size=batch_size, law=law)
        assert (current.ttft_s, current.tpot_s, current.output_tokens_per_s) == (math.inf, math.inf, 0.0)
        assert (current.decode_latency_s, current.decode_cost, current.out_of_memory_step) == (0.0, None, 0)
        assert [step.repeat for step in current.timeline.steps] == [1] * steps
        seed = run(batch_size=batch_size, law=law, rules="seed")
        assert math.isfinite(seed.ttft_s)
        assert seed.memory_left_bytes < 0
        assert seed.out_of_memory_step == 0

    def test_decode_that_does_not_fit_is_still_timed(self) -> None:
        answer = run(law=LinearLaw(fixed_s=0.01, memory_gib=5.0, gib_per_ctx=0.001))
        assert answer.memory_left_bytes == pytest.approx((5 - 10.51) * GIB)
        assert answer.prefill_memory_left_bytes == pytest.approx(1 * GIB)
        assert math.isfinite(answer.tpot_s)
        assert answer.out_of_memory_step == 2

    @settings(deadline=None)
    @given(
        st.lists(st.integers(1, 200), min_size=1, max_size=20),
        st.integers(1, 3),
        st.integers(1, 2),
        st.sampled_from((1000, 1999, 4000)),
        st.sampled_from(("current", "seed")),
        st.sampled_from((0.5, 3.5, 30.0, 1e4)),
    )
    def test_many_equal_one_by_one(
        self, batch_sizes: list[int], dp: int, pp: int, budget: int, rules: str, memory_gib: float
    ) -> None:
        law = LinearLaw(fixed_s=0.01, per_token_s=1e-5, per_ctx_s=1e-7, memory_gib=memory_gib, gib_per_ctx=0.001)
        layout = ParallelLayout(dp=dp, pp=pp)
        forward = CountingForward(LinearForward(law=law, dp=dp))
        asked = {"max_batched_tokens": budget, "rules": rules}
        many = wave_many(forward, WORKLOAD, layout, batch_sizes=batch_sizes, **asked)
        assert forward.price_calls <= 2
        assert len(many) == len(batch_sizes)
        shared = [f.name for f in fields(many)]
        for i, batch_size in enumerate(batch_sizes):
            one = simulate(
                forward,
                WORKLOAD,
                layout,
                batch_size=batch_size,
                scheduler=SCHEDULER,
                timing="wave",
                detail=False,
                **asked,
            )
            for name in shared:
                assert getattr(many, name)[i] == getattr(one, name), name

    def test_numbers_alone_need_no_costs_and_a_pass_is_costed_once(self) -> None:
        forward = CountingForward(LinearForward(law=LAW, dp=1))
        asked = {"batch_size": 9, "max_batched_tokens": 4000, "scheduler": SCHEDULER}
        simulate(forward, WORKLOAD, ParallelLayout(), **asked, detail=False)
        assert (forward.price_calls, forward.cost_calls) == (2, 0)
        answer = simulate(forward, WORKLOAD, ParallelLayout(), **asked)
        assert (forward.price_calls, forward.cost_calls) == (4, 2)
        assert answer.tightest_cost is answer.decode_cost


class TestStepped:
    def test_all_passes_are_priced_in_one_call(self) -> None:
        forward = CountingForward(LinearForward(law=LAW, dp=1))
        answer = simulate(
            forward, WORKLOAD, ParallelLayout(), batch_size=9, max_batched_tokens=300, scheduler=SCHEDULER
        )
        assert answer.num_chunks == 4
        assert (forward.price_calls, forward.cost_calls) == (1, 3)

    def test_a_current_run_ends_with_the_pass_that_does_not_fit(self) -> None:
        law = LinearLaw(fixed_s=0.01, memory_gib=5.0, gib_per_ctx=0.001)
        answer = run(law=law, max_batched_tokens=500)
        last = answer.timeline.steps[-1]
        assert answer.out_of_memory_step == len(answer.timeline.steps) - 1
        assert (last.decode_requests, last.repeat) == (5, 1)
        assert answer.ttft_s == pytest.approx(last.start_s + last.decode_s)
        assert (answer.tpot_s, answer.finish_s, answer.output_tokens_per_s) == (math.inf, math.inf, 0.0)
        assert answer.num_steps > answer.timeline.num_steps

    def test_a_plan_too_long_to_look_at_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(plan, "MAX_PLANNED_STEPS", 1000)
        assert 500 < len(run(max_batched_tokens=20).timeline.steps) < 1000
        with pytest.raises(InputError, match="1,000 scheduler decisions") as error:
            run(max_batched_tokens=5)
        assert error.value.field == "max_batched_tokens"

    def test_one_output_token_means_no_decode(self) -> None:
        answer = run(workload=Workload(num_input_tokens=1000, num_output_tokens=1), timing="stepped")
        assert (answer.tpot_s, answer.decode_latency_s, answer.decode_cost) == (0.0, 0.0, None)
        assert answer.finish_s == answer.timeline.end_s

    def test_mtp_divides_the_decode_latency_by_the_expected_tokens(self) -> None:
        law = LinearLaw(fixed_s=0.01, memory_gib=100.0)
        answer = run(law=law, workload=Workload(num_input_tokens=1000, num_output_tokens=100, num_mtp_tokens=2))
        assert answer.decode_latency_s == pytest.approx(0.01 / (1 + 0.9 + 0.6))


class Free:
    """Passes that take no time."""

    warnings = ()

    def price(self, batches: Batches) -> Prices:
        return Prices(latency_s=np.zeros(len(batches)), available_bytes=np.ones(len(batches)))

    def cost(self, batch: Batch) -> ForwardCost:
        raise AssertionError(batch)


@pytest.mark.parametrize("timing", ["wave", "stepped"])
def test_no_time_at_all_claims_no_throughput(timing: str) -> None:
    asked = {"batch_size": 2, "max_batched_tokens": 4000, "scheduler": SCHEDULER, "timing": timing, "detail": False}
    with np.errstate(all="raise"):
        assert simulate(Free(), WORKLOAD, ParallelLayout(), **asked).output_tokens_per_s == 0.0
