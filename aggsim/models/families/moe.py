"""Experts behind grouped-query attention: Qwen-MoE, Mixtral, MiniMax-M2, GLM-4.5, gpt-oss, Llama-4."""

from __future__ import annotations

from dataclasses import replace

from aggsim.models.families.blocks import (
    FULL,
    SLIDING,
    Stack,
    activation,
    attention,
    experts,
    gated_mlp,
    laid_out,
    num_layers,
    sparse_layers,
    window,
)
from aggsim.models.families.dense import qwen_windows
from aggsim.models.reader import ConfigReader
from aggsim.models.spec import LayerSpec, MoeSpec

__all__ = ["glm4_moe", "gpt_oss", "llama4", "minimax_m2", "mixtral", "qwen2_moe", "qwen3_moe", "qwen_sparse_layers"]

CHUNKED = "chunked_attention"


def qwen3_moe(config: ConfigReader) -> Stack:
    """Qwen3-MoE, Qwen3-Coder, Qwen3-VL-MoE: softmax routing, no shared expert."""
    config.fixed("shared_expert_intermediate_size", 0)
    bias = config.flag("attention_bias", "qkv_bias")
    qk_norm = config.flag("use_qk_norm", default=True)
    routed = experts(
        config,
        MoeSpec(
            num_experts=config.count("num_experts", "num_local_experts"),
            experts_per_token=config.count("num_experts_per_tok"),
            expert_intermediate_size=config.count("moe_intermediate_size"),
            router="softmax",
            norm_topk=config.flag("norm_topk_prob"),
        ),
    )
    return _qwen_moe(config, routed, qk_norm=qk_norm, qkv_bias=bias, out_bias=bias)


def qwen2_moe(config: ConfigReader) -> Stack:
    """Qwen1.5/2-MoE: biases on q, k, v and one shared expert behind a learned gate."""
    routed = experts(
        config,
        MoeSpec(
            num_experts=config.count("num_experts"),
            experts_per_token=config.count("num_experts_per_tok"),
            expert_intermediate_size=config.count("moe_intermediate_size"),
            shared_intermediate_size=config.count_or_zero("shared_expert_intermediate_size"),
            shared_gate=True,
            router="softmax",
            norm_topk=config.flag("norm_topk_prob"),
        ),
    )
    return _qwen_moe(config, routed, qkv_bias=config.flag("qkv_bias", default=True))


def _qwen_moe(
    config: ConfigReader, routed: MoeSpec, *, qk_norm: bool = False, qkv_bias: bool = False, out_bias: bool = False
) -> Stack:
    def layer(kind: tuple[bool, int | None]) -> LayerSpec:
        sparse, window_tokens = kind
        mixer = attention(config, qk_norm=qk_norm, qkv_bias=qkv_bias, out_bias=out_bias, window_tokens=window_tokens)
        return LayerSpec(mixer=mixer, feed_forward=routed if sparse else gated_mlp(config))

    count = num_layers(config)
    kinds = zip(qwen_sparse_layers(config, count), qwen_windows(config, count), strict=True)
    config.skip("intermediate_size")  # the width of dense layers, of which there may be none
    return Stack(layers=laid_out(kinds, layer))


def qwen_sparse_layers(config: ConfigReader, count: int) -> tuple[bool, ...]:
    """Which layers hold experts: every decoder_sparse_step-th, except mlp_only_layers."""
    dense = config.indices("mlp_only_layers", count) or frozenset()
    step = config.count("decoder_sparse_step", default=1)
    return tuple(i not in dense and (i + 1) % step == 0 for i in range(count))


def mixtral(config: ConfigReader) -> Stack:
    """Mixtral: softmax over the two chosen experts."""
    routed = experts(
        config,
        MoeSpec(
            num_experts=config.count("num_local_experts"),
            experts_per_token=config.count("num_experts_per_tok"),
            expert_intermediate_size=config.count("intermediate_size"),
            router="topk_softmax",
        ),
    )
    layer = LayerSpec(mixer=attention(config, window_tokens=window(config)), feed_forward=routed)
    return Stack(layers=(layer,) * num_layers(config))


def minimax_m2(config: ConfigReader) -> Stack:
    """MiniMax-M2.x: sigmoid routing with a correction bias; one q/k norm over all heads together."""
    config.word("scoring_func", ("sigmoid",), default="sigmoid")
    routed = experts(
        config,
        MoeSpec(
            num_experts=config.count("num_local_experts"),
            experts_per_token=config.count("num_experts_per_tok"),
            expert_intermediate_size=config.count("intermediate_size"),
            shared_intermediate_size=config.count_or_zero("shared_intermediate_size"),
            router="sigmoid",
            router_bias=config.flag("use_routing_bias", default=True),
        ),
    )
    width = config.word("qk_norm_type", ("per_layer", "per_head"), default="per_layer")
    mixer = replace(
        attention(config, head_dim=128, qk_norm=config.flag("use_qk_norm", default=True)),
        qk_norm_scope="layer" if width == "per_layer" else "head",
    )
    layer = LayerSpec(mixer=mixer, feed_forward=routed)
    modules, depth = config.count_or_zero("num_mtp_modules"), config.count("mtp_transformer_layers", default=1)
    num_mtp = modules * depth if config.flag("use_mtp") else 0
    return Stack(layers=(layer,) * num_layers(config), num_mtp_layers=num_mtp, mtp_layer=layer if num_mtp else None)


def glm4_moe(config: ConfigReader) -> Stack:
    """GLM-4.5, 4.6 and 4.7: DeepSeek's routing behind grouped-query attention."""
    count = num_layers(config)
    mixer = attention(
        config, qk_norm=config.flag("use_qk_norm"), qkv_bias=config.flag("attention_bias"), out_bias=False
    )
    width = config.count("moe_intermediate_size")
    config.skip("n_group", "topk_group")
    routed = experts(
        config,
        MoeSpec(
            num_experts=config.count("n_routed_experts"),
            experts_per_token=config.count("num_experts_per_tok"),
            expert_intermediate_size=width,
            shared_intermediate_size=width * config.count_or_zero("n_shared_experts"),
            router="grouped_sigmoid",
            router_bias=True,
            norm_topk=config.flag("norm_topk_prob", default=True),
        ),
    )

    def layer(sparse: bool) -> LayerSpec:
        return LayerSpec(mixer=mixer, feed_forward=routed if sparse else gated_mlp(config))

    num_mtp = config.count_or_zero("num_nextn_predict_layers", at_most=16)
    layers = laid_out(sparse_layers(config, count), layer)
    return Stack(layers=layers, num_mtp_layers=num_mtp, mtp_layer=layer(True) if num_mtp else None)


def gpt_oss(config: ConfigReader) -> Stack:
    """gpt-oss: every other layer slides, a sink logit per head, biases everywhere."""
    bias = config.flag("attention_bias", default=True)
    routed = experts(
        config,
        MoeSpec(
            num_experts=config.count("num_local_experts"),
            experts_per_token=config.count("num_experts_per_tok", "experts_per_token"),
            expert_intermediate_size=config.count("intermediate_size"),
            bias=True,
            router="topk_softmax",
            router_bias=True,
        ),
    )
    config.skip("initial_context_length", "swiglu_limit")  # positions before YaRN; a clamp inside the activation
    count, tokens = num_layers(config), window(config)
    default = tuple(FULL if i % 2 else SLIDING for i in range(count))

    def layer(kind: str) -> LayerSpec:
        window_tokens = tokens if kind == SLIDING else None
        mixer = attention(config, qkv_bias=bias, out_bias=bias, window_tokens=window_tokens, sinks=True)
        return LayerSpec(mixer=mixer, feed_forward=routed)

    return Stack(layers=laid_out(config.words("layer_types", (FULL, SLIDING), count) or default, layer))


def llama4(config: ConfigReader) -> Stack:
    """Llama-4: chunked attention, every fourth layer unbounded and without rotary positions; interleaved experts."""
    activation(config)
    count = num_layers(config)
    width = config.count("intermediate_size")
    bias, chunk = config.flag("attention_bias"), config.count_or_zero("attention_chunk_size") or None
    l2_norm = config.flag("use_qk_norm", default=True)
    routed = experts(
        config,
        MoeSpec(
            num_experts=config.count("num_local_experts"),
            experts_per_token=config.count("num_experts_per_tok"),
            expert_intermediate_size=width,
            shared_intermediate_size=width,
            router="sigmoid",
            norm_topk=False,
        ),
    )
    every = config.count("no_rope_layer_interval", default=4)
    rotary = config.switches("no_rope_layers", count) or tuple((i + 1) % every != 0 for i in range(count))
    default = tuple(CHUNKED if rope else FULL for rope in rotary)
    kinds = config.words("layer_types", (FULL, CHUNKED), count) or default
    step = config.count("interleave_moe_layer_step", default=1)
    sparse = config.indices("moe_layers", count) or frozenset(range(step - 1, count, step))
    config.skip("attn_temperature_tuning", "attn_scale", "floor_scale", "for_llm_compressor")  # scalars on the queries

    def layer(kind: tuple[str, bool, bool]) -> LayerSpec:
        span, rope, is_sparse = kind
        mixer = replace(
            attention(config, head_dim=128, qkv_bias=bias, out_bias=bias, qk_norm=l2_norm and rope),
            qk_norm_learned=False,
            rotary=rope,
            chunk_tokens=chunk if span == CHUNKED else None,
        )
        return LayerSpec(mixer=mixer, feed_forward=routed if is_sparse else gated_mlp(config, "intermediate_size_mlp"))

    config.skip("intermediate_size_mlp")  # the width of dense layers, of which there may be none
    return Stack(layers=laid_out(zip(kinds, rotary, (i in sparse for i in range(count)), strict=True), layer))
