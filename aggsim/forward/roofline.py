"""Time and memory of compiled operators: coefficient matrices over batch features, so pricing is linear algebra.

time of an operator = max(matrix + vector time, memory time, transfer time) + static cost
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from aggsim.devices.spec import DeviceSpec
from aggsim.forward.batch import Batch, Batches, FloatArray
from aggsim.forward.bulk import FoldedSum
from aggsim.forward.collectives import transfer_s
from aggsim.forward.cost import Bound, BoundTimes, ForwardCost, MemoryUse, OpCost, Prices
from aggsim.forward.decoder import Stage
from aggsim.forward.features import evaluate
from aggsim.forward.form import ZERO, Feature, Form, compile_forms, features_of
from aggsim.forward.trace import Operator

_BOUNDS: tuple[Bound, ...] = ("memory", "communication", "mma", "gp", "unknown")


def _seconds(ops: dict[str, Form], peaks: dict[str, float], efficiency: float) -> Form:
    """Σ ops / (peak · efficiency) over the dtypes the device has; the others cost no time."""
    return sum((form * (1 / (peaks[d] * efficiency)) for d, form in ops.items() if d in peaks), ZERO)


@dataclass(frozen=True, slots=True)
class _Times:
    """Forms of one operator's call."""

    memory: Form
    mma: Form
    gp: Form
    ring: Form
    tree: Form
    static: Form

    @classmethod
    def of(cls, operator: Operator, device: DeviceSpec) -> _Times:
        mma = _seconds(dict(operator.mma_ops), device.mma_ops_per_s, device.compute_efficiency)
        gp = _seconds(dict(operator.gp_ops), device.gp_ops_per_s, device.compute_efficiency)
        memory = operator.memory_bytes * (1 / (device.memory_bandwidth_bytes_per_s * device.memory_efficiency))
        if operator.collective is not None:
            ring, tree = transfer_s(device, operator.collective, operator.present)
            return cls(memory, mma, gp, ring, tree, operator.present * device.comm_op_cost_s)
        launch = device.gp_op_cost_s if mma.is_zero else device.mma_op_cost_s
        return cls(memory, mma, gp, ZERO, ZERO, operator.present * (launch * operator.launches))


@dataclass(slots=True)
class StagePricer:
    """One pipeline stage on one device, compiled."""

    stage: Stage
    device: DeviceSpec
    dp: int
    reserved_bytes: float
    features: tuple[Feature, ...] = field(init=False)
    _calls: FloatArray = field(init=False)
    _time: dict[str, FloatArray] = field(init=False)
    _live: FloatArray = field(init=False)
    _kv: FloatArray = field(init=False)
    _fast: FoldedSum = field(init=False)

    def __post_init__(self) -> None:
        operators = self.stage.operators
        times = [_Times.of(operator, self.device) for operator in operators]
        columns = {name: [getattr(t, name) for t in times] for name in _Times.__slots__}
        live = [form + self.stage.resident_bytes for form in _undominated(self.stage.live_bytes)]
        memory_forms = [*live, self.stage.kv_bytes]
        counts = [operator.present for operator in operators]
        self.features = features_of([form for column in columns.values() for form in column] + memory_forms + counts)
        self._calls = np.array(self.stage.calls, float)
        self._time = {name: compile_forms(forms, self.features) for name, forms in columns.items()}
        self._time["present"] = compile_forms(counts, self.features)
        self._live = compile_forms(memory_forms[:-1], self.features)
        self._kv = compile_forms(memory_forms[-1:], self.features)[:, 0]
        self._fast = FoldedSum.of(self._time, self._calls)

    def matrix(self, batches: Batches) -> FloatArray:
        """Features of the batches, shape (N, F)."""
        return evaluate(self.features, batches, self.dp)

    def latency_s(self, matrix: FloatArray) -> FloatArray:
        """Seconds of the stage, shape (N,)."""
        return self._fast.latency_s(matrix)

    def available_bytes(self, matrix: FloatArray) -> FloatArray:
        """Free memory per device, shape (N,); negative when the batch does not fit."""
        fixed = self.device.memory_bytes - self.reserved_bytes - self.stage.weight_bytes
        available: FloatArray = fixed - matrix @ self._kv - (matrix @ self._live).max(axis=1)
        return available

    def memory(self, row: FloatArray) -> MemoryUse:
        """Memory of one batch, given its feature row (F,)."""
        kv, activation = float(row @ self._kv), float((row @ self._live).max())
        weight, total = self.stage.weight_bytes, self.device.memory_bytes
        return MemoryUse(
            weight=weight,
            kv_cache=kv,
            activation=activation,
            reserved=self.reserved_bytes,
            available=total - self.reserved_bytes - weight - kv - activation,
            total=total,
        )

    def operators(self, row: FloatArray) -> tuple[list[OpCost], BoundTimes]:
        """Every operator of one batch with its total time, and the time by what bounds each."""
        part = {name: row @ matrix for name, matrix in self._time.items()}
        transfer = np.minimum(part["ring"], part["tree"])
        compute = part["mma"] + part["gp"]
        sides = np.stack([part["memory"], transfer, compute])
        winner = np.where(sides.max(axis=0) > 0, sides.argmax(axis=0), 3)
        total = (sides.max(axis=0) + part["static"]) * self._calls
        columns = {
            "memory": part["memory"] * (winner == 0),
            "communication": transfer * (winner == 1),
            "mma": part["mma"] * (winner == 2),
            "gp": part["gp"] * (winner == 2),
        }
        bound = np.select([winner == 0, winner == 1, winner == 3], [0, 1, 4], np.where(part["mma"] >= part["gp"], 2, 3))
        ops: dict[tuple[str, str], OpCost] = {}
        features = dict(zip(self.features, row.tolist(), strict=True))
        for i, operator in enumerate(self.stage.operators):
            calls = round(float(part["present"][i] * self._calls[i]))
            if calls == 0:
                continue
            cost = _op_cost(operator, self.stage.calls[i], calls, float(total[i]), _BOUNDS[int(bound[i])], features)
            key = (cost.name, cost.kernel)
            ops[key] = _joined(ops[key], cost) if key in ops else cost
        sums = {name: float(values @ self._calls) for name, values in columns.items()}
        return list(ops.values()), BoundTimes(**sums)


def _value(form: Form, features: dict[Feature, float]) -> float:
    return sum(coefficient * features[wanted] for wanted, coefficient in form.terms.items() if wanted in features)


def _op_cost(
    operator: Operator, times: int, calls: int, total_s: float, bound: Bound, features: dict[Feature, float]
) -> OpCost:
    return OpCost(
        name=operator.name,
        kernel=operator.kernel,
        calls=calls,
        total_s=total_s,
        bound=bound,
        source="analytic",
        mma_ops=times * sum(_value(form, features) for form in operator.mma_ops.values()),
        gp_ops=times * sum(_value(form, features) for form in operator.gp_ops.values()),
        memory_bytes=times * _value(operator.memory_bytes, features),
        communication_bytes=times * _value(operator.collective.bytes, features) if operator.collective else 0.0,
    )


def _joined(a: OpCost, b: OpCost) -> OpCost:
    """The same operator in layers of two kinds: sums, and the bound of the longer one."""
    return OpCost(
        name=a.name,
        kernel=a.kernel,
        calls=a.calls + b.calls,
        total_s=a.total_s + b.total_s,
        bound=a.bound if a.total_s >= b.total_s else b.bound,
        source=a.source,
        mma_ops=a.mma_ops + b.mma_ops,
        gp_ops=a.gp_ops + b.gp_ops,
        memory_bytes=a.memory_bytes + b.memory_bytes,
        communication_bytes=a.communication_bytes + b.communication_bytes,
    )


def _undominated(forms: tuple[Form, ...]) -> list[Form]:
    """Forms that can be the largest for some batch (features are never negative); equal ones once."""
    kept: list[Form] = []
    for form in forms:
        if any(_covers(other, form) for other in kept):
            continue
        kept = [other for other in kept if not _covers(form, other)] + [form]
    return kept


def _covers(large: Form, small: Form) -> bool:
    return all(large.terms.get(wanted, 0.0) >= coefficient for wanted, coefficient in small.terms.items()) and all(
        coefficient >= 0 or wanted in small.terms for wanted, coefficient in large.terms.items()
    )


@dataclass(frozen=True, slots=True)
class Pricer:
    """All stages of a deployment: a pass goes through them one after the other, with a transfer between two."""

    stages: tuple[StagePricer, ...]

    def cost(self, batch: Batch) -> ForwardCost:
        """Price one pass in detail."""
        batches = Batches.of([batch])
        ops: list[OpCost] = []
        bounds, memories, latency = BoundTimes(), [], 0.0
        for stage in self.stages:
            row = stage.matrix(batches)[0]
            stage_ops, stage_bounds = stage.operators(row)
            latency += sum(op.total_s for op in stage_ops)
            ops.extend(stage_ops)
            bounds = BoundTimes(
                memory=bounds.memory + stage_bounds.memory,
                communication=bounds.communication + stage_bounds.communication,
                mma=bounds.mma + stage_bounds.mma,
                gp=bounds.gp + stage_bounds.gp,
            )
            memories.append(stage.memory(row))
        merged_ops: dict[tuple[str, str], OpCost] = {}
        for op in ops:
            key = (op.name, op.kernel)
            merged_ops[key] = _joined(merged_ops[key], op) if key in merged_ops else op
        return ForwardCost(
            latency_s=latency,
            memory=min(memories, key=lambda memory: memory.available),
            bound_s=bounds,
            ops=tuple(merged_ops.values()),
            source="analytic",
        )

    def price(self, batches: Batches) -> Prices:
        """Price many passes: latency is the stages' sum, memory that of the fullest stage."""
        latency, available = np.zeros(len(batches)), np.full(len(batches), np.inf)
        for stage in self.stages:
            matrix = stage.matrix(batches)
            latency += stage.latency_s(matrix)
            available = np.minimum(available, stage.available_bytes(matrix))
        return Prices(latency_s=latency, available_bytes=available)
