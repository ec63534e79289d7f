"""Time and memory of a compiled pipeline stage: coefficient matrices over batch features, so pricing is linear
algebra."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from aggsim.devices.spec import DeviceSpec
from aggsim.forward.batch import FloatArray
from aggsim.forward.bulk import FoldedSum
from aggsim.forward.cost import Bound, BoundTimes, MemoryUse, OpCost
from aggsim.forward.decoder import Stage
from aggsim.forward.form import ONCE, ZERO, Feature, Form, compile_forms, features_of
from aggsim.forward.times import OperatorTimes
from aggsim.forward.trace import Operator

_TIMES = ("memory", "mma", "gp", "ring", "tree", "static")
_BOUNDS: tuple[Bound, ...] = ("unknown", "memory", "communication", "mma", "gp")


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
    _kinds: list[tuple[str, str]] = field(init=False)
    """Name and kernel of each kind of operator, in order."""
    _members: list[list[int]] = field(init=False)
    """The operators of each kind."""
    _member: FloatArray = field(init=False)
    """1 where an operator is of a kind, shape (operators, kinds)."""

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

        kinds: dict[tuple[str, str], list[int]] = {}
        for i, operator in enumerate(operators):
            kinds.setdefault((operator.name, operator.kernel), []).append(i)
        self._kinds, self._members = list(kinds), list(kinds.values())
        self._member = np.zeros((len(operators), len(kinds)))
        for kind, members in enumerate(self._members):
            self._member[members, kind] = 1.0

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

    def operators(self, row: FloatArray, repeat: int = 1) -> tuple[list[OpCost], BoundTimes]:
        """Every kind of operator that runs `repeat` times in one batch, given its feature row, shape (F,).

        And the time by what bounds each operator.
        """
        if self._detail is None:
            self._detail = self._detailed()
        table = (row @ self._detail).reshape(-1, len(self._calls)) * (self._calls * repeat)
        memory, mma, gp, ring, tree, static = table[: len(_TIMES)]
        calls, *work = table[len(_TIMES) :]
        transfer, compute = np.minimum(ring, tree), mma + gp
        longest = np.maximum(np.maximum(memory, transfer), compute)
        total_s = longest + static
        by_memory = (memory == longest) & (longest > 0)
        by_transfer = (transfer == longest) & (longest > memory)
        by_compute = longest > np.maximum(memory, transfer)
        bound = (by_memory * 1 + by_transfer * 2 + by_compute * np.where(mma >= gp, 3, 4)).tolist()
        sums = np.stack((calls, total_s, *work)) @ self._member
        operators = []
        for (name, kernel), members, amounts in zip(self._kinds, self._members, sums.T.tolist(), strict=True):
            calls_of_kind = round(amounts[0])
            if calls_of_kind == 0:
                continue
            longest_member = members[0] if len(members) == 1 else max(members, key=total_s.__getitem__)
            operators.append(
                OpCost(
                    name=name,
                    kernel=kernel,
                    calls=calls_of_kind,
                    total_s=amounts[1],
                    bound=_BOUNDS[bound[longest_member]],
                    source="analytic",
                    mma_ops=amounts[2],
                    gp_ops=amounts[3],
                    memory_bytes=amounts[4],
                    communication_bytes=amounts[5],
                )
            )
        bounds = BoundTimes(
            memory=float(memory @ by_memory),
            communication=float(transfer @ by_transfer),
            mma=float(mma @ by_compute),
            gp=float(gp @ by_compute),
        )
        return operators, bounds

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
