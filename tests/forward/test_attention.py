"""What each property of an attention layer changes: operators, bytes, scores, cache."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aggsim.forward.cost import ForwardCost
from aggsim.models.spec import IndexerSpec, MlaSpec, ModelSpec
from aggsim.scenario import ParallelLayout
from tests.forward.deployments import all_of, bind, decode, make_attention, make_model, named, names, prefill

BLOCK = 128


def blocks(num_requests: int, kept: int) -> int:
    """Tokens of whole blocks that hold the kept context of every request and one token to come."""
    return -(-num_requests * (kept + 1) // BLOCK) * BLOCK


def priced(
    *batch: Any, tp: int = 1, attention: str = "none", model: ModelSpec | None = None, **spec: Any
) -> ForwardCost:
    model = model or make_model(make_attention(**spec))
    return bind(model, ParallelLayout(tp=tp), all_of("none", attention)).cost(batch or (decode(),))


def test_scores_and_bytes_by_hand() -> None:
    """8 requests with 1,000 tokens of context; 8 query and 4 KV heads of 128."""
    attention = named(priced(decode(1000, 8)), "attention")
    scores = 8 * 1000 * 8
    assert attention.mma_ops == 2 * 2 * 128 * scores
    assert attention.gp_ops == 4 * scores
    read, query, out = 8 * 1000 * 2 * 4 * 128 * 2, 8 * 8 * 128 * 2, 8 * 8 * 128 * 2
    assert attention.memory_bytes == read + query + out
    cache = priced(decode(1000, 8)).memory.kv_cache
    assert cache == blocks(8, 1000) * 2 * 4 * 128 * 2


def test_a_window_caps_scores_reads_and_cache() -> None:
    whole, window = priced(decode(1000, 8)), priced(decode(1000, 8), window_tokens=256)
    assert named(window, "attention").mma_ops == named(whole, "attention").mma_ops * 256 / 1000
    assert window.memory.kv_cache == blocks(8, 256) * 2 * 4 * 128 * 2
    short = priced(decode(200, 8), window_tokens=256)
    assert named(short, "attention") == named(priced(decode(200, 8)), "attention")


def test_a_prefill_reads_what_any_of_its_queries_sees() -> None:
    """The last of 300 queries behind 500 cached tokens sees 256 keys, the first 255 before itself."""
    per_key = 2 * 4 * 128 * 2
    attention = named(priced(prefill(300, 2, cached=500), window_tokens=256), "attention")
    assert attention.memory_bytes == 2 * ((300 + 255) * per_key + 2 * 300 * 8 * 128 * 2)
    assert attention.gp_ops == 4 * 2 * 300 * 256 * 8


def test_a_chunk_caps_like_a_window() -> None:
    chunked, window = priced(decode(5000), chunk_tokens=1024), priced(decode(5000), window_tokens=1024)
    assert named(chunked, "attention") == named(window, "attention")
    assert chunked.memory == window.memory


def test_values_narrower_than_keys() -> None:
    attention = named(priced(decode(1000, 1), v_head_dim=64), "attention")
    assert attention.mma_ops == 2 * (128 + 64) * 1000 * 8


@pytest.mark.parametrize(
    ("spec", "added", "lost"),
    [
        ({"qk_norm": True}, {"query norm", "key norm"}, set()),
        ({"v_norm": True}, {"value norm"}, set()),
        ({"rotary": False}, set(), {"rotary embedding", "rotary cosines", "rotary sines"}),
        ({"output_gate": True}, {"attention output gate"}, set()),
    ],
)
def test_operators_come_and_go(spec: dict[str, Any], added: set[str], lost: set[str]) -> None:
    plain, changed = names(priced()), names(priced(**spec))
    assert changed - plain == added
    assert plain - changed == lost


def test_weights_of_every_property() -> None:
    def extra(**spec: Any) -> float:
        return priced(**spec).memory.weight - priced().memory.weight

    assert extra(qk_norm=True) == 2 * 2 * 128
    assert extra(qk_norm=True, qk_norm_learned=False) == 0
    assert extra(qk_norm=True, qk_norm_scope="layer") == 2 * (8 + 4) * 128
    assert extra(v_norm=True) == 0
    assert extra(qkv_bias=True, out_bias=True) == 2 * ((8 + 4 + 4) * 128 + 1024)
    assert extra(sinks=True) == 2 * 8
    assert extra(output_gate=True) == 2 * 1024 * 8 * 128
    assert extra(kv_shared=True) == -2 * 1024 * 4 * 128
    assert priced(kv_shared=True).memory.kv_cache == priced().memory.kv_cache


def test_a_norm_over_all_heads_adds_up_over_the_ranks() -> None:
    spec: dict[str, Any] = {"qk_norm": True, "qk_norm_scope": "layer"}
    assert "query and key norm: all-reduce" not in names(priced(**spec))
    reduced = named(priced(decode(1000, 8), tp=4, **spec), "query and key norm: all-reduce")
    assert reduced.communication_bytes == 8 * 2 * 4
    per_head = named(priced(tp=4, qk_norm=True), "query norm")
    assert named(priced(tp=4, **spec), "query norm").gp_ops == per_head.gp_ops


@pytest.mark.parametrize(("tp", "kv_heads"), [(1, 4), (2, 2), (4, 1), (8, 1)])
def test_kv_heads_are_never_below_one(tp: int, kv_heads: int) -> None:
    assert priced(tp=tp).memory.kv_cache == blocks(8, 1000) * 2 * kv_heads * 128 * 2


@pytest.mark.parametrize(("mode", "steps"), [("int8", 2), ("fp8", 1)])
def test_a_quantized_cache(mode: str, steps: int) -> None:
    plain, quantized = priced(decode(1000, 8)), priced(decode(1000, 8), attention=mode)
    assert quantized.memory.kv_cache == plain.memory.kv_cache / 2
    scores = 8 * 1000 * 8
    assert named(quantized, "attention").gp_ops == scores * (4 + 2 * steps) + steps * 8 * 8 * 128
    assert {"query: quantize", "key: quantize", "value: quantize"} <= names(quantized)


MLA = MlaSpec(
    num_heads=16, q_lora_rank=512, kv_lora_rank=256, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128
)
INDEXER = IndexerSpec(num_heads=8, head_dim=64, topk_tokens=512)
SPARSE = MlaSpec(
    num_heads=16, q_lora_rank=512, kv_lora_rank=256, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128,
    indexer=INDEXER,
)  # fmt: skip


def test_latent_attention_by_hand() -> None:
    """Prefill multiplies expanded heads, decode the latents; both hold 320 numbers a token."""
    expand = 2 * 16 * (128 + 128) * 256
    prefilled = named(priced(prefill(500, 2), model=make_model(MLA)), "attention")
    assert prefilled.mma_ops == 2 * 500 * expand + 2 * 500 * 500 * 2 * 16 * (192 + 128)
    decoded = named(priced(decode(1000, 8), model=make_model(MLA)), "attention")
    assert decoded.mma_ops == 8 * expand + 8 * 1000 * 2 * 16 * (2 * 256 + 64)
    assert priced(decode(1000, 8), model=make_model(MLA)).memory.kv_cache == blocks(8, 1000) * 320 * 2


def test_sparse_attention_scores_all_and_reads_the_chosen() -> None:
    cost = priced(decode(2000, 8), model=make_model(SPARSE))
    index, attention = named(cost, "indexer"), named(cost, "attention")
    projections = 512 * 8 * 64 + 1024 * 64 + 1024 * 8
    assert index.mma_ops == 8 * 2 * projections + 8 * 2000 * 2 * 8 * 64
    assert index.memory_bytes > 8 * 2000 * 64 * 2
    assert attention.mma_ops == 8 * 2 * 16 * 256 * 256 + 8 * 512 * 2 * 16 * (2 * 256 + 64)
    dense = named(priced(decode(2000, 8), model=make_model(MLA)), "attention")
    assert dense.memory_bytes - attention.memory_bytes == 8 * ((2000 - 512) * 320 * 2 - 512 * 4)
    assert cost.memory.kv_cache == blocks(8, 2000) * (320 + 64) * 2


def test_a_short_context_is_chosen_whole() -> None:
    short = named(priced(decode(500, 8), model=make_model(SPARSE)), "attention")
    dense = named(priced(decode(500, 8), model=make_model(MLA)), "attention")
    assert short.mma_ops == dense.mma_ops


def test_every_rank_holds_the_indexer_whole() -> None:
    def indexer(tp: int) -> float:
        with_it, without = (priced(tp=tp, model=make_model(mixer)).memory.weight for mixer in (SPARSE, MLA))
        return with_it - without

    assert indexer(1) == indexer(4) == 2 * (512 * 8 * 64 + 1024 * 64 + 1024 * 8 + 2 * 64)


def test_biases_of_latent_attention() -> None:
    biased = priced(model=make_model(replace(MLA, bias=True))).memory.weight
    assert biased - priced(model=make_model(MLA)).memory.weight == 2 * (512 + 256 + 64 + 1024)
