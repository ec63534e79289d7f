"""Decoders of unlike layers: MiMo-V2-Flash (windows), Qwen3-Next and Qwen3.5 (gated delta), Nemotron-H (Mamba-2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from aggsim.models.families.blocks import (
    FULL,
    Stack,
    activation,
    attention,
    experts,
    gated_mlp,
    heads_of,
    laid_out,
    num_layers,
    sparse_layers,
)
from aggsim.models.families.moe import qwen_sparse_layers
from aggsim.models.reader import MAX_LAYERS, ConfigReader
from aggsim.models.spec import AttentionSpec, GatedDeltaSpec, LayerSpec, MambaSpec, MlpSpec, MoeSpec

__all__ = ["mimo_v2_flash", "nemotron_h", "qwen3_5"]

LINEAR = "linear_attention"


def mimo_v2_flash(config: ConfigReader) -> Stack:
    """MiMo-V2-Flash: full layers with few KV heads, sliding ones with more, and sinks; values narrower than keys."""
    count = num_layers(config)
    bias, tokens = config.flag("attention_bias"), config.count("sliding_window", "sliding_window_size")
    config.skip("attention_chunk_size", "swa_rope_theta", "attention_value_scale", "n_group", "topk_group")
    full = replace(
        attention(config, head_dim=192, qkv_bias=bias, sinks=config.flag("add_full_attention_sink_bias")),
        v_head_dim=config.count("v_head_dim"),
    )
    heads, kv_heads = heads_of(config, "swa_num_attention_heads", "swa_num_key_value_heads")
    sliding = replace(
        full,
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=config.count("swa_head_dim", default=full.head_dim),
        v_head_dim=config.count("swa_v_head_dim", default=full.v_head_dim),
        window_tokens=tokens,
        sinks=config.flag("add_swa_attention_sink_bias", default=True),
    )
    width = config.count("moe_intermediate_size")
    config.word("scoring_func", ("sigmoid",), default="sigmoid")
    config.word("topk_method", ("noaux_tc",), default="noaux_tc")
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
    slides = config.switches("hybrid_layer_pattern", count)
    if slides is None:
        raise config.refuse("hybrid_layer_pattern", "is missing")

    def layer(kind: tuple[bool, bool]) -> LayerSpec:
        is_sliding, sparse = kind
        mixer = sliding if is_sliding else full
        return LayerSpec(mixer=mixer, feed_forward=routed if sparse else gated_mlp(config))

    return Stack(layers=laid_out(zip(slides, sparse_layers(config, count), strict=True), layer))


def qwen3_5(config: ConfigReader) -> Stack:
    """Qwen3-Next and Qwen3.5, dense or with experts: gated delta layers, every k-th one gated full attention."""
    count = num_layers(config)
    every = config.count("full_attention_interval", default=4)
    config.skip("mamba_ssm_dtype")
    config.fixed("mtp_use_dedicated_embeddings", False)
    kinds = config.words("layer_types", (FULL, LINEAR), count)
    kinds = kinds or tuple(LINEAR if (i + 1) % every else FULL for i in range(count))
    bias = config.flag("attention_bias")
    gate = config.flag("attn_output_gate", default=True)
    full = attention(config, head_dim=256, qk_norm=True, qkv_bias=bias, out_bias=bias, output_gate=gate)
    v_heads, k_heads = heads_of(config, "linear_num_value_heads", "linear_num_key_heads")
    delta = GatedDeltaSpec(
        num_k_heads=k_heads,
        num_v_heads=v_heads,
        head_k_dim=config.count("linear_key_head_dim"),
        head_v_dim=config.count("linear_value_head_dim"),
        conv_kernel=config.count("linear_conv_kernel_dim"),
    )
    routed = _gated_shared_experts(config) if config.has("num_experts") else None
    sparse = qwen_sparse_layers(config, count)

    def layer(kind: tuple[str, bool]) -> LayerSpec:
        mixer, is_sparse = kind
        mlp = routed if routed and is_sparse else gated_mlp(config)
        return LayerSpec(mixer=full if mixer == FULL else delta, feed_forward=mlp)

    config.skip("intermediate_size")  # the width of dense layers, of which there may be none
    num_mtp = config.count_or_zero("mtp_num_hidden_layers", "num_nextn_predict_layers", at_most=16)
    layers = laid_out(zip(kinds, sparse, strict=True), layer)
    return Stack(layers=layers, num_mtp_layers=num_mtp, mtp_layer=layer((FULL, True)) if num_mtp else None)


def _gated_shared_experts(config: ConfigReader) -> MoeSpec:
    return experts(
        config,
        MoeSpec(
            num_experts=config.count("num_experts"),
            experts_per_token=config.count("num_experts_per_tok"),
            expert_intermediate_size=config.count("moe_intermediate_size"),
            shared_intermediate_size=config.count_or_zero("shared_expert_intermediate_size"),
            shared_gate=True,
            router="softmax",
            norm_topk=config.flag("norm_topk_prob", default=True),
        ),
    )


def nemotron_h(config: ConfigReader) -> Stack:
    """Nemotron-H and Nemotron-3: each layer is one block, Mamba-2, attention, experts or MLP, behind one norm."""
    blocks = config.words("layers_block_type", tuple(NEMOTRON_NAMES))
    pattern = "".join(NEMOTRON_NAMES[name] for name in blocks or ()) or config.text("hybrid_override_pattern")
    if pattern is None:
        raise config.refuse("hybrid_override_pattern", "is missing")
    if not pattern or len(pattern) > MAX_LAYERS or set(pattern) - set(NEMOTRON_BLOCKS):
        raise config.refuse("hybrid_override_pattern", f"holds other letters than {', '.join(NEMOTRON_BLOCKS)}")
    if config.count("num_hidden_layers", default=len(pattern)) != len(pattern):
        raise config.refuse("num_hidden_layers", f"is not the {len(pattern)} layers of hybrid_override_pattern")
    num_mtp = config.count_or_zero("num_nextn_predict_layers", at_most=16)
    config.fixed("mtp_hybrid_override_pattern", "*E")
    config.fixed("mtp_layers_block_type", ["attention", "moe"], ["full_attention", "moe"])
    config.skip("expand", "intermediate_size", "sliding_window", "num_logits_to_keep", "rescale_prenorm_residual")
    config.skip("residual_in_fp32", "use_mamba_kernels", "mamba_ssm_cache_dtype", "mamba_hidden_act", "mlp_hidden_act")
    config.skip("time_step_floor", "time_step_limit", "time_step_max", "time_step_min", "moe_shared_expert_overlap")
    layers = laid_out(pattern, lambda kind: NEMOTRON_BLOCKS[kind](config))
    mtp = LayerSpec(mixer=_bare_attention(config), feed_forward=_ungated_experts(config)) if num_mtp else None
    return Stack(layers=layers, num_mtp_layers=num_mtp, mtp_layer=mtp)


def _mamba(config: ConfigReader) -> MambaSpec:
    return MambaSpec(
        num_heads=config.count("mamba_num_heads"),
        head_dim=config.count("mamba_head_dim"),
        state_size=config.count("ssm_state_size"),
        num_groups=config.count("n_groups"),
        conv_kernel=config.count("conv_kernel"),
        chunk_size=config.count("chunk_size"),
        proj_bias=config.flag("mamba_proj_bias", "use_bias"),
        conv_bias=config.flag("use_conv_bias", default=True),
    )


def _bare_attention(config: ConfigReader) -> AttentionSpec:
    config.fixed("attention_bias", False)
    return replace(attention(config), rotary=False)


def _ungated_mlp(config: ConfigReader) -> MlpSpec:
    activation(config, "mlp_hidden_act")
    return MlpSpec(intermediate_size=config.count("intermediate_size"), gated=False, bias=config.flag("mlp_bias"))


def _ungated_experts(config: ConfigReader) -> MoeSpec:
    if config.count_or_zero("moe_latent_size"):
        raise config.refuse("moe_latent_size", "experts in a latent space are not understood")
    config.fixed("mlp_bias", False)
    config.skip("n_group", "topk_group")
    activation(config, "mlp_hidden_act")
    shared = (
        config.count_or_zero("moe_shared_expert_intermediate_size") if config.count_or_zero("n_shared_experts") else 0
    )
    return experts(
        config,
        MoeSpec(
            num_experts=config.count("n_routed_experts"),
            experts_per_token=config.count("num_experts_per_tok"),
            expert_intermediate_size=config.count("moe_intermediate_size"),
            gated=False,
            shared_intermediate_size=shared,
            router="grouped_sigmoid",
            router_bias=True,
            norm_topk=config.flag("norm_topk_prob", default=True),
        ),
    )


NEMOTRON_BLOCKS: dict[str, Callable[[ConfigReader], LayerSpec]] = {
    "M": lambda config: LayerSpec(mixer=_mamba(config), feed_forward=None, num_norms=1),
    "*": lambda config: LayerSpec(mixer=_bare_attention(config), feed_forward=None, num_norms=1),
    "E": lambda config: LayerSpec(mixer=None, feed_forward=_ungated_experts(config), num_norms=1),
    "-": lambda config: LayerSpec(mixer=None, feed_forward=_ungated_mlp(config), num_norms=1),
}
"""The letters of hybrid_override_pattern."""
NEMOTRON_NAMES = {
    "mamba": "M",
    "linear_attention": "M",
    "attention": "*",
    "full_attention": "*",
    "moe": "E",
    "mlp": "-",
}
"""What newer configs call the blocks, in layers_block_type."""
