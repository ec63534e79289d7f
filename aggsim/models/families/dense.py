"""Dense decoders: Llama, Mistral, Qwen2, Qwen3, Phi-3."""

from __future__ import annotations

from aggsim.models.families.blocks import FULL, SLIDING, Stack, attention, gated_mlp, laid_out, num_layers, window
from aggsim.models.reader import ConfigReader
from aggsim.models.spec import LayerSpec

__all__ = ["llama", "mistral", "qwen2", "qwen3", "qwen_windows"]


def llama(config: ConfigReader) -> Stack:
    """Llama 2, 3.x and the many models saved as one."""
    bias = config.flag("attention_bias")
    mixer = attention(config, qkv_bias=bias, out_bias=bias)
    layer = LayerSpec(mixer=mixer, feed_forward=gated_mlp(config, bias=config.flag("mlp_bias")))
    return Stack(layers=(layer,) * num_layers(config))


def mistral(config: ConfigReader) -> Stack:
    """Mistral, Ministral and Phi-3: a Llama without biases whose layers may slide, all or some of them."""
    window_tokens = window(config)
    mlp = gated_mlp(config)

    def layer(kind: str) -> LayerSpec:
        return LayerSpec(
            mixer=attention(config, window_tokens=window_tokens if kind == SLIDING else None), feed_forward=mlp
        )

    count = num_layers(config)
    kinds = config.words("layer_types", (FULL, SLIDING), count) or (SLIDING,) * count
    return Stack(layers=laid_out(kinds, layer))


def qwen2(config: ConfigReader) -> Stack:
    """Qwen2 and Qwen2.5: biases on q, k and v."""
    mlp = gated_mlp(config)

    def layer(window_tokens: int | None) -> LayerSpec:
        return LayerSpec(mixer=attention(config, qkv_bias=True, window_tokens=window_tokens), feed_forward=mlp)

    return Stack(layers=laid_out(qwen_windows(config, num_layers(config)), layer))


def qwen3(config: ConfigReader) -> Stack:
    """Qwen3 and the language model of Qwen3-VL: norms over each query and key head."""
    bias, mlp = config.flag("attention_bias"), gated_mlp(config)

    def layer(window_tokens: int | None) -> LayerSpec:
        mixer = attention(config, head_dim=128, qk_norm=True, qkv_bias=bias, out_bias=bias, window_tokens=window_tokens)
        return LayerSpec(mixer=mixer, feed_forward=mlp)

    return Stack(layers=laid_out(qwen_windows(config, num_layers(config)), layer))


def qwen_windows(config: ConfigReader, count: int) -> tuple[int | None, ...]:
    """Each layer's sliding window: Qwen slides from layer max_window_layers on, and only if use_sliding_window."""
    on, tokens = config.flag("use_sliding_window"), window(config)
    first = config.count_or_zero("max_window_layers", default=28)
    kinds = config.words("layer_types", (FULL, SLIDING), count)
    if not on or tokens is None:
        return (None,) * count
    slides = (kind == SLIDING for kind in kinds) if kinds else (i >= first for i in range(count))
    return tuple(tokens if slide else None for slide in slides)
