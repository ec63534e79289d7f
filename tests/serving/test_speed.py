"""Jumping must pay: the longest recorded run against the plain loop, both timed here and now."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from aggsim.engines.linear import LinearForward
from aggsim.forward.batch import RequestGroup
from aggsim.scenario import LinearLaw, ParallelLayout, Workload
from aggsim.serving import SCHEDULERS, ServingRun, simulate
from tests.plain_loop import PlainRun, plain_run

LAW = LinearLaw(
    fixed_s=8.5e-3, per_token_s=1.5e-6, per_token_ctx_s=9.6e-10, per_ctx_s=7.2e-8, memory_gib=20.0, gib_per_ctx=1e-6
)
FORWARD = LinearForward(law=LAW, dp=1)
SCHEDULER = SCHEDULERS["decode_first_with_slack"]


def jumping() -> ServingRun:
    workload = Workload(num_input_tokens=7, num_output_tokens=1500)
    return simulate(FORWARD, workload, ParallelLayout(tp=4), batch_size=64, max_batched_tokens=1, scheduler=SCHEDULER)


def stepping() -> PlainRun:
    def price(num_requests: int, chunk: int) -> tuple[float, float]:
        seq_len = 7 + 750 + 1 if chunk < 0 else chunk + 1
        cost = FORWARD.cost(
            (RequestGroup(num_requests=num_requests, query_len=1, seq_len=seq_len, is_decode=chunk < 0),)
        )
        return cost.latency_s, cost.memory.available

    return plain_run(
        concurrency=64,
        chunk_lens=[1] * 7,
        num_output_tokens=1500,
        budget=1,
        price=price,
        scheduler=SCHEDULER,
        stop_when_full=True,
    )


def best_s(work: Callable[[], object], times: int) -> float:
    """Shortest of several runs: the one the rest of the machine disturbed least."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


@pytest.mark.slow
def test_jumping_takes_a_hundredth_of_the_plain_loop() -> None:
    jumped, stepped = jumping(), stepping()
    assert jumped.num_steps == len(stepped.steps) == 96_384
    assert (jumped.ttft_s, jumped.tpot_s) == pytest.approx((stepped.ttft_s, stepped.tpot_s), rel=1e-9)
    jumping_s, stepping_s = best_s(jumping, 30), best_s(stepping, 3)
    report = f"{jumping_s * 1e3:.2f} ms against {stepping_s * 1e3:.0f} ms: {stepping_s / jumping_s:.0f} times"
    print(report)
    assert jumping_s < stepping_s / 100, report
