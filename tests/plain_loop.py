"""The stepped rules as written down: one step at a time, one queue entry per request group, nothing jumped over.

Of aggsim.serving it only knows what a scheduler is; slow on purpose.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from aggsim.serving.schedulers import Scheduler, SchedulerState

Latency = Callable[[int, int], tuple[float, float]]
"""(requests, chunk index or −1 for decode) → (seconds, bytes left)."""


class PlainStep(NamedTuple):
    prefill_requests: int
    decode_requests: int
    chunk: int
    pending: int
    waiting: int
    ready: int
    front_query_len: int
    prefill_s: float
    decode_s: float
    start_s: float
    end_s: float


@dataclass
class PlainRun:
    steps: list[PlainStep] = field(default_factory=list)
    ttft_s: float = 0.0
    tpot_s: float = 0.0
    output_tokens_per_s: float = 0.0
    finish_s: float = 0.0
    memory_left_bytes: float = math.inf
    prefill_memory_left_bytes: float = math.inf
    prefill_latency_s: float = 0.0
    decode_latency_s: float = 0.0
    out_of_memory: bool = False


def plain_run(
    *,
    concurrency: int,
    chunk_lens: list[int],
    num_output_tokens: int,
    budget: int,
    price: Latency,
    scheduler: Scheduler,
    stop_when_full: bool,
) -> PlainRun:
    """The whole burst; stop_when_full: end at the first pass that leaves less than no memory."""
    run = PlainRun()
    prices: dict[tuple[int, int], tuple[float, float]] = {}
    waiting = deque([(concurrency, 0)])
    ready: deque[tuple[int, int, float]] = deque()  # requests, tokens to make, time of the first token
    to_make = max(num_output_tokens - 1, 0)
    now = ttft_sum = tpot_sum = 0.0
    finished = 0

    def priced(num_requests: int, chunk: int) -> tuple[float, float]:
        if (num_requests, chunk) not in prices:
            prices[num_requests, chunk] = price(num_requests, chunk)
        return prices[num_requests, chunk]

    while finished < concurrency:
        chunk = waiting[0][1] if waiting else -1
        pending = 0
        for count, index in waiting:
            if index != chunk:
                break
            pending += count
        num_ready = sum(count for count, _, _ in ready)
        query_len = chunk_lens[chunk] if waiting else budget
        decision = scheduler.decide(
            SchedulerState(ready=num_ready, pending=pending, query_len=query_len, max_batched_tokens=budget)
        )
        p, d = decision.prefill_requests, decision.decode_requests
        assert p or d
        num_waiting = sum(count for count, _ in waiting)

        prefill_s = decode_s = 0.0
        for num_requests, index in ((p, chunk), (d, -1)):
            if not num_requests:
                continue
            pass_s, left = priced(num_requests, index)
            run.memory_left_bytes = min(run.memory_left_bytes, left)
            if index >= 0:
                prefill_s = run.prefill_latency_s = pass_s
                run.prefill_memory_left_bytes = min(run.prefill_memory_left_bytes, left)
            else:
                decode_s = run.decode_latency_s = pass_s
            if left < 0:
                run.out_of_memory = True
                if stop_when_full:
                    run.ttft_s, run.tpot_s, run.finish_s = now + pass_s, math.inf, math.inf
                    return run
        start, now = now, now + scheduler.step_latency(prefill_s, decode_s)
        run.steps.append(
            PlainStep(p, d, chunk, pending, num_waiting, num_ready, query_len, prefill_s, decode_s, start, now)
        )

        while p:
            count, index = waiting.popleft()
            take = min(p, count)
            if take < count:
                waiting.appendleft((count - take, index))
            if index + 1 < len(chunk_lens):
                waiting.append((take, index + 1))
            else:
                ttft_sum += take * now
                if to_make:
                    ready.append((take, to_make, now))
                else:
                    finished += take
                    run.finish_s = now
            p -= take
        while d:
            count, left_to_make, first_token = ready.popleft()
            take = min(d, count)
            if take < count:
                ready.appendleft((count - take, left_to_make, first_token))
            if left_to_make == 1:
                finished += take
                run.finish_s = now
                tpot_sum += take * ((now - first_token) / to_make)
            else:
                ready.append((take, left_to_make - 1, first_token))
            d -= take

    run.ttft_s = ttft_sum / concurrency
    run.tpot_s = tpot_sum / concurrency
    run.output_tokens_per_s = num_output_tokens * concurrency / run.finish_s if run.finish_s else 0.0
    return run
