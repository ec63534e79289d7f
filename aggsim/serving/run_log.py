"""The steps of a simulated replica: planned in tokens and requests first, put on the clock many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import NamedTuple

import numpy as np

from aggsim.forward.batch import BoolArray, FloatArray, IntArray
from aggsim.serving.step_prices import PrefillGroup, StepPrices, pass_seconds, run_seconds

__all__ = ["ReplicaRun", "RunColumns", "RunLog"]


class ReplicaRun(NamedTuple):
    """`repeat` steps of one replica in a row between which nothing happens but that contexts grow."""

    repeat: int
    decode_requests: int
    sum_seq_len: tuple[int, int, int]
    """Σ seq_len over them in the first, the middle ((repeat − 1) // 2 later) and the last step."""
    prefills: tuple[PrefillGroup, ...]
    """Chunks; a run that has any is a single step."""
    prompts: int
    """Requests that have a seat and whose prompt is not done before the step."""
    ready: int
    """Requests that can decode."""
    kv_blocks: int
    """Held in the last step."""
    is_blocked: bool
    """The head of the queue waits for a seat or for KV blocks."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunColumns:
    """N runs in time order as arrays of shape (N,); see ReplicaRun. Between two of them the replica may be idle."""

    start_s: FloatArray
    end_s: FloatArray
    step_s: FloatArray
    """Shape (N, 3): seconds of the first, the middle and the last step."""
    repeat: IntArray
    decode_requests: IntArray
    prefill_requests: IntArray
    prefill_tokens: IntArray
    prompts: IntArray
    ready: IntArray
    kv_blocks: IntArray
    is_blocked: BoolArray

    def __len__(self) -> int:
        return len(self.start_s)


class RunLog:
    """Runs and the clock. The clock stands still while runs are added; settle() prices them together."""

    def __init__(self, prices: StepPrices) -> None:
        self.clock_s = 0.0
        """The end of the last run, when everything is settled."""
        self._prices = prices
        self._runs: list[ReplicaRun] = []
        self._start_s: list[float] = []
        self._end_s: list[float] = []
        self._step_s: list[list[float]] = []

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def num_unsettled(self) -> int:
        return len(self._runs) - len(self._end_s)

    def add(self, run: ReplicaRun, passes: FloatArray | None = None) -> None:
        """passes: seconds of each step, where they are known already; everything before it must be settled."""
        self._runs.append(run)
        if passes is not None:
            self._start_s.append(self.clock_s)
            self.clock_s += float(passes.sum())
            self._end_s.append(self.clock_s)
            self._step_s.append(passes[[0, (len(passes) - 1) // 2, -1]].tolist())

    def settle(self) -> None:
        """Put all runs on the clock."""
        runs = self._runs[len(self._end_s) :]
        if not runs:
            return
        seconds, steps = np.empty(len(runs)), np.empty((len(runs), 3))
        decode_requests = np.array([run.decode_requests for run in runs], np.int64)
        sum_seq_len = np.array([run.sum_seq_len for run in runs], np.int64)
        repeat = np.array([run.repeat for run in runs], np.int64)
        alone = np.array([not run.prefills for run in runs], np.bool_)
        if alone.any():
            numbers = decode_requests[alone], sum_seq_len[alone], repeat[alone]
            seconds[alone], steps[alone] = run_seconds(self._prices, *numbers)
        if not alone.all():
            prefills = [run.prefills for run in runs if run.prefills]
            seconds[~alone] = self._prices.latency_s(decode_requests[~alone], sum_seq_len[~alone, 0], prefills)
            steps[~alone] = seconds[~alone, np.newaxis]
        ends = (self.clock_s + np.cumsum(seconds)).tolist()
        self._start_s += [self.clock_s, *ends[:-1]]
        self._end_s += ends
        self._step_s += steps.tolist()
        self.clock_s = ends[-1]

    def idle_until(self, time_s: float) -> None:
        """Nothing runs until then; everything must be settled."""
        self.clock_s = max(self.clock_s, time_s)

    def passes_until(self, time_s: float, decode_requests: int, sum_seq_len: Sequence[int], repeat: int) -> FloatArray:
        """Seconds of those of `repeat` decode passes from now on that begin before time_s, at least one.

        Everything must be settled.
        """
        seconds = pass_seconds(self._prices, decode_requests, sum_seq_len, repeat)
        return seconds[: int(np.searchsorted(seconds.cumsum(), time_s - self.clock_s)) + 1]

    def columns(self) -> RunColumns:
        """Everything on the clock."""
        self.settle()
        runs = self._runs

        def whole(values: Sequence[int]) -> IntArray:
            return np.array(values, np.int64)

        return RunColumns(
            start_s=np.array(self._start_s),
            end_s=np.array(self._end_s),
            step_s=np.array(self._step_s).reshape(-1, 3),
            repeat=whole([run.repeat for run in runs]),
            decode_requests=whole([run.decode_requests for run in runs]),
            prefill_requests=whole([sum(requests for requests, _, _ in run.prefills) for run in runs]),
            prefill_tokens=whole([sum(starmap(_tokens, run.prefills)) for run in runs]),
            prompts=whole([run.prompts for run in runs]),
            ready=whole([run.ready for run in runs]),
            kv_blocks=whole([run.kv_blocks for run in runs]),
            is_blocked=np.array([run.is_blocked for run in runs], np.bool_),
        )


def _tokens(requests: int, query_len: int, seq_len: int) -> int:  # noqa: ARG001
    return requests * query_len
