"""Gemma 1 to 4: wide heads, tied embeddings, norms on both sides of each block, sliding layers between global ones."""

from __future__ import annotations

from dataclasses import replace

from aggsim.models.families.blocks import (
    FULL,
    SLIDING,
    Stack,
    attention,
    experts,
    gated_mlp,
    heads_of,
    laid_out,
    num_layers,
    window,
)
from aggsim.models.reader import ConfigReader
from aggsim.models.spec import LayerSpec, MoeSpec

__all__ = ["gemma", "gemma2", "gemma3", "gemma4"]

HEAD_DIM = 256
NORMS = 4  # before and after attention and feed-forward
NORMS_BESIDE_EXPERTS = 3  # after the dense part, before and after the experts


def gemma(config: ConfigReader) -> Stack:
    """Gemma: full attention, two norms a layer."""
    bias = config.flag("attention_bias")
    mixer = attention(config, head_dim=HEAD_DIM, qkv_bias=bias, out_bias=bias)
    layer = LayerSpec(mixer=mixer, feed_forward=gated_mlp(config))
    return Stack(layers=(layer,) * num_layers(config), ties_by_default=True)


def gemma2(config: ConfigReader) -> Stack:
    """Gemma 2: every other layer slides."""
    return _alternating(config, every=2, qk_norm=False)


def gemma3(config: ConfigReader) -> Stack:
    """Gemma 3: every sixth layer is global; norms over query and key heads."""
    return _alternating(config, every=config.count("sliding_window_pattern", default=6), qk_norm=True)


def _alternating(config: ConfigReader, *, every: int, qk_norm: bool) -> Stack:
    bias, tokens, mlp = config.flag("attention_bias"), window(config), gated_mlp(config)
    config.fixed("use_bidirectional_attention", False)
    config.skip("rope_local_base_freq", "cache_implementation", "_sliding_window_pattern")

    def layer(kind: str) -> LayerSpec:
        window_tokens = tokens if kind == SLIDING else None
        mixer = attention(
            config, head_dim=HEAD_DIM, qk_norm=qk_norm, qkv_bias=bias, out_bias=bias, window_tokens=window_tokens
        )
        return LayerSpec(mixer=mixer, feed_forward=mlp, num_norms=NORMS)

    return Stack(layers=laid_out(_kinds(config, every), layer), ties_by_default=True)


def gemma4(config: ConfigReader) -> Stack:
    """Gemma 4: global layers with wider, fewer and shared KV heads; a dense block beside the experts of each layer."""
    for name in ("hidden_size_per_layer_input", "num_kv_shared_layers"):
        if config.count_or_zero(name):
            raise config.refuse(name, "per-layer embeddings and layers without keys of their own are not understood")
    config.skip("vocab_size_per_layer_input")
    config.fixed("use_double_wide_mlp", False)
    config.fixed("use_bidirectional_attention", "vision", False)  # only inside an image
    bias, tokens = config.flag("attention_bias"), window(config)
    shared = config.flag("attention_k_eq_v")
    local = replace(
        attention(config, head_dim=HEAD_DIM, qk_norm=True, qkv_bias=bias, out_bias=bias, window_tokens=tokens),
        v_norm=True,
    )
    _, global_kv_heads = heads_of(config, "num_attention_heads", "num_global_key_value_heads")
    global_head_dim = config.count("global_head_dim", default=512)
    unbounded = replace(
        local,
        num_kv_heads=global_kv_heads if shared and config.has("num_global_key_value_heads") else local.num_kv_heads,
        head_dim=global_head_dim,
        v_head_dim=global_head_dim,
        window_tokens=None,
        kv_shared=shared,
    )
    mlp = gated_mlp(config)
    routed = _experts_beside(config) if config.flag("enable_moe_block") else None
    config.skip("num_experts", "top_k_experts", "moe_intermediate_size")  # null or unused without the block

    def layer(kind: str) -> LayerSpec:
        return LayerSpec(
            mixer=local if kind == SLIDING else unbounded,
            feed_forward=(mlp, routed) if routed else mlp,
            num_norms=NORMS + (NORMS_BESIDE_EXPERTS if routed else 0),
        )

    return Stack(layers=laid_out(_kinds(config, every=6), layer), ties_by_default=True)


def _experts_beside(config: ConfigReader) -> MoeSpec:
    return experts(
        config,
        MoeSpec(
            num_experts=config.count("num_experts"),
            experts_per_token=config.count("top_k_experts"),
            expert_intermediate_size=config.count("moe_intermediate_size"),
            router="softmax",
            router_scales=True,
        ),
    )


def _kinds(config: ConfigReader, every: int) -> tuple[str, ...]:
    count = num_layers(config)
    default = tuple(SLIDING if (i + 1) % every else FULL for i in range(count))
    return config.words("layer_types", (FULL, SLIDING), count) or default
