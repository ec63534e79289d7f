"""What the user asks: the Scenario, its parts, and the one table of parameters behind form, link and command line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelLayout:
    """How a deployment is cut. tp·dp·pp = num_devices; for MoE layers ep·moe_tp·moe_dp = tp·dp."""

    tp: int = 1
    dp: int = 1
    pp: int = 1
    ep: int = 1
    moe_tp: int = 1
    moe_dp: int = 1

    @property
    def num_devices(self) -> int:
        return self.tp * self.dp * self.pp


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """Labels: linear and experts from LINEAR_MODES, attention (the KV cache) from ATTENTION_MODES."""

    linear: str = "none"
    experts: str = "none"
    attention: str = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One kind of request."""

    num_input_tokens: int
    num_output_tokens: int
    prefix_cache_hit_rate: float = 0.0
    num_mtp_tokens: int = 0
    mtp_acceptance_rates: tuple[float, ...] = (0.9, 0.6, 0.4, 0.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearLaw:
    """Step time = fixed_s + per_token_s·T + per_token_ctx_s·Σ(q·s) + per_ctx_s·Σs over one replica's requests;
    memory left = memory_gib − gib_per_ctx·Σs."""

    fixed_s: float = 0.0
    per_token_s: float = 0.0
    per_token_ctx_s: float = 0.0
    per_ctx_s: float = 0.0
    memory_gib: float = 0.0
    gib_per_ctx: float = 0.0


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
