"""Our own operator-level roofline: the default engine, answers everywhere, needs nothing but NumPy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aggsim.devices.spec import DeviceSpec
from aggsim.engines.base import EngineOptions
from aggsim.errors import EngineError
from aggsim.forward.batch import Batch, Batches
from aggsim.forward.cost import ForwardCost, Prices
from aggsim.forward.decoder import Deployment, build_stages
from aggsim.forward.layout import layout_problem
from aggsim.forward.roofline import Pricer, StagePricer
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
    """Equal to TensorCast's analytic model (Ascend/msmodeling at commit 84fec85), to the goldens' tolerance."""

    name: str = "analytic"
    version: str = "1"

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
        stages = build_stages(
            Deployment(model=model, layout=layout, quantization=quantization, num_mtp_tokens=options.num_mtp_tokens)
        )
        pricers = tuple(
            StagePricer(stage=stage, device=device, dp=layout.dp, reserved_bytes=options.reserved_bytes)
            for stage in stages
        )
        return AnalyticForward(Pricer(pricers))
