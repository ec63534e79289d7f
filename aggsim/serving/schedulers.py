"""Who runs in the next step. A scheduler is one class and one entry of SCHEDULERS."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

__all__ = ["SCHEDULERS", "DecodeFirstWithSlack", "Scheduler", "SchedulerState", "StepDecision"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerState:
    """The queues before a step, over the whole deployment."""

    ready: int
    """Requests that can decode."""
    pending: int
    """Requests at the front of the prefill queue that share their next chunk."""
    query_len: int
    """New tokens of that chunk, per request; the token budget when nothing is pending. ≥ 1."""
    max_batched_tokens: int
    """Token budget of one step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDecision:
    """Requests taken from the front of each queue: at most pending and ready, not both 0."""

    prefill_requests: int
    decode_requests: int


class Scheduler(Protocol):
    """A policy; pure, so that equal states may be decided once and runs of equal steps jumped over."""

    def decide(self, state: SchedulerState) -> StepDecision:
        """What runs in the next step. Sees counts, never times."""
        ...

    def step_latency(self, prefill_s: float, decode_s: float) -> float:
        """Seconds of a step from its two passes; 0 stands for a pass that did not run."""
        ...


class DecodeFirstWithSlack:
    """Decode all that the budget allows, then prefill what fits into the budget plus 15%; both passes overlap."""

    SLACK = 1.15

    def decide(self, state: SchedulerState) -> StepDecision:
        limit = math.floor(state.max_batched_tokens * self.SLACK)
        decode_requests = min(state.ready, state.max_batched_tokens)
        room = (limit - decode_requests) // state.query_len
        return StepDecision(prefill_requests=min(state.pending, room), decode_requests=decode_requests)

    def step_latency(self, prefill_s: float, decode_s: float) -> float:
        return max(prefill_s, decode_s)


SCHEDULERS: dict[str, Scheduler] = {"decode_first_with_slack": DecodeFirstWithSlack()}
"""By the name a Scenario uses."""
