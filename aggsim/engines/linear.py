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
from aggsim.forward.batch import Batch, Batches, FloatArray
from aggsim.forward.cost import BoundTimes, ForwardCost, MemoryUse, OpCost, Prices
from aggsim.models.spec import ModelSpec
from aggsim.scenario import LinearLaw, ParallelLayout, Quantization
from aggsim.units import GIB

__all__ = ["LATENCY_TERMS", "LinearEngine", "LinearForward", "law_features"]


LATENCY_TERMS = {
    "fixed_s": "fixed term",
    "per_token_s": "token term",
    "per_token_ctx_s": "token × context term",
    "per_ctx_s": "context term",
}
"""Coefficients of the step time, in the order of law_features, and the names of their terms."""


def law_features(columns: Batches, dp: int = 1) -> FloatArray:
    """What the coefficients of the step time are multiplied with, shape (N, 4): 1, Σ per·q, Σ per·q·s, Σ per·s."""
    requests = -(-columns.num_requests // dp)
    tokens = requests * columns.query_len
    # floats from here on: tokens × context of a large pass leaves the range of int64
    context = requests * columns.seq_len.astype(np.float64)
    sums = (tokens.sum(axis=1), (columns.query_len * context).sum(axis=1), context.sum(axis=1))
    return np.column_stack((np.ones(len(columns)), *sums))


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearForward:
    """The law over one replica's requests; of the layout it only knows dp."""

    law: LinearLaw
    dp: int

    @property
    def warnings(self) -> tuple[str, ...]:
        return ("Times and memory come from the given law; model, device and quantization only label the answer.",)

    def cost(self, batch: Batch) -> ForwardCost:
        """One operator a term of the law. What bounds it is not known, so no bound is charged with its time."""
        batches = Batches.of((batch,))
        prices, (features,) = self.price(batches), law_features(batches, self.dp).tolist()
        spent = {
            words: getattr(self.law, term) * feature
            for (term, words), feature in zip(LATENCY_TERMS.items(), features, strict=True)
        }
        latency_s, available = float(prices.latency_s[0]), float(prices.available_bytes[0])
        total = self.law.memory_gib * GIB
        return ForwardCost(
            latency_s=latency_s,
            memory=MemoryUse(
                weight=0.0, kv_cache=total - available, activation=0.0, reserved=0.0, available=available, total=total
            ),
            bound_s=BoundTimes(),
            ops=tuple(
                OpCost(name=words, calls=1, total_s=seconds, bound="unknown", source="fitted")
                for words, seconds in spent.items()
                if seconds > 0
            ),
            source="fitted",
        )

    def price(self, batches: Batches | Iterable[Batch]) -> Prices:
        columns = batches if isinstance(batches, Batches) else Batches.of(batches)
        law = self.law
        fixed, tokens, token_context, context = law_features(columns, self.dp).T
        return Prices(
            latency_s=law.fixed_s * fixed
            + law.per_token_s * tokens
            + law.per_token_ctx_s * token_context
            + law.per_ctx_s * context,
            available_bytes=GIB * (law.memory_gib - law.gib_per_ctx * context),
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
