"""FAMILIES: which function reads which family's config.json. A new family is one line here and its function."""

from __future__ import annotations

from collections.abc import Callable

from aggsim.models.families import dense, gemma, hybrid, latent, moe
from aggsim.models.families.blocks import Stack
from aggsim.models.reader import ConfigReader

__all__ = ["FAMILIES", "Stack"]

FAMILIES: dict[str, Callable[[ConfigReader], Stack]] = {
    "llama": dense.llama,
    "mistral": dense.mistral,
    "ministral": dense.mistral,
    "ministral3": dense.mistral,
    "phi3": dense.mistral,
    "qwen2": dense.qwen2,
    "qwen2_vl": dense.qwen2,
    "qwen2_5_vl": dense.qwen2,
    "qwen3": dense.qwen3,
    "qwen3_vl": dense.qwen3,
    "gemma": gemma.gemma,
    "gemma2": gemma.gemma2,
    "gemma3": gemma.gemma3,
    "gemma4": gemma.gemma4,
    "qwen2_moe": moe.qwen2_moe,
    "qwen3_moe": moe.qwen3_moe,
    "qwen3_vl_moe": moe.qwen3_moe,
    "mixtral": moe.mixtral,
    "minimax_m2": moe.minimax_m2,
    "glm4_moe": moe.glm4_moe,
    "gpt_oss": moe.gpt_oss,
    "llama4": moe.llama4,
    "mimo_v2_flash": hybrid.mimo_v2_flash,
    "deepseek_v2": latent.deepseek_v2,
    "deepseek_v3": latent.deepseek_v3,
    "kimi_k2": latent.deepseek_v3,
    "glm4_moe_lite": latent.deepseek_v3,
    "deepseek_v32": latent.deepseek_sparse,
    "glm_moe_dsa": latent.glm_moe_dsa,
    "qwen3_next": hybrid.qwen3_5,
    "qwen3_5": hybrid.qwen3_5,
    "qwen3_5_moe": hybrid.qwen3_5,
    "nemotron_h": hybrid.nemotron_h,
}
"""Keyed by model_type, without the "_text" that a language model inside a multimodal one carries. Where the model_type
is unknown, parse_config looks for the class name: Qwen3MoeForCausalLM is qwen3_moe."""
