"""Prices of single steps, read off curves: where requests come by themselves, every arrival asks for a few passes that
differ from earlier ones in little but the length of contexts, and asking the engine takes longer than all the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from aggsim.forward.batch import FloatArray, IntArray
from aggsim.serving.step_prices import PrefillGroup, ReplicaPasses

__all__ = ["CurvedPasses"]

_FEW = 48
"""More rows than that are priced as they are: together they cost little."""
_SPANS = 8
"""Straight pieces in each octave of the mean context. An engine whose latency is linear in it is met exactly."""
_MOST_CURVES = 100_000

_Key = tuple[int, tuple[PrefillGroup, ...], int]
"""Decoding requests, chunks, octave of their mean context: 2^k … 2^(k + 1)."""


@dataclass(slots=True, kw_only=True, eq=False)
class CurvedPasses:
    """StepPrices of `passes`. What a price is does not depend on what was asked before."""

    passes: ReplicaPasses
    repeats: bool = True
    """The same chunks come again and again, for requests have one length; else those are priced as they are."""
    _curves: dict[_Key, list[float]] = field(default_factory=dict, init=False)
    _alone: dict[tuple[PrefillGroup, ...], float] = field(default_factory=dict, init=False)

    def latency_s(
        self, decode_requests: IntArray, sum_seq_len: IntArray, prefills: Sequence[tuple[PrefillGroup, ...]]
    ) -> FloatArray:
        if len(prefills) > _FEW:
            return self.passes.latency_s(decode_requests, sum_seq_len, prefills)
        if len(self._curves) > _MOST_CURVES:
            self._curves.clear()
        latency = np.zeros(len(prefills))
        exact: list[int] = []
        wanted: list[tuple[int, _Key, float]] = []
        for i, (n, total, groups) in enumerate(
            zip(decode_requests.tolist(), sum_seq_len.tolist(), prefills, strict=True)
        ):
            if not n and groups in self._alone:
                latency[i] = self._alone[groups]
            elif not n or total < 2 * n or not (self.repeats or not groups):
                exact.append(i)
            else:
                mean = total / n
                wanted.append((i, (n, groups, int(mean).bit_length() - 1), mean))
        self._draw({key for _, key, _ in wanted if key not in self._curves})
        for i, key, mean in wanted:
            place = (mean / (1 << key[2]) - 1) * _SPANS
            at = min(int(place), _SPANS - 1)
            curve = self._curves[key]
            latency[i] = curve[at] + (curve[at + 1] - curve[at]) * (place - at)
        if exact:
            rows = np.array(exact)
            chosen = [prefills[i] for i in exact]
            latency[rows] = self.passes.latency_s(decode_requests[rows], sum_seq_len[rows], chosen)
            for i, groups in zip(exact, chosen, strict=True):
                if self.repeats and not decode_requests[i]:
                    self._alone[groups] = float(latency[i])
        return latency

    def _draw(self, keys: set[_Key]) -> None:
        if not keys:
            return
        ordered = sorted(keys)
        points = np.arange(_SPANS + 1) / _SPANS + 1
        numbers = np.repeat([n for n, _, _ in ordered], _SPANS + 1)
        sums = np.concatenate([np.rint(n * (1 << octave) * points) for n, _, octave in ordered]).astype(np.int64)
        chunks = [groups for _, groups, _ in ordered for _ in points]
        drawn = self.passes.latency_s(numbers, sums, chunks).reshape(len(ordered), _SPANS + 1)
        self._curves.update(zip(ordered, drawn.tolist(), strict=True))
