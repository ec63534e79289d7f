"""Timing `stepped`: every scheduler step, one entry for each run of equal ones."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import accumulate

from aggsim.serving.burst import DECODE, Burst, Pass
from aggsim.serving.plan import PlannedStep, plan_steps
from aggsim.serving.run import ServingRun
from aggsim.serving.schedulers import Scheduler
from aggsim.serving.timeline import Step, Timeline

__all__ = ["stepped_run"]


def stepped_run(burst: Burst, batch_size: int, scheduler: Scheduler, *, detail: bool) -> ServingRun:
    """The burst at one batch size. rules=current ends with the first pass that does not fit, seed goes on."""
    concurrency = batch_size * burst.requests_per_batch
    plan = plan_steps(burst, concurrency, scheduler)
    num_steps = sum(step.repeat for step in plan)
    passes = _passes_of(plan)
    latency, available = burst.price(*zip(*passes, strict=True))
    latency_s = dict(zip(passes, latency.tolist(), strict=True))
    left_bytes = dict(zip(passes, available.tolist(), strict=True))
    latency_s[0, DECODE] = 0.0  # no requests, no pass; a step without prefill has chunk −1 as well

    out_of_memory_step = _first_too_big(plan, left_bytes)
    stop = out_of_memory_step if burst.rules == "current" else None
    if stop is not None:
        plan = _cut(plan, stop, left_bytes)
        passes = _passes_of(plan)

    prefill_s = [latency_s[step.prefill_requests, step.chunk] for step in plan]
    decode_s = [latency_s[step.decode_requests, DECODE] for step in plan]
    times = zip(plan, prefill_s, decode_s, strict=True)
    ends = list(accumulate(step.repeat * scheduler.step_latency(p, d) for step, p, d in times))
    starts = [0.0, *ends[:-1]]
    if stop is not None:
        ttft_s = starts[-1] + (decode_s[-1] if plan[-1].decode_requests else prefill_s[-1])
        tpot_s, finish_s = math.inf, math.inf
    else:
        ttft_s = sum(step.first_tokens * end for step, end in zip(plan, ends, strict=True)) / concurrency
        tpot_s, finish_s = _mean_tpot(plan, ends, concurrency, burst.num_output_tokens), ends[-1]

    prefills = [key for key in passes if key[1] != DECODE]
    decodes = [key for key in passes if key[1] == DECODE]
    tightest = min(passes, key=left_bytes.__getitem__)
    prefill_cost, decode_cost, tightest_cost = burst.costs(
        prefills[0], decodes[0] if decodes else None, tightest, wanted=detail
    )
    last_prefill_s = _last(prefill_s, (step.prefill_requests for step in reversed(plan)))
    return ServingRun(
        timing="stepped",
        batch_size=batch_size,
        concurrency=concurrency,
        effective_input_tokens=burst.effective_input_tokens,
        max_batched_tokens=burst.max_batched_tokens,
        chunks=burst.chunks,
        ttft_s=ttft_s,
        tpot_s=tpot_s,
        output_tokens_per_s=burst.num_output_tokens * concurrency / finish_s if finish_s else 0.0,
        finish_s=finish_s,
        prefill_latency_s=last_prefill_s,
        prefill_last_latency_s=last_prefill_s,
        decode_latency_s=_last(decode_s, (step.decode_requests for step in reversed(plan))),
        memory_left_bytes=left_bytes[tightest],
        prefill_memory_left_bytes=min(left_bytes[key] for key in prefills),
        prefill_cost=prefill_cost,
        decode_cost=decode_cost,
        tightest_cost=tightest_cost,
        timeline=Timeline(steps=_steps(burst, plan, starts, ends, prefill_s, decode_s) if detail else ()),
        num_steps=num_steps,
        out_of_memory_step=out_of_memory_step,
    )


def _passes_of(plan: Iterable[PlannedStep]) -> list[Pass]:
    """The distinct passes in the order they are first run."""
    found: dict[Pass, None] = {}
    for step in plan:
        found[step.prefill_requests, step.chunk] = None
        found[step.decode_requests, DECODE] = None
    del found[0, DECODE]
    return list(found)


def _first_too_big(plan: list[PlannedStep], left_bytes: dict[Pass, float]) -> int | None:
    """Index of the first planned step with a pass that does not fit."""
    too_big = {key for key, left in left_bytes.items() if left < 0}
    if not too_big:
        return None
    return next(
        i
        for i, step in enumerate(plan)
        if (step.prefill_requests, step.chunk) in too_big or (step.decode_requests, DECODE) in too_big
    )


def _cut(plan: list[PlannedStep], last: int, left_bytes: dict[Pass, float]) -> list[PlannedStep]:
    """The plan up to the first of the `last` equal steps. Prefill is tried first: where it fails nothing decodes."""
    step = plan[last]
    prefill_fails = step.prefill_requests > 0 and left_bytes[step.prefill_requests, step.chunk] < 0
    decode_requests = 0 if prefill_fails else step.decode_requests
    return [*plan[:last], step._replace(repeat=1, decode_requests=decode_requests, first_tokens=0, finished=())]


def _mean_tpot(plan: list[PlannedStep], ends: list[float], concurrency: int, num_output_tokens: int) -> float:
    """Mean over requests of (finish − first token) per token after the first; 0 where the first is the only one."""
    if num_output_tokens == 1:
        return 0.0
    waits = (n * (end - ends[first]) for step, end in zip(plan, ends, strict=True) for n, first in step.finished)
    return sum(waits) / (num_output_tokens - 1) / concurrency


def _last(latencies_s: list[float], num_requests: Iterable[int]) -> float:
    """The last latency of a pass that ran, 0 when none did."""
    return next((s for s, n in zip(reversed(latencies_s), num_requests, strict=True) if n), 0.0)


def _steps(
    burst: Burst,
    plan: list[PlannedStep],
    starts: list[float],
    ends: list[float],
    prefill_s: list[float],
    decode_s: list[float],
) -> tuple[Step, ...]:
    return tuple(
        Step(
            start_s=start,
            end_s=end,
            repeat=step.repeat,
            prefill_requests=step.prefill_requests,
            chunk=step.chunk,
            query_len=burst.chunks[step.chunk].query_len if step.prefill_requests else 0,
            decode_requests=step.decode_requests,
            pending=step.pending,
            waiting=step.waiting,
            ready=step.ready,
            prefill_s=p,
            decode_s=d,
        )
        for step, start, end, p, d in zip(plan, starts, ends, prefill_s, decode_s, strict=True)
    )
