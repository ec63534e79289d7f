"""The latency of very many batches at once: what is linear is one vector, the rest a few small matrices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aggsim.forward.batch import FloatArray

_CHUNK = 4096
"""Batches priced at once: small enough that the intermediate arrays stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class FoldedSum:
    """The latency sum with everything linear folded into one vector: where one side of an operator's maximum
    is at least the other in every coefficient, it always wins, because features are never negative."""

    linear: FloatArray
    """Shape (F,)."""
    sides: tuple[FloatArray, ...]
    """Matrices (F, K) whose elementwise maximum counts, calls included."""
    transfers: tuple[FloatArray, ...]
    """Memory, ring and tree matrices (F, C): max(memory, min(ring, tree)) counts, calls included."""

    @classmethod
    def of(cls, time: dict[str, FloatArray], calls: FloatArray) -> FoldedSum:
        scaled = {name: matrix * calls for name, matrix in time.items()}
        compute = scaled["mma"] + scaled["gp"]
        memory, ring, tree = scaled["memory"], scaled["ring"], scaled["tree"]
        linear = scaled["static"].sum(axis=1)
        open_sides: list[int] = []
        open_transfers: list[int] = []
        for i in range(len(calls)):
            if ring[:, i].any():
                faster = _lower(ring[:, i], tree[:, i])
                if faster is not None and (faster >= memory[:, i]).all():
                    linear = linear + faster
                else:
                    open_transfers.append(i)
            elif (memory[:, i] >= compute[:, i]).all():
                linear = linear + memory[:, i]
            elif (compute[:, i] >= memory[:, i]).all():
                linear = linear + compute[:, i]
            else:
                open_sides.append(i)
        return cls(
            linear,
            tuple(np.ascontiguousarray(m[:, open_sides]) for m in (memory, compute)),
            tuple(np.ascontiguousarray(m[:, open_transfers]) for m in (memory, ring, tree)),
        )

    def latency_s(self, matrix: FloatArray) -> FloatArray:
        out = matrix @ self.linear
        memory, compute = self.sides
        moved, ring, tree = self.transfers
        for start in range(0, len(matrix), _CHUNK):
            rows = matrix[start : start + _CHUNK]
            if memory.shape[1]:
                out[start : start + _CHUNK] += np.maximum(rows @ memory, rows @ compute).sum(axis=1)
            if ring.shape[1]:
                transfer = np.minimum(rows @ ring, rows @ tree)
                out[start : start + _CHUNK] += np.maximum(transfer, rows @ moved).sum(axis=1)
        return out


def _lower(a: FloatArray, b: FloatArray) -> FloatArray | None:
    if (a <= b).all():
        return a
    return b if (b <= a).all() else None
