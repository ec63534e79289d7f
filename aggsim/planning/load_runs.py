"""One load on one replica, simulated with several seeds and measured after a warm-up."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, cycle, islice

import numpy as np

from aggsim.forward.batch import BoolArray, FloatArray
from aggsim.parameters_arrivals import LengthSpread, TraceRow
from aggsim.planning.load_result import KvCapacity, LoadSeries, Quantiles, Sampled
from aggsim.serving.arrivals import Lengths, Traffic, closed_traffic, draw_lengths, open_traffic, trace_traffic
from aggsim.serving.continuous import Served, serve
from aggsim.serving.replica import Replica
from aggsim.serving.request_times import RequestTimes, Span, mean_in_bins, request_times, token_gaps
from aggsim.serving.step_prices import StepPrices

__all__ = ["Hooks", "Measured", "Stage", "carried_by_replica", "plus_minus", "sampled", "series_of"]

MEASURED, ROUNDS = 1000, 4
"""Requests measured at least with each seed, and how often all seats or users are to take turns."""
WARM_UP, WARM_UP_ROUNDS = 100, 2
NUM_BINS = 200
_GOLDEN = 0.6180339887498949
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
# Student's t, 97.5%, for 1, 2, … degrees of freedom.
_STUDENT_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
              2.120, 2.110, 2.101, 2.093)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Who watches: progress hears of the share that is done; setting cancel raises CancelledError soon."""

    progress: Callable[[float], None] | None = None
    cancel: threading.Event | None = None

    def part(self, index: int, parts: int) -> Hooks:
        """Of work that consists of several equal parts."""
        whole = self.progress
        if whole is None:
            return self
        return Hooks(progress=lambda share: whole((index + share) / parts), cancel=self.cancel)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stage:
    """A replica, what its steps cost, and the requests that may come to it."""

    replica: Replica
    prices: StepPrices
    kv: KvCapacity
    replicas: int
    lengths: tuple[int, int]
    spread: LengthSpread
    rows: tuple[TraceRow, ...] = ()
    """Of a trace, over the whole deployment."""

    @property
    def mean_lengths(self) -> tuple[float, float]:
        """Input and output tokens of the requests that come."""
        if not self.rows:
            return self.spread.mean_tokens(*self.lengths)
        number = len(self.rows)
        return sum(r.input_tokens for r in self.rows) / number, sum(r.output_tokens for r in self.rows) / number

    @property
    def seats_in_use(self) -> int:
        """About the most requests that hold KV blocks at a time."""
        by_memory = min(self.kv.tokens / max(1.0, self.mean_lengths[0]), 1e9)
        return max(1, min(self.replica.max_num_seqs, math.ceil(by_memory)))

    def draw(self, seed: int) -> Iterator[Lengths]:
        """Lengths of one request after another; those of a trace over and over."""
        if self.rows:
            return cycle((row.input_tokens, row.output_tokens) for row in self.rows[:: self.replicas])
        return draw_lengths(self.spread, *self.lengths, seed)

    def closed(self, users: int, seed: int, hooks: Hooks, *, staggered: bool = False) -> Measured:
        """So many users of this replica, who come together; staggered: and whose first requests end one by one."""
        lengths = self.draw(seed)
        if staggered:
            lengths = chain(_staggered(islice(lengths, users)), lengths)
        # Whole rounds, for users who came together long stay together.
        warm_up, rounds = max(-(-WARM_UP // users), WARM_UP_ROUNDS), max(-(-MEASURED // users), ROUNDS)
        return self._serve(closed_traffic(users, lengths), warm_up * users, rounds * users, hooks)

    def open(self, rate_per_s: float, cv: float, seed: int, hooks: Hooks) -> Measured:
        """Requests that come by themselves, rate_per_s to all replicas together."""
        traffic = open_traffic(rate_per_s, cv, self.draw(seed), replicas=self.replicas, seed=seed)
        seats = self.seats_in_use
        return self._serve(traffic, max(WARM_UP, seats), max(MEASURED, ROUNDS * seats), hooks)

    def trace(self, hooks: Hooks) -> Measured:
        """Everything that comes, without a warm-up."""
        number = len(self.rows[:: self.replicas])
        return self._serve(trace_traffic(self.rows, replicas=self.replicas), 0, number, hooks)

    def _serve(self, traffic: Traffic, warm_up: int, measured: int, hooks: Hooks) -> Measured:
        served = serve(
            self.replica,
            traffic,
            self.prices,
            completions=warm_up + measured,
            progress=hooks.progress,
            cancel=hooks.cancel,
        )
        return Measured.of(served, warm_up, self.kv)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """One simulation."""

    served: Served
    times: RequestTimes
    warm_up: int
    span: Span
    """What is measured: requests that ended in it."""
    ended: BoolArray
    kv: KvCapacity
    ttft_s: FloatArray = field(init=False)
    tpot_s: FloatArray = field(init=False)
    """nan for a single output token."""
    end_to_end_s: FloatArray = field(init=False)

    @classmethod
    def of(cls, served: Served, warm_up: int, kv: KvCapacity) -> Measured:
        """Times of a run; those that ended in its warm-up do not count."""
        times = request_times(served)
        span = times.after(warm_up)
        return cls(served=served, times=times, warm_up=warm_up, span=span, ended=times.ended_in(span), kv=kv)

    def __post_init__(self) -> None:
        times, ended = self.times, self.ended
        passes = np.where(times.output_tokens > 1, times.output_tokens - 1, np.nan)[ended]
        object.__setattr__(self, "ttft_s", (times.first_s - times.arrival_s)[ended])
        object.__setattr__(self, "tpot_s", (times.end_s[ended] - times.first_s[ended]) / passes)
        object.__setattr__(self, "end_to_end_s", (times.end_s - times.arrival_s)[ended])

    @property
    def requests_per_s(self) -> float:
        """Of one replica."""
        return float(self.ended.sum() / self.span.length_s)

    def tokens_per_s(self) -> tuple[float, float]:
        """Of the prompts and of the outputs of the requests that ended."""
        times, length = self.times, self.span.length_s
        return (
            float(times.input_tokens[self.ended].sum() / length),
            float(times.output_tokens[self.ended].sum() / length),
        )

    def gaps(self) -> tuple[FloatArray, FloatArray]:
        """Between what two passes yield to a request, with how often each occurs."""
        return token_gaps(self.served, self.span)

    def kv_shares(self) -> tuple[float, float] | None:
        """Mean and largest share of the KV blocks."""
        if not self.kv.blocks:
            return None
        runs, span = self.served.runs, self.span
        overlap = np.maximum(np.minimum(runs.end_s, span.end_s) - np.maximum(runs.start_s, span.start_s), 0.0)
        mean = float((overlap * runs.kv_blocks).sum() / span.length_s)
        return mean / self.kv.blocks, float(runs.kv_blocks[overlap > 0].max(initial=0)) / self.kv.blocks


def carried_by_replica(stage: Stage, hooks: Hooks) -> float:
    """Requests per second that one replica ends while its queue is never empty."""
    at_once = math.ceil(2 * stage.replica.max_batched_tokens / stage.mean_lengths[0])
    users = stage.seats_in_use + min(max(stage.seats_in_use, at_once), stage.replica.max_num_seqs) + 1
    # Requests of one length that come together stay together, which saves prefill steps that no real queue saves.
    return stage.closed(users, 0, hooks, staggered=True).requests_per_s


def _staggered(lengths: Iterator[Lengths]) -> Iterator[Lengths]:
    """Outputs cut to shares that fill 0 … 1 evenly, in no order."""
    for n, (inputs, outputs) in enumerate(lengths, 1):
        yield inputs, max(1, round(outputs * (n * _GOLDEN % 1)))


def sampled(parts: Sequence[tuple[FloatArray, FloatArray]]) -> Sampled:
    """(values, how often each) of every seed, taken together."""
    together = np.concatenate([values for values, _ in parts]), np.concatenate([counts for _, counts in parts])
    each = [_quantiles(*part) for part in parts if len(part[0])]
    spread = None
    if len(each) > 1:
        factor = _STUDENT_T[len(each) - 2] / math.sqrt(len(each))
        names = ("mean", *_QUANTILES)
        spread = Quantiles(**{name: factor * float(np.std([q.at(name) for q in each], ddof=1)) for name in names})
    return Sampled(value=_quantiles(*together), plus_minus=spread, count=round(float(together[1].sum())))


def plus_minus(values: Sequence[float]) -> float | None:
    """Half-width of the 95% confidence interval of their mean; None for a single one."""
    if len(values) < 2:
        return None
    return _STUDENT_T[len(values) - 2] / math.sqrt(len(values)) * float(np.std(values, ddof=1))


def _quantiles(values: FloatArray, counts: FloatArray) -> Quantiles:
    if not len(values):
        return Quantiles(mean=0.0, p50=0.0, p90=0.0, p95=0.0, p99=0.0)
    order = np.argsort(values, kind="stable")
    ranks = np.cumsum(counts[order])
    found = {
        name: float(values[order[min(int(np.searchsorted(ranks, share * ranks[-1] * (1 - 1e-12))), len(order) - 1)]])
        for name, share in _QUANTILES.items()
    }
    return Quantiles(mean=float(np.average(values, weights=counts)), **found)


def series_of(measured: Measured) -> LoadSeries:
    """Bins over the whole simulation."""
    times, runs, kv = measured.times, measured.served.runs, measured.kv
    edges = np.linspace(0.0, float(runs.end_s[-1]), NUM_BINS + 1)
    starts, ends = (np.sort(column[np.isfinite(column)]) for column in (times.start_s, times.end_s))

    def counted(*changes: tuple[FloatArray, int]) -> FloatArray:
        when = np.concatenate([column for column, _ in changes])
        by = np.concatenate([np.full(len(column), float(step)) for column, step in changes])
        order = np.argsort(when, kind="stable")
        return np.maximum(mean_in_bins(when[order], by[order], edges), 0.0)

    arrived = times.arrival_s[np.isfinite(times.arrival_s)]
    held: FloatArray = np.zeros(0)
    if kv.blocks:
        when = np.stack([runs.start_s, runs.end_s], axis=1).ravel()
        by = np.stack([runs.kv_blocks, -runs.kv_blocks], axis=1).ravel().astype(np.float64)
        held = mean_in_bins(when, by, edges) / kv.blocks
    return LoadSeries(
        time_s=tuple(((edges[1:] + edges[:-1]) / 2).tolist()),
        waiting=tuple(counted((arrived, 1), (starts, -1)).tolist()),
        running=tuple(counted((starts, 1), (ends, -1)).tolist()),
        kv_share=tuple(np.clip(held, 0.0, 1.0).tolist()),
        warm_up_s=measured.span.start_s if measured.warm_up else 0.0,
    )
