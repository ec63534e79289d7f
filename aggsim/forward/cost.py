"""What a forward pass costs: result objects only, no arithmetic that ranks or prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from aggsim.forward.batch import FloatArray

Bound = Literal["memory", "communication", "mma", "gp", "unknown"]
Source = Literal["measured", "interpolated", "analytic", "fitted"]

__all__ = ["Bound", "BoundTimes", "ForwardCost", "MemoryUse", "OpCost", "Prices", "Source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpCost:
    """All calls of one kind of operator in one forward pass of the slowest rank."""

    name: str
    calls: int
    total_s: float
    bound: Bound
    source: Source
    kernel: str = ""
    """What runs there; forward.names maps it to the original's operator."""
    mma_ops: float = 0.0
    gp_ops: float = 0.0
    memory_bytes: float = 0.0
    communication_bytes: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundTimes:
    """Seconds of a pass by what bounds each operator: memory, communication, matrix units, vector units."""

    memory: float = 0.0
    communication: float = 0.0
    mma: float = 0.0
    gp: float = 0.0

    @property
    def total(self) -> float:
        return self.memory + self.communication + self.mma + self.gp


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryUse:
    """Bytes per device of the fullest rank; available may be negative: the pass does not fit."""

    weight: float
    kv_cache: float
    activation: float
    reserved: float
    available: float
    total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardCost:
    """One forward pass, per device."""

    latency_s: float
    memory: MemoryUse
    bound_s: BoundTimes
    ops: tuple[OpCost, ...]
    source: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """N forward passes as arrays of shape (N,)."""

    latency_s: FloatArray
    available_bytes: FloatArray

    @classmethod
    def of(cls, costs: Sequence[ForwardCost]) -> Prices:
        """What passes that were priced one by one come to."""
        return cls(
            latency_s=np.array([cost.latency_s for cost in costs], np.float64),
            available_bytes=np.array([cost.memory.available for cost in costs], np.float64),
        )

    def __len__(self) -> int:
        return int(self.latency_s.shape[0])
