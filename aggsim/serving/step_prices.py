"""What the steps of one replica cost: mixed passes, and runs of equal passes at a few points of their length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from aggsim.engines.base import ForwardModel
from aggsim.errors import InputError
from aggsim.forward.batch import Batches, BoolArray, FloatArray, IntArray

__all__ = ["CHORD_TOLERANCE", "MIXED", "PrefillGroup", "ReplicaPasses", "StepPrices", "pass_seconds", "run_seconds"]

MIXED = ("fused", "max", "sum")
CHORD_TOLERANCE = 2e-4
"""A run is priced at its ends and its middle. Where the middle is off the chord by more than this share, 33 points
are priced. A latency that is convex in the context strays from a chord by at most twice what its middle does."""
_FINE_POINTS = 33
_ROWS_AT_ONCE = 1024

PrefillGroup = tuple[int, int, int]
"""(requests, query_len, seq_len) of equal chunks of one replica; a prefix-cache hit counts in seq_len."""


class StepPrices(Protocol):
    """Prices passes of one replica."""

    def latency_s(
        self, decode_requests: IntArray, sum_seq_len: IntArray, prefills: Sequence[tuple[PrefillGroup, ...]]
    ) -> FloatArray:
        """Seconds of N passes, shape (N,): decoding requests, Σ seq_len over them, and chunks; not all empty."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaPasses:
    """Every one of `replicas` data-parallel replicas runs the same pass, so n requests of it are priced as n·dp.

    The decoding requests enter as one group of their mean length, between whole tokens by interpolation: exact for an
    engine that is linear in the context. Groups of different lengths would be kernels of their own to an engine with
    measured tables, and one that caps each context (sliding windows) sees the mean.
    """

    forward: ForwardModel
    replicas: int = 1
    decode_query_len: int = 1
    mixed: str = "fused"
    """How prefill and decode of one step add up: one batch, or two that overlap (max) or follow each other (sum)."""

    def __post_init__(self) -> None:
        if self.mixed not in MIXED:
            raise InputError("mixed", self.mixed, ", ".join(MIXED))

    def latency_s(
        self, decode_requests: IntArray, sum_seq_len: IntArray, prefills: Sequence[tuple[PrefillGroup, ...]]
    ) -> FloatArray:
        widths = np.array([len(groups) for groups in prefills], np.int64)
        if self.mixed == "fused":
            return self._price(decode_requests, sum_seq_len, prefills, widths)
        parts = np.zeros((2, len(widths)))
        decodes, chunks = np.flatnonzero(decode_requests), np.flatnonzero(widths)
        alone: list[tuple[PrefillGroup, ...]] = [()] * len(decodes)
        parts[0, decodes] = self._price(decode_requests[decodes], sum_seq_len[decodes], alone, 0 * decodes)
        nobody = np.zeros(len(chunks), np.int64)
        parts[1, chunks] = self._price(nobody, nobody, [prefills[int(i)] for i in chunks], widths[chunks])
        return np.asarray(parts.max(axis=0) if self.mixed == "max" else parts.sum(axis=0))

    def _price(
        self,
        decode_requests: IntArray,
        sum_seq_len: IntArray,
        prefills: Sequence[tuple[PrefillGroup, ...]],
        widths: IntArray,
    ) -> FloatArray:
        number = np.maximum(decode_requests, 1)
        shortest = sum_seq_len // number
        share = (sum_seq_len - shortest * number) / number
        between = np.flatnonzero(share)
        rows = np.concatenate([np.arange(len(widths)), between])
        seq_len = np.concatenate([shortest, shortest[between] + 1])
        latency = self._price_whole(decode_requests[rows], seq_len, prefills, widths, rows)
        shorter, longer = latency[: len(widths)], latency[len(widths) :]
        shorter[between] += (longer - shorter[between]) * share[between]
        return shorter

    def _price_whole(
        self,
        decode_requests: IntArray,
        seq_len: IntArray,
        prefills: Sequence[tuple[PrefillGroup, ...]],
        widths: IntArray,
        source: IntArray,
    ) -> FloatArray:
        """Passes of equally long decoding requests; source: whose chunks they have. About the same number of groups
        together, so that a few wide ones do not pad them all."""
        latency = np.empty(len(source))
        order = np.argsort(widths[source], kind="stable")
        for start in range(0, len(order), _ROWS_AT_ONCE):
            rows = order[start : start + _ROWS_AT_ONCE]
            wide = widths[source[rows]]
            shape = (len(rows), 1 + int(wide[-1]))
            num, query, seq = np.zeros(shape, np.int64), np.ones(shape, np.int64), np.ones(shape, np.int64)
            num[:, 0], query[:, 0] = decode_requests[rows], self.decode_query_len
            seq[:, 0] = np.maximum(seq_len[rows], self.decode_query_len)
            for i in np.flatnonzero(wide):
                end = 1 + int(wide[i])
                num[i, 1:end], query[i, 1:end], seq[i, 1:end] = zip(*prefills[source[rows[i]]], strict=True)
            is_decode = np.zeros(shape, np.bool_)
            is_decode[:, 0] = True
            batches = Batches(num_requests=num * self.replicas, query_len=query, seq_len=seq, is_decode=is_decode)
            latency[rows] = self.forward.price(batches).latency_s
        return latency


def run_seconds(
    prices: StepPrices, decode_requests: IntArray, sum_seq_len: IntArray, repeat: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Length of M runs of decode passes, shape (M,), and of the first, middle and last pass of each, shape (M, 3).

    decode_requests, repeat: shape (M,); sum_seq_len: shape (M, 3), in the first, the middle and the last pass.
    """
    latency, middle, curved = _three_points(prices, decode_requests, sum_seq_len, repeat)
    first, mid, last = latency.T
    seconds: FloatArray = (middle + 1) * (first + mid) / 2 + (repeat - middle) * (mid + last) / 2 - mid
    for i in np.flatnonzero(curved):
        seconds[i] = _fine_passes(prices, int(decode_requests[i]), sum_seq_len[i], int(repeat[i])).sum()
    return seconds, latency


def pass_seconds(prices: StepPrices, decode_requests: int, sum_seq_len: Sequence[int], repeat: int) -> FloatArray:
    """Seconds of each pass of one run, shape (repeat,)."""
    sums = np.array(sum_seq_len, np.int64)
    number, length = np.array([decode_requests], np.int64), np.array([repeat], np.int64)
    latency, middle, curved = _three_points(prices, number, sums[np.newaxis], length)
    if curved[0]:
        return _fine_passes(prices, decode_requests, sums, repeat)
    points = [0, int(middle[0]), repeat - 1]
    return np.asarray(np.interp(np.arange(repeat), points, latency[0]))


def _three_points(
    prices: StepPrices, decode_requests: IntArray, sum_seq_len: IntArray, repeat: IntArray
) -> tuple[FloatArray, IntArray, BoolArray]:
    """Latency of the first, middle and last pass of M runs (M, 3), which pass the middle one is, and where three
    points are not enough."""
    last = repeat - 1
    middle = last // 2
    wanted = np.stack([repeat > 0, middle > 0, last > 0], axis=1)
    rows, columns = np.nonzero(wanted)
    latency = np.zeros(wanted.shape)
    latency[wanted] = prices.latency_s(decode_requests[rows], sum_seq_len[rows, columns], [()] * len(rows))
    latency[:, 1] = np.where(wanted[:, 1], latency[:, 1], latency[:, 0])
    latency[:, 2] = np.where(wanted[:, 2], latency[:, 2], latency[:, 0])
    chord = latency[:, 0] + (latency[:, 2] - latency[:, 0]) * middle / np.maximum(last, 1)
    return latency, middle, np.abs(latency[:, 1] - chord) > CHORD_TOLERANCE * chord


def _fine_passes(prices: StepPrices, decode_requests: int, sum_seq_len: IntArray, repeat: int) -> FloatArray:
    points = np.unique(np.linspace(0, repeat - 1, _FINE_POINTS).round().astype(np.int64))
    growth = (sum_seq_len[2] - sum_seq_len[0]) / (repeat - 1)
    sums = sum_seq_len[0] + np.rint(points * growth).astype(np.int64)
    latency = prices.latency_s(np.full(len(points), decode_requests), sums, [()] * len(points))
    return np.asarray(np.interp(np.arange(repeat), points, latency))
