"""What the tests of engine silicon ask: a few models, layouts, batches."""

from __future__ import annotations

from typing import Any

import pytest

from aggsim.devices.catalog import load_device
from aggsim.engines.base import EngineOptions, ForwardModel
from aggsim.engines.silicon import SiliconEngine
from aggsim.engines.silicon_forward import SiliconForward
from aggsim.engines.silicon_tables import availability
from aggsim.forward.batch import Batch, RequestGroup
from aggsim.models.catalog import load_model
from aggsim.models.spec import ModelSpec
from aggsim.scenario import ParallelLayout, Quantization

needs_package = pytest.mark.skipif(availability() is not None, reason=availability() or "")

DENSE, MOE, LATENT = "Qwen/Qwen3-32B", "Qwen/Qwen3-235B-A22B", "deepseek-ai/DeepSeek-V3"
HYBRID = "Qwen/Qwen3.5-27B"
LAYOUTS = {
    DENSE: ParallelLayout(tp=4, dp=2),
    MOE: ParallelLayout(tp=4, dp=2, ep=8),
    LATENT: ParallelLayout(tp=4, dp=2, ep=8),
    HYBRID: ParallelLayout(tp=4),
}
FP8 = Quantization(linear="fp8", experts="fp8")
NONE = Quantization()


def bind(
    model: str | ModelSpec = DENSE,
    device: str = "H200_SXM_141G",
    layout: ParallelLayout | None = None,
    quantization: Quantization = FP8,
    **options: Any,
) -> SiliconForward:
    spec = load_model(model) if isinstance(model, str) else model
    return SiliconEngine().bind(
        spec, load_device(device), layout or LAYOUTS[spec.model_id], quantization, EngineOptions(**options)
    )


def supports(
    model: str = DENSE,
    device: str = "H200_SXM_141G",
    layout: ParallelLayout | None = None,
    quantization: Quantization = FP8,
    **options: Any,
) -> str | None:
    return SiliconEngine().supports(
        load_model(model), load_device(device), layout or LAYOUTS[model], quantization, EngineOptions(**options)
    )


def prefill(num: int, query: int, prefix: int = 0) -> RequestGroup:
    return RequestGroup(num_requests=num, query_len=query, seq_len=prefix + query, is_decode=False)


def decode(num: int, context: int, query: int = 1) -> RequestGroup:
    return RequestGroup(num_requests=num, query_len=query, seq_len=context, is_decode=True)


def seconds(forward: ForwardModel, *batches: Batch) -> list[float]:
    return forward.price(batches).latency_s.tolist()


BATCHES: dict[str, Batch] = {
    "prefill": (prefill(2, 4096),),
    "chunk with a prefix": (prefill(4, 512, prefix=7000),),
    "decode": (decode(64, 4096),),
    "drafted": (decode(64, 4096, query=3),),
    "mixed": (prefill(1, 2048, prefix=1000), decode(96, 3000)),
    "several": (prefill(1, 1000), prefill(2, 50, prefix=9000), decode(10, 100), decode(33, 8000)),
    "several decodes": (decode(10, 100), decode(33, 8000)),
}
