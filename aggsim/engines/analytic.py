"""Our own operator-level roofline: the default engine, answers everywhere, needs nothing but NumPy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aggsim.devices.spec import DeviceSpec
from aggsim.engines.base import EngineOptions
from aggsim.errors import EngineError
from aggsim.forward.batch import Batch, Batches
from aggsim.forward.cost import ForwardCost, Prices
from aggsim.forward.decoder import build_stages
from aggsim.forward.deployment import Deployment
from aggsim.forward.layout import layout_problem
from aggsim.forward.pipeline import Pricer
from aggsim.forward.roofline import StagePricer
from aggsim.models.spec import ModelSpec
from aggsim.scenario import ParallelLayout, Quantization


@dataclass(frozen=True, slots=True)
class AnalyticForward:
    """A deployment priced by the roofline of its operators."""

    pricer: Pricer
    warnings: tuple[str, ...] = ()

    def cost(self, batch: Batch) -> ForwardCost:
        return self.pricer.cost(batch)

    def price(self, batches: Batches | Iterable[Batch]) -> Prices:
        return self.pricer.price(batches if isinstance(batches, Batches) else Batches.of(batches))


@dataclass(frozen=True, slots=True)
class AnalyticEngine:
    """Equal to TensorCast's analytic model (Ascend/msmodeling at commit 84fec85) where that can price a model.

    Not where it falls back to unfused operators, ignores windows and sinks, or has no operator at all: those families
    run the fused kernels of serving engines here. Where it is wrong, options.corrections name what to correct.
    """

    name: str = "analytic"
    version: str = "2"

    def availability(self) -> str | None:
        return None

    def supports(
        self,
        model: ModelSpec,
        device: DeviceSpec,
        layout: ParallelLayout,
        quantization: Quantization,  # noqa: ARG002
        options: EngineOptions,  # noqa: ARG002
    ) -> str | None:
        problem = layout_problem(model, device, layout)
        return None if problem is None else f"{problem[0]}: allowed is {problem[1]}"

    def bind(
        self,
        model: ModelSpec,
        device: DeviceSpec,
        layout: ParallelLayout,
        quantization: Quantization,
        options: EngineOptions,
    ) -> AnalyticForward:
        reason = self.supports(model, device, layout, quantization, options)
        if reason is not None:
            raise EngineError(self.name, reason)
        deployment = Deployment(
            model=model,
            layout=layout,
            quantization=quantization,
            num_mtp_tokens=options.num_mtp_tokens,
            corrections=options.corrections,
        )
        on_bf16 = "fp8_on_bf16" in options.corrections
        stages = tuple(
            StagePricer(stage=stage, device=device, reserved_bytes=options.reserved_bytes, missing_on_bf16=on_bf16)
            for stage in build_stages(deployment)
        )
        warnings = () if on_bf16 else _free_formats(stages, device)
        return AnalyticForward(Pricer(stages=stages, dp=layout.dp, num_microbatches=options.num_microbatches), warnings)


def _free_formats(stages: tuple[StagePricer, ...], device: DeviceSpec) -> tuple[str, ...]:
    """A sentence where matrix work costs no time."""
    used = {dtype for stage in stages for operator in stage.stage.operators for dtype in operator.mma_ops}
    missing = sorted(used - device.mma_ops_per_s.keys())
    if not missing:
        return ()
    formats = " or ".join(missing).upper()
    return (f"{device.device_id} has no matrix units for {formats}: that work costs no time, only its memory traffic.",)
