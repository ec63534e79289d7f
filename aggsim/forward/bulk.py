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
        transfers = ring.any(axis=0)
        ring_wins, tree_wins = (ring <= tree).all(axis=0), (tree <= ring).all(axis=0)
        faster = np.where(ring_wins, ring, tree)
        settled = transfers & (ring_wins | tree_wins) & (faster >= memory).all(axis=0)
        by_memory = ~transfers & (memory >= compute).all(axis=0)
        by_compute = ~transfers & ~by_memory & (compute >= memory).all(axis=0)
        linear = scaled["static"].sum(axis=1) + faster @ settled + memory @ by_memory + compute @ by_compute
        open_sides = ~(transfers | by_memory | by_compute)
        open_transfers = transfers & ~settled
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
