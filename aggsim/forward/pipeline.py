"""All stages of a deployment: a pass goes through them one after the other, or its parts follow one another."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from aggsim.forward.batch import Batch, Batches, FloatArray, IntArray
from aggsim.forward.cost import Bound, BoundTimes, ForwardCost, OpCost, Prices
from aggsim.forward.features import evaluate
from aggsim.forward.roofline import OperatorColumns, StagePricer


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
        columns, memories, times = [], [], []
        for stage in self.stages:
            row = evaluate(stage.features, part)[0]
            kept = row if part is whole else evaluate(stage.features, whole)[0]
            columns.append(stage.operators(row))
            memories.append(stage.memory(row, kept))
            times.append(sum(amounts[1] for amounts in columns[-1].amounts))
        slowest = times.index(max(times))
        repeats = [int(parts[0]) if i == slowest else 1 for i in range(len(times))]
        return ForwardCost(
            latency_s=sum(time * n for time, n in zip(times, repeats, strict=True)),
            memory=min(memories, key=lambda memory: memory.available),
            bound_s=_bounds(columns, repeats),
            ops=_merged(self.stages, columns, repeats),
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


def _bounds(columns: list[OperatorColumns], repeats: list[int]) -> BoundTimes:
    sums = [0.0] * 4
    for column, n in zip(columns, repeats, strict=True):
        sums = [total + n * seconds for total, seconds in zip(sums, column.bound_s, strict=True)]
    memory, communication, mma, gp = sums
    return BoundTimes(memory=memory, communication=communication, mma=mma, gp=gp)


@dataclass(slots=True)
class _Sum:
    """Operators of one kind so far."""

    amounts: list[float]
    """As in OperatorColumns.amounts."""
    longest_s: float
    bound: Bound


def _merged(stages: tuple[StagePricer, ...], columns: list[OperatorColumns], repeats: list[int]) -> tuple[OpCost, ...]:
    """One entry for each kind of operator that runs: sums, and the bound of the one that takes longest."""
    sums: dict[tuple[str, str], _Sum] = {}
    for stage, column, n in zip(stages, columns, repeats, strict=True):
        for operator, bound, amounts in zip(stage.stage.operators, column.bound, column.amounts, strict=True):
            calls, total_s = amounts[0] * n, amounts[1] * n
            if round(calls) == 0:
                continue
            scaled = amounts if n == 1 else [amount * n for amount in amounts]
            known = sums.get(key := (operator.name, operator.kernel))
            if known is None:
                sums[key] = _Sum(scaled, total_s, bound)
                continue
            known.amounts = [a + b for a, b in zip(known.amounts, scaled, strict=True)]
            if total_s > known.longest_s:
                known.longest_s, known.bound = total_s, bound
    return tuple(_op_cost(name, kernel, found) for (name, kernel), found in sums.items())


def _op_cost(name: str, kernel: str, found: _Sum) -> OpCost:
    calls, total_s, mma_ops, gp_ops, memory_bytes, communication_bytes = found.amounts
    return OpCost(
        name=name,
        kernel=kernel,
        calls=round(calls),
        total_s=total_s,
        bound=found.bound,
        source="analytic",
        mma_ops=mma_ops,
        gp_ops=gp_ops,
        memory_bytes=memory_bytes,
        communication_bytes=communication_bytes,
    )
