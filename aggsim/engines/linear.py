"""Engine `linear`: step time as a law fitted to somebody's own benchmark.

With per = ceil(n / dp) requests of one replica:

    latency_s = fixed_s + per_token_s·Σ per·q + per_token_ctx_s·Σ per·q·s + per_ctx_s·Σ per·s
    memory left = memory_gib − gib_per_ctx·Σ per·s
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from aggsim.devices.spec import DeviceSpec
from aggsim.engines.base import EngineOptions
from aggsim.errors import EngineError
from aggsim.forward.batch import Batch, Batches
from aggsim.forward.cost import BoundTimes, ForwardCost, MemoryUse, OpCost, Prices
from aggsim.models.spec import ModelSpec
from aggsim.scenario import LinearLaw, ParallelLayout, Quantization
from aggsim.units import GIB

__all__ = ["LinearEngine", "LinearForward"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearForward:
    """The law over one replica's requests; of the layout it only knows dp."""

    law: LinearLaw
    dp: int

    @property
    def warnings(self) -> tuple[str, ...]:
        return ("Times and memory come from the given law; model, device and quantization only label the answer.",)

    def cost(self, batch: Batch) -> ForwardCost:
        """One operator, the law itself. What bounds it is not known, so no bound is charged with its time."""
        prices = self.price((batch,))
        latency_s, available = float(prices.latency_s[0]), float(prices.available_bytes[0])
        total = self.law.memory_gib * GIB
        return ForwardCost(
            latency_s=latency_s,
            memory=MemoryUse(
                weight=0.0, kv_cache=total - available, activation=0.0, reserved=0.0, available=available, total=total
            ),
            bound_s=BoundTimes(),
            ops=(OpCost(name="step law", calls=1, total_s=latency_s, bound="unknown", source="fitted"),),
            source="fitted",
        )

    def price(self, batches: Batches | Iterable[Batch]) -> Prices:
        columns = batches if isinstance(batches, Batches) else Batches.of(batches)
        law = self.law
        requests = -(-columns.num_requests // self.dp)
        tokens = requests * columns.query_len
        # floats from here on: tokens × context of a large pass leaves the range of int64
        context = requests * columns.seq_len.astype(np.float64)
        sum_context = context.sum(axis=1)
        return Prices(
            latency_s=law.fixed_s
            + law.per_token_s * tokens.sum(axis=1)
            + law.per_token_ctx_s * (columns.query_len * context).sum(axis=1)
            + law.per_ctx_s * sum_context,
            available_bytes=GIB * (law.memory_gib - law.gib_per_ctx * sum_context),
        )


class LinearEngine:
    """Takes any model, device, layout and MTP as given; needs a law. The law's memory is what serving may use,
    so reserved memory is not taken off it again."""

    name = "linear"
    version = "1"

    def availability(self) -> str | None:
        return None

    def supports(
        self,
        model: ModelSpec,  # noqa: ARG002
        device: DeviceSpec,  # noqa: ARG002
        layout: ParallelLayout,  # noqa: ARG002
        quantization: Quantization,  # noqa: ARG002
        options: EngineOptions,
    ) -> str | None:
        return None if options.law else "it needs a law: fixed_s, per_token_s, per_token_ctx_s, per_ctx_s, memory_gib"

    def bind(
        self,
        model: ModelSpec,
        device: DeviceSpec,
        layout: ParallelLayout,
        quantization: Quantization,
        options: EngineOptions,
    ) -> LinearForward:
        if options.law is None:
            raise EngineError(self.name, self.supports(model, device, layout, quantization, options) or "")
        return LinearForward(law=options.law, dp=layout.dp)
