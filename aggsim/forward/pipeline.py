"""All stages of a deployment: a pass goes through them one after the other, or its parts follow one another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from itertools import chain

import numpy as np

from aggsim.forward.batch import Batch, Batches, FloatArray, IntArray
from aggsim.forward.cost import BoundTimes, ForwardCost, MemoryUse, OpCost, Prices
from aggsim.forward.features import evaluate
from aggsim.forward.roofline import StagePricer


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricer:
    """The stages of one replica out of dp.

    With m micro-batches (as many parts of the requests, m at most the requests of the largest group) a pass takes the
    time of one part through all stages and m − 1 times that of the slowest stage: while that works, the others wait
    for it. Activations are those of one part, caches those of all.
    """

    stages: tuple[StagePricer, ...]
    dp: int = 1
    num_microbatches: int = 1

    def cost(self, batch: Batch) -> ForwardCost:
        """Price one pass in detail; operators and bounds are those of the critical path, so they add up to it."""
        whole, part, parts = self._cut(Batches.of([batch]))
        rows = [evaluate(stage.features, part) for stage in self.stages]
        repeats = [1] * len(rows)
        if part is not whole:
            times = [float(stage.latency_s(row)[0]) for stage, row in zip(self.stages, rows, strict=True)]
            repeats[times.index(max(times))] = int(parts[0])
        operators: list[list[OpCost]] = []
        bounds: list[BoundTimes] = []
        memories: list[MemoryUse] = []
        for stage, row, repeat in zip(self.stages, rows, repeats, strict=True):
            kept = row if part is whole else evaluate(stage.features, whole)
            found, by_side = stage.operators(row[0], repeat)
            operators.append(found)
            bounds.append(by_side)
            memories.append(stage.memory(row[0], kept[0]))
        return ForwardCost(
            latency_s=sum(op.total_s for found in operators for op in found),
            memory=min(memories, key=lambda memory: memory.available),
            bound_s=reduce(_added, bounds),
            ops=_merged(operators),
            source="analytic",
        )

    def price(self, batches: Batches) -> Prices:
        """Price many passes: latency as above, memory that of the fullest stage."""
        whole, part, parts = self._cut(batches)
        latency, slowest = np.zeros(len(batches)), np.zeros(len(batches))
        available = np.full(len(batches), np.inf)
        for stage in self.stages:
            matrix = evaluate(stage.features, part)
            kept = matrix if part is whole else evaluate(stage.features, whole)
            time = stage.latency_s(matrix)
            latency, slowest = latency + time, np.maximum(slowest, time)
            available = np.minimum(available, stage.available_bytes(matrix, kept))
        if part is not whole:
            latency = latency + (parts - 1) * slowest
        return Prices(latency_s=latency, available_bytes=available)

    def _cut(self, batches: Batches) -> tuple[Batches, Batches, FloatArray | IntArray]:
        """The fullest replica's requests, its fullest micro-batch, and the number of micro-batches, shape (N,)."""
        whole = batches
        if self.dp > 1:
            whole = replace(batches, num_requests=-(-batches.num_requests // self.dp))
        if self.num_microbatches == 1 or len(self.stages) == 1:
            return whole, whole, np.ones(len(batches))
        parts = np.clip(whole.num_requests.max(axis=1), 1, self.num_microbatches)
        return whole, replace(whole, num_requests=-(-whole.num_requests // parts[:, None])), parts


def _added(a: BoundTimes, b: BoundTimes) -> BoundTimes:
    return BoundTimes(
        memory=a.memory + b.memory,
        communication=a.communication + b.communication,
        mma=a.mma + b.mma,
        gp=a.gp + b.gp,
    )


def _merged(stages: list[list[OpCost]]) -> tuple[OpCost, ...]:
    """One entry for each kind of operator."""
    if len(stages) == 1:
        return tuple(stages[0])
    kinds: dict[tuple[str, str], OpCost] = {}
    for op in chain.from_iterable(stages):
        known = kinds.get(kind := (op.name, op.kernel))
        kinds[kind] = op if known is None else _joined(known, op)
    return tuple(kinds.values())


def _joined(a: OpCost, b: OpCost) -> OpCost:
    """The same operator in two stages: sums, and the bound of the longer one."""
    return replace(
        a,
        calls=a.calls + b.calls,
        total_s=a.total_s + b.total_s,
        bound=a.bound if a.total_s >= b.total_s else b.bound,
        mma_ops=a.mma_ops + b.mma_ops,
        gp_ops=a.gp_ops + b.gp_ops,
        memory_bytes=a.memory_bytes + b.memory_bytes,
        communication_bytes=a.communication_bytes + b.communication_bytes,
    )
