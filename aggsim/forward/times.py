"""Time of one operator on one device, as linear forms of the batch.

time of an operator = max(matrix + vector time, memory time, transfer time) + static cost
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aggsim.devices.spec import DeviceSpec
from aggsim.forward.collectives import transfer_s
from aggsim.forward.form import ZERO, Form
from aggsim.forward.trace import Operator


@dataclass(frozen=True, slots=True)
class OperatorTimes:
    """Seconds of all launches of one operator in one layer."""

    memory: Form
    mma: Form
    gp: Form
    ring: Form
    tree: Form
    """The two algorithms of a collective; the faster one counts."""
    static: Form

    @classmethod
    def of(cls, operator: Operator, device: DeviceSpec, *, missing_on_bf16: bool) -> OperatorTimes:
        """missing_on_bf16: matrix work in a format the device lacks runs in BF16; else it costs no time."""
        substitute = device.mma_ops_per_s.get("bf16") if missing_on_bf16 else None
        mma = _seconds(operator.mma_ops, device.mma_ops_per_s, substitute, device.compute_efficiency)
        gp = _seconds(operator.gp_ops, device.gp_ops_per_s, None, device.compute_efficiency)
        memory = operator.memory_bytes * (1 / (device.memory_bandwidth_bytes_per_s * device.memory_efficiency))
        if operator.collective is not None:
            ring, tree = transfer_s(device, operator.collective, operator.present)
            return cls(memory, mma, gp, ring, tree, operator.present * device.comm_op_cost_s)
        launch = device.gp_op_cost_s if mma.is_zero else device.mma_op_cost_s
        return cls(memory, mma, gp, ZERO, ZERO, operator.present * (launch * operator.launches))


def _seconds(ops: Mapping[str, Form], peaks: Mapping[str, float], substitute: float | None, efficiency: float) -> Form:
    seconds = ZERO
    for dtype, form in ops.items():
        peak = peaks.get(dtype, substitute)
        if peak:
            seconds = seconds + form * (1 / (peak * efficiency))
    return seconds
