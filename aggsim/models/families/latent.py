"""Multi-head latent attention: DeepSeek-V2, -V3, -R1, Kimi-K2; with an indexer before it DeepSeek-V3.2 and GLM-5."""

from __future__ import annotations

from aggsim.models.families.blocks import Stack, experts, gated_mlp, laid_out, num_layers, sparse_layers
from aggsim.models.reader import ConfigReader
from aggsim.models.spec import IndexerSpec, LayerSpec, MlaSpec, MoeSpec

__all__ = ["deepseek_sparse", "deepseek_v2", "deepseek_v3", "glm_moe_dsa"]


def deepseek_v3(config: ConfigReader) -> Stack:
    """DeepSeek-V3, -R1, Kimi-K2: first layers dense, then grouped sigmoid routing with a correction bias."""
    return _decoder(config, _mla(config), _routed(config, "sigmoid"))


def deepseek_v2(config: ConfigReader) -> Stack:
    """DeepSeek-V2: softmax routing without a bias."""
    config.word("topk_method", ("greedy", "group_limited_greedy"), default="greedy")
    return _decoder(config, _mla(config), _routed(config, "softmax"))


def deepseek_sparse(config: ConfigReader) -> Stack:
    """DeepSeek-V3.2: V3 whose attention reads only the tokens its indexer picks."""
    indexer = IndexerSpec(
        num_heads=config.count("index_n_heads"),
        head_dim=config.count("index_head_dim"),
        topk_tokens=config.count("index_topk"),
    )
    return _decoder(config, _mla(config, indexer), _routed(config, "sigmoid"))


def glm_moe_dsa(config: ConfigReader) -> Stack:
    """GLM-5: DeepSeek-V3.2's layers with an indexer in each."""
    if config.count("index_topk_freq", default=1) != 1 or config.has("index_topk_pattern"):
        raise config.refuse("index_topk_freq", "layers that reuse another layer's token choice are not understood")
    count = num_layers(config)
    if set(config.words("indexer_types", ("full", "shared"), count) or ()) - {"full"}:
        raise config.refuse("indexer_types", "layers that reuse another layer's token choice are not understood")
    config.words("layer_types", ("deepseek_sparse_attention",), count)
    config.skip("indexer_rope_interleave", "index_skip_topk_offset")
    return deepseek_sparse(config)


def _mla(config: ConfigReader, indexer: IndexerSpec | None = None) -> MlaSpec:
    # head_dim and the KV head count are Llama's names: with latent attention they say nothing.
    config.skip("head_dim", "num_key_value_heads", "qk_head_dim")
    q_lora_rank = config.count_or_zero("q_lora_rank") or None
    if indexer is not None and q_lora_rank is None:
        raise config.refuse("q_lora_rank", "is missing, and the indexer projects from it")
    return MlaSpec(
        num_heads=config.count("num_attention_heads"),
        q_lora_rank=q_lora_rank,
        kv_lora_rank=config.count("kv_lora_rank"),
        qk_nope_head_dim=config.count("qk_nope_head_dim"),
        qk_rope_head_dim=config.count("qk_rope_head_dim"),
        v_head_dim=config.count("v_head_dim"),
        bias=config.flag("attention_bias"),
        indexer=indexer,
    )


def _routed(config: ConfigReader, scores: str) -> MoeSpec | None:
    """The experts, or None for a model that has only dense layers."""
    config.word("scoring_func", (scores,), default=scores)
    config.skip("n_group", "topk_group")
    if scores == "sigmoid":
        config.word("topk_method", ("noaux_tc",), default="noaux_tc")
    if not config.has("n_routed_experts"):
        return None
    width = config.count("moe_intermediate_size")
    return experts(
        config,
        MoeSpec(
            num_experts=config.count("n_routed_experts"),
            experts_per_token=config.count("num_experts_per_tok"),
            expert_intermediate_size=width,
            shared_intermediate_size=width * config.count_or_zero("n_shared_experts"),
            router="grouped_sigmoid" if scores == "sigmoid" else "softmax",
            router_bias=scores == "sigmoid",
            norm_topk=config.flag("norm_topk_prob", default=scores == "sigmoid"),
        ),
    )


def _decoder(config: ConfigReader, mixer: MlaSpec, routed: MoeSpec | None) -> Stack:
    count = num_layers(config)

    def layer(sparse: bool) -> LayerSpec:
        mlp = gated_mlp(config, bias=config.flag("mlp_bias"))
        return LayerSpec(mixer=mixer, feed_forward=routed if sparse and routed else mlp)

    layers = laid_out(sparse_layers(config, count), layer)
    num_mtp = config.count_or_zero("num_nextn_predict_layers", at_most=16)
    return Stack(layers=layers, num_mtp_layers=num_mtp, mtp_layer=layer(True) if num_mtp else None)
