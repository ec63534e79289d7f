"""What each family's config.json turns into."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from aggsim.errors import UnsupportedModelError
from aggsim.models.catalog import load_model
from aggsim.models.families import FAMILIES
from aggsim.models.parse import parse_config
from aggsim.models.spec import (
    AttentionSpec,
    GatedDeltaSpec,
    IndexerSpec,
    LayerSpec,
    MambaSpec,
    MlaSpec,
    MlpSpec,
    ModelSpec,
    MoeSpec,
)
from tests.models.configs import PUBLISHED, bundled, published

VISION = "The vision tower is not counted."


def parsed(config: dict[str, Any]) -> ModelSpec:
    return parse_config(config, "test/model", "test")


def kinds(spec: ModelSpec) -> list[tuple[LayerSpec, int]]:
    return list(Counter(spec.layers).items())


def attention_of(layer: LayerSpec) -> AttentionSpec:
    assert isinstance(layer.mixer, AttentionSpec)
    return layer.mixer


def test_qwen3_dense() -> None:
    spec = load_model("Qwen/Qwen3-32B")
    assert (spec.hidden_size, spec.vocab_size, spec.num_layers, spec.max_position_embeddings) == (
        5120,
        151936,
        64,
        40960,
    )
    assert spec.architecture == "Qwen3ForCausalLM"
    assert (spec.tie_word_embeddings, spec.dtype_bytes, spec.is_moe, spec.num_mtp_layers) == (False, 2, False, 0)
    assert (spec.warnings, spec.unread_fields, spec.quantization) == ((), (), None)
    assert kinds(spec) == [
        (
            LayerSpec(
                mixer=AttentionSpec(num_heads=64, num_kv_heads=8, head_dim=128, v_head_dim=128, qk_norm=True),
                feed_forward=MlpSpec(intermediate_size=25600),
            ),
            64,
        )
    ]
    assert all(layer is spec.layers[0] for layer in spec.layers)


def test_heads_default_to_an_even_split() -> None:
    mixer = attention_of(load_model("meta-llama/Meta-Llama-3.1-8B").layers[0])
    assert (mixer.head_dim, mixer.num_kv_heads, mixer.qkv_bias, mixer.qk_norm) == (128, 8, False, False)
    without = attention_of(parsed(bundled("meta-llama/Meta-Llama-3.1-8B", num_key_value_heads=...)).layers[0])
    assert without.num_kv_heads == without.num_heads == 32


def test_biases() -> None:
    llama = parsed(bundled("meta-llama/Meta-Llama-3.1-8B", attention_bias=True, mlp_bias=True)).layers[0]
    assert (attention_of(llama).qkv_bias, attention_of(llama).out_bias) == (True, True)
    assert llama.feed_forward == MlpSpec(intermediate_size=14336, bias=True)
    qwen2 = attention_of(parsed(published("Qwen/Qwen2.5-7B")).layers[0])
    assert (qwen2.qkv_bias, qwen2.out_bias, qwen2.qk_norm) == (True, False, False)


def test_windows_of_qwen_need_the_switch() -> None:
    config = bundled("Qwen/Qwen3-8B", sliding_window=4096, max_window_layers=30)
    assert {attention_of(layer).window_tokens for layer in parsed(config).layers} == {None}
    config["use_sliding_window"] = True
    assert [attention_of(layer).window_tokens for layer in parsed(config).layers] == [None] * 30 + [4096] * 6


def test_mistral_slides_everywhere_or_by_layer() -> None:
    config = published("mistralai/Mistral-7B-v0.1")
    assert {attention_of(layer).window_tokens for layer in parsed(config).layers} == {4096}
    config["layer_types"] = ["full_attention", "sliding_attention"] * 16
    assert [attention_of(layer).window_tokens for layer in parsed(config).layers] == [None, 4096] * 16
    config["sliding_window"] = None
    assert {attention_of(layer).window_tokens for layer in parsed(config).layers} == {None}


def test_gemma_ties_its_embeddings_unless_told_otherwise() -> None:
    assert parsed(published("google/gemma-7b")).tie_word_embeddings
    assert not parsed(published("google/gemma-7b") | {"tie_word_embeddings": False}).tie_word_embeddings
    assert not parsed(bundled("Qwen/Qwen3-8B", tie_word_embeddings=...)).tie_word_embeddings


def test_gemma2_alternates_with_four_norms() -> None:
    spec = parsed(published("google/gemma-2-9b"))
    assert [attention_of(layer).window_tokens for layer in spec.layers] == [4096, None] * 21
    assert {layer.num_norms for layer in spec.layers} == {4}


def test_gemma3_is_global_every_sixth_layer() -> None:
    spec = parsed(published("google/gemma-3-27b-it"))
    assert [i for i, layer in enumerate(spec.layers) if attention_of(layer).window_tokens is None] == list(
        range(5, 62, 6)
    )
    assert attention_of(spec.layers[0]).qk_norm
    assert spec.warnings == (VISION,)


def test_qwen3_moe() -> None:
    spec = load_model("Qwen/Qwen3-30B-A3B")
    routed = MoeSpec(num_experts=128, experts_per_token=8, expert_intermediate_size=768, router="softmax")
    assert [(layer.feed_forward, count) for layer, count in kinds(spec)] == [(routed, 48)]
    sparse = parsed(bundled("Qwen/Qwen3-30B-A3B", mlp_only_layers=[1, 2], decoder_sparse_step=2))
    assert [i for i, layer in enumerate(sparse.layers) if layer.feed_forward == routed] == list(range(3, 48, 2))
    assert sparse.layers[0].feed_forward == MlpSpec(intermediate_size=6144)


def test_mixtral_and_minimax() -> None:
    mixtral = load_model("mistralai/Mixtral-8x7B-v0.1").layers[0].feed_forward
    assert mixtral == MoeSpec(num_experts=8, experts_per_token=2, expert_intermediate_size=14336, router="topk_softmax")
    spec = load_model("MiniMaxAI/MiniMax-M2.5")
    assert attention_of(spec.layers[0]).qk_norm_scope == "layer"
    assert spec.layers[0].feed_forward == MoeSpec(
        num_experts=256, experts_per_token=8, expert_intermediate_size=1536, router="sigmoid", router_bias=True
    )
    assert (spec.num_mtp_layers, spec.mtp_layer) == (3, spec.layers[0])


def test_deepseek_v3() -> None:
    spec = load_model("deepseek-ai/DeepSeek-V3")
    routed = MoeSpec(
        num_experts=256,
        experts_per_token=8,
        expert_intermediate_size=2048,
        shared_intermediate_size=2048,
        router="grouped_sigmoid",
        router_bias=True,
    )
    dense = MlpSpec(intermediate_size=18432)
    assert [(layer.feed_forward, count) for layer, count in kinds(spec)] == [(dense, 3), (routed, 58)]
    assert spec.layers[0].mixer == MlaSpec(
        num_heads=128, q_lora_rank=1536, kv_lora_rank=512, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128
    )
    assert (spec.num_mtp_layers, spec.mtp_layer) == (1, spec.layers[-1])
    kimi = load_model("moonshotai/Kimi-K2-Instruct")
    assert [count for _, count in kinds(kimi)] == [1, 60]
    assert (kimi.num_mtp_layers, kimi.mtp_layer) == (0, None)


def test_deepseek_sparse_attention() -> None:
    for model_id, heads in (("deepseek-ai/DeepSeek-V3.2", 64), ("zai-org/GLM-5", 32)):
        mixers = {layer.mixer for layer in load_model(model_id).layers}
        assert [m.indexer for m in mixers if isinstance(m, MlaSpec)] == [
            IndexerSpec(num_heads=heads, head_dim=128, topk_tokens=2048)
        ]
    with pytest.raises(UnsupportedModelError, match="GlmMoeDsaForCausalLM: indexer_types: layers that reuse"):
        parsed(bundled("zai-org/GLM-5", indexer_types=["full", "shared"] * 39))


def test_gpt_oss() -> None:
    spec = load_model("openai/gpt-oss-120b")
    assert [attention_of(layer).window_tokens for layer in spec.layers] == [128, None] * 18
    mixer = attention_of(spec.layers[0])
    assert (mixer.sinks, mixer.qkv_bias, mixer.out_bias, mixer.head_dim) == (True, True, True, 64)
    assert spec.layers[0].feed_forward == MoeSpec(
        num_experts=128,
        experts_per_token=4,
        expert_intermediate_size=2880,
        bias=True,
        router="topk_softmax",
        router_bias=True,
    )


def test_mimo_mixes_two_kinds_of_heads() -> None:
    spec = load_model("XiaomiMiMo/MiMo-V2-Flash")
    full, sliding = attention_of(spec.layers[0]), attention_of(spec.layers[1])
    assert (full.num_kv_heads, full.head_dim, full.v_head_dim, full.window_tokens, full.sinks) == (
        4,
        192,
        128,
        None,
        False,
    )
    assert (sliding.num_kv_heads, sliding.window_tokens, sliding.sinks) == (8, 128, True)
    assert Counter(attention_of(layer).window_tokens for layer in spec.layers) == {128: 39, None: 9}
    assert [layer.feed_forward for layer in spec.layers].count(MlpSpec(intermediate_size=16384)) == 1


def test_gemma4() -> None:
    spec = load_model("google/gemma-4-26B-A4B")
    local, unbounded = attention_of(spec.layers[0]), attention_of(spec.layers[5])
    assert (local.num_kv_heads, local.head_dim, local.window_tokens, local.kv_shared) == (8, 256, 1024, False)
    assert (unbounded.num_kv_heads, unbounded.head_dim, unbounded.window_tokens, unbounded.kv_shared) == (
        2,
        512,
        None,
        True,
    )
    assert sum(attention_of(layer).window_tokens is None for layer in spec.layers) == 5
    dense, routed = spec.layers[0].feed_forward_parts
    assert dense == MlpSpec(intermediate_size=2112)
    assert isinstance(routed, MoeSpec)
    assert (routed.num_experts, routed.experts_per_token, routed.router_scales) == (128, 8, True)
    assert spec.tie_word_embeddings
    assert spec.warnings == (VISION,)
    text = bundled("google/gemma-4-26B-A4B")["text_config"] | {"hidden_size_per_layer_input": 256}
    with pytest.raises(UnsupportedModelError, match="hidden_size_per_layer_input"):
        parsed(bundled("google/gemma-4-26B-A4B", text_config=text))


def test_llama4() -> None:
    scout = load_model("meta-llama/Llama-4-Scout-17B-16E-Instruct")
    chunked, unbounded = attention_of(scout.layers[0]), attention_of(scout.layers[3])
    assert (chunked.chunk_tokens, chunked.rotary, chunked.qk_norm, chunked.qk_norm_learned) == (8192, True, True, False)
    assert (unbounded.chunk_tokens, unbounded.rotary, unbounded.qk_norm) == (None, False, False)
    assert sum(attention_of(layer).chunk_tokens is None for layer in scout.layers) == 12
    assert all(isinstance(layer.feed_forward, MoeSpec) for layer in scout.layers)
    maverick = load_model("meta-llama/Llama-4-Maverick-17B-128E-Instruct")
    assert [isinstance(layer.feed_forward, MoeSpec) for layer in maverick.layers] == [False, True] * 24
    assert maverick.layers[0].feed_forward == MlpSpec(intermediate_size=16384)
    assert maverick.layers[1].feed_forward == MoeSpec(
        num_experts=128,
        experts_per_token=1,
        expert_intermediate_size=8192,
        shared_intermediate_size=8192,
        router="sigmoid",
        norm_topk=False,
    )


def test_qwen3_5() -> None:
    spec = load_model("Qwen/Qwen3.5-397B-A17B")
    assert [isinstance(layer.mixer, GatedDeltaSpec) for layer in spec.layers] == [True, True, True, False] * 15
    assert spec.layers[0].mixer == GatedDeltaSpec(
        num_k_heads=16, num_v_heads=64, head_k_dim=128, head_v_dim=128, conv_kernel=4
    )
    full = attention_of(spec.layers[3])
    assert (full.num_heads, full.num_kv_heads, full.head_dim, full.output_gate, full.qk_norm) == (
        32,
        2,
        256,
        True,
        True,
    )
    routed = spec.layers[0].feed_forward
    assert isinstance(routed, MoeSpec)
    assert (routed.shared_intermediate_size, routed.shared_gate, routed.experts_per_token) == (1024, True, 10)
    assert (spec.num_mtp_layers, spec.mtp_layer) == (1, spec.layers[3])
    assert not load_model("Qwen/Qwen3.5-27B").is_moe


def test_nemotron() -> None:
    spec = load_model("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16")
    assert Counter(type(layer.mixer) for layer in spec.layers) == {MambaSpec: 23, type(None): 23, AttentionSpec: 6}
    assert {layer.num_norms for layer in spec.layers} == {1}
    assert all((layer.mixer is None) != (layer.feed_forward is None) for layer in spec.layers)
    assert not attention_of(spec.layers[5]).rotary
    routed = spec.layers[1].feed_forward
    assert isinstance(routed, MoeSpec)
    assert (routed.gated, routed.shared_intermediate_size, routed.router) == (False, 3712, "grouped_sigmoid")
    names = {"M": "mamba", "*": "attention", "E": "moe"}
    config = bundled(spec.model_id)
    config["layers_block_type"] = [names[letter] for letter in config.pop("hybrid_override_pattern")]
    assert parsed(config).layers == spec.layers


@pytest.mark.parametrize("model_id", ["Qwen/Qwen3-VL-8B-Instruct", "moonshotai/Kimi-K2.5", "Qwen/Qwen3.5-27B"])
def test_the_language_model_inside_is_read(model_id: str) -> None:
    spec = load_model(model_id)
    assert spec.warnings == (VISION,)
    assert spec.architecture.endswith("ForConditionalGeneration")
    assert load_model("Qwen/Qwen3-VL-8B-Instruct").layers == load_model("Qwen/Qwen3-8B").layers


def test_an_unknown_model_type_is_found_by_its_class() -> None:
    config = bundled("deepseek-ai/DeepSeek-V3", model_type="my_own_name")
    assert parsed(config).layers == load_model("deepseek-ai/DeepSeek-V3").layers


def test_every_family_is_exercised() -> None:
    """Every function of FAMILIES reads a bundled or a published config in these tests."""
    read = {FAMILIES[published(model_id)["model_type"]] for model_id in PUBLISHED}
    for model_id in ("Qwen/Qwen3.5-27B", "google/gemma-4-26B-A4B", "meta-llama/Llama-4-Scout-17B-16E-Instruct"):
        read.add(FAMILIES[bundled(model_id)["model_type"]])
    for model_id in (
        "meta-llama/Meta-Llama-3.1-8B",
        "Qwen/Qwen3-8B",
        "Qwen/Qwen3-30B-A3B",
        "mistralai/Mixtral-8x7B-v0.1",
        "MiniMaxAI/MiniMax-M2.5",
        "openai/gpt-oss-20b",
        "XiaomiMiMo/MiMo-V2-Flash",
        "deepseek-ai/DeepSeek-V3",
        "deepseek-ai/DeepSeek-V3.2",
        "zai-org/GLM-5",
        "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    ):
        read.add(FAMILIES[bundled(model_id)["model_type"]])
    assert set(FAMILIES.values()) == read
