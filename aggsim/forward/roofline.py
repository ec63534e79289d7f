"""Time and memory of a compiled pipeline stage: coefficient matrices over batch features, so pricing is linear
algebra."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from aggsim.devices.spec import DeviceSpec
from aggsim.forward.batch import FloatArray
from aggsim.forward.bulk import FoldedSum
from aggsim.forward.cost import Bound, MemoryUse
from aggsim.forward.decoder import Stage
from aggsim.forward.form import ONCE, ZERO, Feature, Form, compile_forms, features_of
from aggsim.forward.times import OperatorTimes
from aggsim.forward.trace import Operator

_TIMES = ("memory", "mma", "gp", "ring", "tree", "static")
_BOUNDS: tuple[Bound, ...] = ("unknown", "memory", "communication", "mma", "gp")


@dataclass(frozen=True, slots=True)
class OperatorColumns:
    """Every operator of a stage in one batch, the layers that run it together."""

    amounts: list[list[float]]
    """For each operator: calls, total_s, mma_ops, gp_ops, memory_bytes, communication_bytes."""
    bound: list[Bound]
    bound_s: tuple[float, float, float, float]
    """Seconds of the operators that memory, communication, matrix and vector units bound."""


@dataclass(slots=True)
class StagePricer:
    """One pipeline stage on one device, compiled."""

    stage: Stage
    device: DeviceSpec
    reserved_bytes: float
    missing_on_bf16: bool = False
    features: tuple[Feature, ...] = field(init=False)
    _calls: FloatArray = field(init=False)
    _time: dict[str, FloatArray] = field(init=False)
    _live: FloatArray = field(init=False)
    _kv: FloatArray = field(init=False)
    _weight_bytes: float = field(init=False)
    _fast: FoldedSum = field(init=False)
    _detail: FloatArray | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        operators = self.stage.operators
        times = [OperatorTimes.of(o, self.device, missing_on_bf16=self.missing_on_bf16) for o in operators]
        columns = {name: [getattr(t, name) for t in times] for name in _TIMES}
        live = self.stage.live_bytes
        amounts = [form for o in operators for form in (o.present, *o.mma_ops.values(), *o.gp_ops.values())]
        every = ((ONCE,), *columns.values(), live, (self.stage.kv_bytes,), amounts)
        self.features = features_of(form for forms in every for form in forms)
        self._calls = np.array(self.stage.calls, float)
        self._time = {name: compile_forms(forms, self.features) for name, forms in columns.items()}
        self._live = _undominated(compile_forms(live, self.features))
        self._live[0] += self.stage.resident_bytes  # the first feature is the constant
        self._kv = compile_forms([self.stage.kv_bytes], self.features)[:, 0]
        self._weight_bytes = self.stage.weight_bytes
        self._fast = FoldedSum.of(self._time, self._calls)

    def latency_s(self, matrix: FloatArray) -> FloatArray:
        """Seconds of the stage, shape (N,), given the features of N batches, shape (N, F)."""
        return self._fast.latency_s(matrix)

    def available_bytes(self, matrix: FloatArray, whole: FloatArray) -> FloatArray:
        """Free memory per device, shape (N,); negative when the batch does not fit.

        matrix: features of what runs at once; whole: of all requests that keep a cache.
        """
        fixed = self.device.memory_bytes - self.reserved_bytes - self._weight_bytes
        available: FloatArray = fixed - whole @ self._kv - (matrix @ self._live).max(axis=1)
        return available

    def memory(self, row: FloatArray, whole: FloatArray) -> MemoryUse:
        """Memory of one batch, given its feature rows, shape (F,)."""
        kv, activation = float(whole @ self._kv), float((row @ self._live).max())
        weight, total = self._weight_bytes, self.device.memory_bytes
        return MemoryUse(
            weight=weight,
            kv_cache=kv,
            activation=activation,
            reserved=self.reserved_bytes,
            available=total - self.reserved_bytes - weight - kv - activation,
            total=total,
        )

    def operators(self, row: FloatArray) -> OperatorColumns:
        """Every operator of one batch, given its feature row, shape (F,)."""
        if self._detail is None:
            self._detail = self._detailed()
        table = (row @ self._detail).reshape(-1, len(self._calls)) * self._calls
        memory, mma, gp, ring, tree, static = table[: len(_TIMES)]
        calls, *work = table[len(_TIMES) :]
        transfer, compute = np.minimum(ring, tree), mma + gp
        longest = np.maximum(np.maximum(memory, transfer), compute)
        by_memory = (memory == longest) & (longest > 0)
        by_transfer = (transfer == longest) & (longest > memory)
        by_compute = longest > np.maximum(memory, transfer)
        bound = by_memory * 1 + by_transfer * 2 + by_compute * np.where(mma >= gp, 3, 4)
        return OperatorColumns(
            amounts=np.stack((calls, longest + static, *work), axis=1).tolist(),
            bound=[_BOUNDS[side] for side in bound.tolist()],
            bound_s=(
                float(memory @ by_memory),
                float(transfer @ by_transfer),
                float(mma @ by_compute),
                float(gp @ by_compute),
            ),
        )

    def _detailed(self) -> FloatArray:
        """Times and amounts of every operator side by side, shape (F, columns · operators)."""
        forms = [form for amounts in zip(*map(_amounts, self.stage.operators), strict=True) for form in amounts]
        return np.hstack([*(self._time[name] for name in _TIMES), compile_forms(forms, self.features)])


def _amounts(operator: Operator) -> tuple[Form, ...]:
    """calls, mma_ops, gp_ops, memory_bytes, communication_bytes of one layer."""
    collective = operator.collective
    return (
        operator.present,
        sum(operator.mma_ops.values(), ZERO),
        sum(operator.gp_ops.values(), ZERO),
        operator.memory_bytes,
        ZERO if collective is None else collective.bytes,
    )


def _undominated(columns: FloatArray) -> FloatArray:
    """Those columns of shape (F,) that can have the largest product with some features (which are never negative)."""
    covers = (columns[:, :, None] >= columns[:, None, :]).all(axis=0)  # [i, j]: column i is nowhere below column j
    rank = np.arange(columns.shape[1])
    earlier_or_larger = covers & (~covers.T | (rank[:, None] < rank))
    return np.ascontiguousarray(columns[:, ~earlier_or_larger.any(axis=0)])
