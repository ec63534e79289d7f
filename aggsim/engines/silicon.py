"""Engine `silicon`: operator times measured on NVIDIA systems, from the tables of aiconfigurator-core.

A deployment is built as the package's own list of operators, and every operator is looked up in the tables of one
serving framework (`backend`): measured where the table holds it, interpolated between measured shapes, or computed by
the package's formula where such operators are never measured (norms, embedding). Only measured tables count: where an
operator of the deployment has none, the engine does not support it.
"""

from __future__ import annotations

from aggsim.devices.spec import DeviceSpec
from aggsim.engines.base import EngineOptions
from aggsim.engines.silicon_compile import Compiled, compile_deployment
from aggsim.engines.silicon_forward import SiliconForward, SiliconMemory
from aggsim.engines.silicon_models import model_problem
from aggsim.engines.silicon_quantization import quantization_problem
from aggsim.engines.silicon_tables import (
    LOCK,
    SYSTEMS,
    availability,
    measured_backends,
    package_version,
    silicon_models,
    silicon_systems,
)
from aggsim.errors import EngineError
from aggsim.models.spec import ModelSpec
from aggsim.scenario import ParallelLayout, Quantization

__all__ = ["SiliconEngine", "silicon_models", "silicon_systems"]

READING = 3
"""Counted up whenever the same tables give other prices."""
MEMORY_FORMULA_TP = (1, 2, 4, 8)
"""Tensor-parallel degrees up to 8 that the package's activation formula knows; above 8 it takes 8."""


class SiliconEngine:
    """Measured tables. Binding takes seconds for a process's first deployment on a system, milliseconds for others."""

    name = "silicon"
    slow_to_ask = True
    """supports() opens tables: whoever keeps answers keeps its verdicts too."""

    @property
    def version(self) -> str:
        """Of the package, of the frameworks that were measured, and of how the tables are read here."""
        return f"{package_version()}, reading {READING}"

    def availability(self) -> str | None:
        return availability()

    def supports(
        self,
        model: ModelSpec,
        device: DeviceSpec,
        layout: ParallelLayout,
        quantization: Quantization,
        options: EngineOptions,
    ) -> str | None:
        found = _compiled(model, device, layout, quantization, options)
        return found if isinstance(found, str) else None

    def bind(
        self,
        model: ModelSpec,
        device: DeviceSpec,
        layout: ParallelLayout,
        quantization: Quantization,
        options: EngineOptions,
    ) -> SiliconForward:
        found = _compiled(model, device, layout, quantization, options)
        if isinstance(found, str):
            raise EngineError(self.name, found)
        memory = SiliconMemory(formulas=found.memory, total=device.memory_bytes, reserved=options.reserved_bytes)
        return SiliconForward(program=found.program, memory=memory, dp=layout.dp, warnings=found.notes)


def _compiled(
    model: ModelSpec,
    device: DeviceSpec,
    layout: ParallelLayout,
    quantization: Quantization,
    options: EngineOptions,
) -> Compiled | str:
    """The deployment, or in one sentence why there is none. What is cheap to know is looked at first."""
    system = SYSTEMS.get(device.device_id)
    if system is None:
        return f"{device.device_id} is none of the systems it has tables of"
    reason = availability() or _layout_problem(model, layout) or quantization_problem(model, quantization)
    if reason is not None:
        return reason
    measured = measured_backends(system)
    if options.backend not in measured:
        return f"{system} was not measured with {options.backend}, only with {' and '.join(measured) or 'nothing'}"
    reason = model_problem(model)
    if reason is not None:
        return reason
    with LOCK:
        return compile_deployment(model, system, options.backend, layout, quantization, options.num_mtp_tokens)


def _layout_problem(model: ModelSpec, layout: ParallelLayout) -> str | None:
    if layout.tp not in MEMORY_FORMULA_TP and layout.tp < MEMORY_FORMULA_TP[-1]:
        return f"its memory formula knows tp {', '.join(map(str, MEMORY_FORMULA_TP))} and more, not {layout.tp}"
    if model.is_moe and layout.dp % layout.moe_dp:
        return f"copies of the experts (moe_dp {layout.moe_dp}) have to divide the replicas (dp {layout.dp})"
    return None
