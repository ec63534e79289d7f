"""The steps a burst takes, without their times: schedulers see counts only, so the plan needs no engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from aggsim.errors import InputError, NoProgressError
from aggsim.serving.burst import Burst
from aggsim.serving.decode_queue import DecodeQueue
from aggsim.serving.schedulers import Scheduler, SchedulerState

__all__ = ["MAX_PLANNED_STEPS", "PlannedStep", "plan_steps"]

MAX_PLANNED_STEPS = 1_000_000
"""Longest plan; a budget of a few tokens cuts long prompts into more steps than anyone could look at."""


class PlannedStep(NamedTuple):
    """`repeat` steps in a row that see the same queues and run the same passes. Counts as in timeline.Step."""

    repeat: int
    prefill_requests: int
    chunk: int
    decode_requests: int
    pending: int
    waiting: int
    ready: int
    first_tokens: int
    """Requests that have their first token at the end of it."""
    finished: Sequence[tuple[int, int]]
    """(requests, index of the planned step that gave them their first token) that finish at the end of it."""


def plan_steps(burst: Burst, concurrency: int, scheduler: Scheduler) -> list[PlannedStep]:
    """All steps until `concurrency` requests that arrive together have finished.

    Where only decoding happens the queues look the same to the scheduler until somebody finishes: one entry.
    Raises NoProgressError when the scheduler runs nothing, InputError past MAX_PLANNED_STEPS.
    """
    chunks, step_tokens = burst.chunks, burst.step_tokens
    remaining = burst.num_output_tokens - 1  # the last prefill chunk makes the first token
    last_chunk = len(chunks) - 1
    prefill: deque[tuple[int, int]] = deque([(concurrency, 0)])  # (requests, chunk), no two neighbours at one chunk
    decode = DecodeQueue()
    decided: dict[tuple[int, int, int], tuple[int, int]] = {}
    steps: list[PlannedStep] = []
    waiting = concurrency
    while waiting or decode.ready:
        if len(steps) == MAX_PLANNED_STEPS:
            allowed = f"a budget that serves the burst in at most {MAX_PLANNED_STEPS:,} scheduler decisions"
            raise InputError("max_batched_tokens", burst.max_batched_tokens, allowed)
        pending, chunk = prefill[0] if prefill else (0, -1)
        ready = decode.ready
        seen = (ready, pending, chunks[chunk].query_len if prefill else step_tokens)
        if seen not in decided:
            decided[seen] = _decide(scheduler, *seen, step_tokens)
        p, d = decided[seen]

        repeat = 1 if p else decode.steps_to_finish(d)
        first_tokens = 0
        finished: Sequence[tuple[int, int]] = ()
        left = waiting
        if p:
            prefill.popleft()
            if p < pending:
                prefill.appendleft((pending - p, chunk))
            if chunk < last_chunk:
                tail = prefill.pop()[0] if prefill and prefill[-1][1] == chunk + 1 else 0
                prefill.append((tail + p, chunk + 1))
            else:
                first_tokens = p
                left -= p
                if remaining:
                    decode.join(p, remaining, len(steps))
                else:
                    finished = ((p, len(steps)),)
        if d:
            finished = decode.serve(d * repeat)
        steps.append(PlannedStep(repeat, p, chunk if p else -1, d, pending, waiting, ready, first_tokens, finished))
        waiting = left
    return steps


def _decide(scheduler: Scheduler, ready: int, pending: int, query_len: int, max_batched_tokens: int) -> tuple[int, int]:
    """(prefill requests, decode requests) of the next step; a decision that cannot be carried out is an error."""
    decision = scheduler.decide(
        SchedulerState(ready=ready, pending=pending, query_len=query_len, max_batched_tokens=max_batched_tokens)
    )
    p, d = decision.prefill_requests, decision.decode_requests
    if not (0 <= p <= pending and 0 <= d <= ready):
        raise ValueError(f"the scheduler chose {p} of {pending} to prefill and {d} of {ready} to decode")
    if p == d == 0:
        raise NoProgressError(
            f"The scheduler made no progress: with {pending} requests to prefill in chunks of {query_len} tokens and "
            f"{ready} to decode under a budget of {max_batched_tokens} tokens, it ran neither."
        )
    return p, d
