"""Our quantization labels → the number formats of aiconfigurator-core's tables. The whole mapping is on this page.

Which table a label reads decides as much of the accuracy as any formula, so the order is:

1. What the checkpoint says of itself, where the Scenario asks for just that: the package reads the same
   quantization_config and picks its formats (block-scaled FP8, MXFP4 experts, …).
2. The label, by the lists below: the first format that was measured there.

The KV cache always follows the `attention` label; attention itself computes in FP8 where the cache is FP8 and such
kernels were measured, else in BF16.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from aggsim.models.spec import ModelSpec
from aggsim.scenario import Quantization

__all__ = [
    "EXPERT_FORMATS",
    "KV_CACHE_FORMATS",
    "LINEAR_FORMATS",
    "MATMUL_TABLES",
    "Formats",
    "candidates",
    "quantization_problem",
]

LINEAR_FORMATS: dict[str, tuple[str, ...]] = {
    "none": ("bfloat16",),
    "fp8": ("fp8_static", "fp8", "fp8_block"),
    "w8a16_static": ("int8_wo",),
    "w8a16_dynamic": ("int8_wo",),
    "w8a8_static": ("sq",),
    "w8a8_dynamic": ("sq",),
    "w4a16": ("int4_wo",),
    "nvfp4": ("nvfp4",),
}
"""A label that is not here has no tables anywhere. Which FP8 comes first: one scale per tensor and activations scaled
ahead of time (static), as published FP8 checkpoints of dense models have it; one scale per block where the checkpoint
says so and for models with experts, whose published FP8 checkpoints are block-scaled."""

EXPERT_FORMATS: dict[str, tuple[str, ...]] = {
    "none": ("bfloat16",),
    "fp8": ("fp8", "fp8_block"),
    "w4a8_static": ("w4afp8",),
    "w4a8_dynamic": ("w4afp8",),
    "w4a16": ("int4_wo",),
    "mxfp4": ("w4a16_mxfp4", "w4a8_mxfp4_mxfp8"),
    "nvfp4": ("nvfp4",),
}

MXFP8_ACTIVATIONS = frozenset(
    ("trtllm", system) for system in ("b200_sxm", "b300_sxm", "gb200", "gb300", "rtx_pro_6000_server")
)
"""(framework, system) where MXFP4 experts compute on MXFP8 activations, whatever the checkpoint's own 16 bits:
TensorRT-LLM's default on Blackwell. Elsewhere the activations stay BF16."""

KV_CACHE_FORMATS: dict[str, str] = {"none": "bfloat16", "fp8": "fp8"}
ATTENTION_FORMATS: dict[str, tuple[str, ...]] = {"bfloat16": ("bfloat16",), "fp8": ("fp8", "bfloat16")}
"""Format of the KV cache → what attention computes in, best first."""

MATMUL_TABLES: dict[tuple[str, str], str] = {("vllm", "fp8_block"): "fp8"}
"""(framework, format) → the table its matmuls are read from instead.

vLLM 0.24's block-scaled rows never fall below 55 µs on Hopper and 150 µs on Blackwell, however small the matmul, where
SGLang measured 3.4 µs with the same DeepGEMM kernel: that is the launch from Python, which a served model replays from
a CUDA graph. On InferenceX rows of block-scaled MiniMax-M2.5 they put TPOT at 2.2 (B200) and 2.4 (B300) times the
measured one, the rows with one scale per tensor at 0.8 to 0.9 times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Formats:
    """One choice; None: what the package reads from the checkpoint."""

    gemm: str | None
    moe: str | None
    kvcache: str
    fmha: str


def quantization_problem(model: ModelSpec, quantization: Quantization) -> str | None:
    """None: every label has formats that tables may hold; else which one has none."""
    if quantization.attention not in KV_CACHE_FORMATS:
        return f"a KV cache in {quantization.attention} was not measured anywhere"
    if quantization.linear not in LINEAR_FORMATS:
        return f"matmuls in {quantization.linear} were not measured anywhere"
    if model.is_moe and quantization.experts not in EXPERT_FORMATS:
        return f"experts in {quantization.experts} were not measured anywhere"
    return None


def candidates(
    model: ModelSpec, quantization: Quantization, *, backend: str, system: str, own_config: bool
) -> Iterator[Formats]:
    """Choices to try, best first; own_config: the package knows the checkpoint."""
    kvcache = KV_CACHE_FORMATS[quantization.attention]
    experts: tuple[str | None, ...] = EXPERT_FORMATS[quantization.experts] if model.is_moe else (None,)
    narrow = model.is_moe and quantization.experts == "mxfp4" and (backend, system) in MXFP8_ACTIVATIONS
    pairs: list[tuple[str | None, str | None]] = list(
        product(LINEAR_FORMATS[quantization.linear], experts[::-1] if narrow else experts)
    )
    own = model.quantization
    as_published = own is not None and (own.linear, own.experts) == (quantization.linear, quantization.experts)
    if model.is_moe or (own is not None and as_published and "block" in own.source):
        pairs.sort(key=lambda pair: -pair.count("fp8_block"))
    if as_published and own_config and not narrow:
        pairs.insert(0, (None, None))
    for (gemm, moe), fmha in product(pairs, ATTENTION_FORMATS[kvcache]):
        yield Formats(gemm=gemm, moe=moe, kvcache=kvcache, fmha=fmha)
