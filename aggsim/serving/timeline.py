"""What the scheduler did: run-length encoded steps of one simulated run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """`repeat` equal scheduler steps in a row, from start_s to end_s together.

    Queue counts are at the first of them, before it runs.
    """

    start_s: float
    end_s: float
    repeat: int
    prefill_requests: int
    chunk: int
    """Index of the prefill chunk, −1 when nothing was prefilled."""
    query_len: int
    """New tokens of one prefill request in that chunk, 0 when nothing was prefilled."""
    decode_requests: int
    pending: int
    """Requests of the front prefill group: what the scheduler sees."""
    waiting: int
    """Requests in the whole prefill queue."""
    ready: int
    """Requests that could decode."""
    prefill_s: float
    """Latency of the prefill pass of one such step (0: none)."""
    decode_s: float
    """Latency of the decode pass of one such step (0: none)."""

    @property
    def step_s(self) -> float:
        """Length of one of the repeated steps."""
        return (self.end_s - self.start_s) / self.repeat


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """One run; steps are in time order and leave no gap."""

    steps: tuple[Step, ...]

    @property
    def end_s(self) -> float:
        return self.steps[-1].end_s if self.steps else 0.0

    @property
    def num_steps(self) -> int:
        """Scheduler steps, repeats counted."""
        return sum(step.repeat for step in self.steps)
