"""The names that choices choose from, and which fields only some scenarios have."""

from __future__ import annotations

__all__ = [
    "ARRIVALS",
    "ATTENTION_MODES",
    "ENGINE_NAMES",
    "EXPERT_KEYS",
    "LINEAR_MODES",
    "MIXED_NAMES",
    "PERCENTILES",
    "SCHEDULER_NAMES",
]

LINEAR_MODES = (
    "none",
    "w8a16_static",
    "w8a16_dynamic",
    "w8a8_static",
    "w8a8_dynamic",
    "w4a8_static",
    "w4a8_dynamic",
    "w4a16",
    "fp8",
    "mxfp4",
    "nvfp4",
)
ATTENTION_MODES = ("none", "int8", "fp8")
ENGINE_NAMES = ("auto", "analytic", "silicon", "tensor_cast", "linear")
SCHEDULER_NAMES = ("decode_first_with_slack", "chunked_prefill", "prefill_first", "static_batch")
ARRIVALS = ("burst", "closed", "open", "trace")
MIXED_NAMES = ("fused", "max", "sum")
PERCENTILES = ("mean", "p50", "p90", "p95", "p99")
EXPERT_KEYS = ("ep", "moe_dp", "experts")
"""Fields that mean something to models with routed experts only."""
