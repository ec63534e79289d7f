"""What each correction changes, and that nothing changes without one."""

from __future__ import annotations

import pytest

from aggsim.devices.catalog import load_device
from aggsim.engines.base import EngineOptions
from aggsim.errors import InputError
from aggsim.forward.batch import RequestGroup
from aggsim.forward.corrections import CORRECTIONS
from aggsim.forward.cost import ForwardCost
from aggsim.models.catalog import load_model
from aggsim.scenario import ParallelLayout, Quantization
from tests.forward.deployments import all_of, bind, decode, make_attention, make_model, named, names, prefill

LLAMA, V3, A3B = "meta-llama/Meta-Llama-3.1-8B", "deepseek-ai/DeepSeek-V3", "Qwen/Qwen3-30B-A3B"
W8A8 = all_of("w8a8_dynamic")


def both(
    name: str,
    model: str,
    *batch: RequestGroup,
    layout: ParallelLayout | None = None,
    quantization: Quantization = W8A8,
    device: str = "TEST_DEVICE",
    mtp: int = 0,
) -> tuple[ForwardCost, ForwardCost]:
    """As the original has it, and corrected."""
    return (
        bind(model, layout, quantization, device, num_mtp_tokens=mtp).cost(batch),
        bind(model, layout, quantization, device, num_mtp_tokens=mtp, corrections={name}).cost(batch),
    )


def test_every_correction_is_explained_in_a_sentence() -> None:
    assert all(text[0].isupper() and text.endswith(".") for text in CORRECTIONS.values())


def test_a_name_that_is_none() -> None:
    with pytest.raises(InputError, match="causal_prefill") as caught:
        EngineOptions(corrections=frozenset({"causal_prefill", "faster"}))
    assert caught.value.field == "corrections"


def test_names_in_any_form() -> None:
    assert EngineOptions(corrections=["rope_rows"]).corrections == frozenset({"rope_rows"})  # type: ignore[arg-type]


def test_causal_prefill() -> None:
    original, corrected = both("causal_prefill", LLAMA, prefill(2000, 1))
    share = named(corrected, "attention").mma_ops / named(original, "attention").mma_ops
    assert share == pytest.approx(2001 / 2 / 2000)
    original, corrected = both("causal_prefill", LLAMA, prefill(500, 1, cached=1500))
    share = named(corrected, "attention").mma_ops / named(original, "attention").mma_ops
    assert share == pytest.approx((1500 + 501 / 2) / 2000)
    original, corrected = both("causal_prefill", LLAMA, decode())
    assert original == corrected


def test_causal_prefill_of_latents() -> None:
    original, corrected = both("causal_prefill", V3, prefill(2000, 1))
    expand = 61 * 2000 * 2 * 128 * 256 * 512
    scores = [named(cost, "attention").mma_ops - expand for cost in (original, corrected)]
    assert scores[1] / scores[0] == pytest.approx(2001 / 2 / 2000)


def test_fused_norm_quant() -> None:
    """Llama's epsilon is 1e-5."""
    original, corrected = both("fused_norm_quant", LLAMA, decode())
    lost = {"qkv projection: quantize input", "MLP gate and up projection: quantize input"}
    assert names(original) - names(corrected) == lost
    assert corrected.latency_s < original.latency_s


def test_live_splits() -> None:
    original, corrected = both("live_splits", LLAMA, prefill(2000, 8))
    assert corrected.memory.activation > original.memory.activation
    assert corrected.latency_s == original.latency_s


def test_rope_rows() -> None:
    original, corrected = both("rope_rows", LLAMA, decode())
    table, rows = 131_072 * 128 * 2, 8 * 128 * 2
    read = [named(cost, "rotary cosines").memory_bytes for cost in (original, corrected)]
    assert read[0] - read[1] == table - rows
    assert original.memory == corrected.memory


def test_grouped_experts_without_collectives_between_their_matmuls() -> None:
    layout = ParallelLayout(tp=4, dp=2, ep=4, moe_tp=2)
    original, corrected = both("grouped_experts", A3B, prefill(512, 2), layout=layout)
    assert "experts: gather halves" in names(original)
    assert {"experts: gather rows", "experts: reduce-scatter"} <= names(corrected)
    assert not {"experts: gather halves", "experts: copy shard"} & names(corrected)
    assert named(corrected, "experts: down projection").calls == 48
    assert corrected.latency_s < original.latency_s / 2
    assert corrected.memory.weight == original.memory.weight


def test_grouped_experts_without_padding() -> None:
    layout = ParallelLayout(tp=4, dp=2, ep=1, moe_tp=8)
    original, corrected = both("grouped_experts", A3B, decode(1000, 8), layout=layout)
    assert named(original, "experts: down projection").calls == 48 * 64  # one row for each of 64 experts
    assert named(corrected, "experts: down projection").calls == 48
    assert "experts: pad rows" in names(original) - names(corrected)


def test_more_tokens_never_cost_less_with_grouped_experts() -> None:
    layout = ParallelLayout(tp=4, dp=2, ep=1, moe_tp=8)
    forward = bind(A3B, layout, W8A8, corrections={"grouped_experts"})
    latency = forward.price([(decode(1000, n),) for n in range(1, 400)]).latency_s
    assert (latency[1:] >= latency[:-1]).all()


def test_fp8_on_bf16() -> None:
    """The Ascend 910 has no FP8 matrix units."""
    device = "ATLAS_800_A2_376T_64G"
    original, corrected = both("fp8_on_bf16", LLAMA, prefill(2000, 4), quantization=all_of("fp8"), device=device)
    down = named(corrected, "MLP down projection")
    spec = load_device(device)
    seconds = down.mma_ops / (spec.mma_ops_per_s["bf16"] * spec.compute_efficiency)
    assert down.total_s == pytest.approx(seconds + 32 * spec.mma_op_cost_s)
    assert named(original, "MLP down projection").total_s < down.total_s / 2
    original, corrected = both("fp8_on_bf16", LLAMA, prefill(2000, 4), quantization=all_of("fp8"))
    assert original == corrected


def test_latent_context() -> None:
    original, corrected = both("latent_context", V3, prefill(500, 1, cached=1500))
    more = named(corrected, "attention").mma_ops - named(original, "attention").mma_ops
    assert more == 61 * 1500 * 2 * 128 * 256 * 512
    for batch in (prefill(500, 1), decode()):
        original, corrected = both("latent_context", V3, batch)
        assert original == corrected


def test_mesh_sends() -> None:
    """Eight devices of TEST_DEVICE are fully meshed: a link to one peer has a seventh of the bandwidth."""
    layout = ParallelLayout(tp=2, pp=2)
    original, corrected = both("mesh_sends", LLAMA, prefill(2000, 4), layout=layout)
    latency_s = 1.3e-6
    times = [named(cost, "pipeline send").total_s - latency_s for cost in (original, corrected)]
    assert times[1] == pytest.approx(7 * times[0])


def test_shared_drafts() -> None:
    model = load_model(V3)
    original, corrected = both("shared_drafts", V3, decode(query_len=4), mtp=3)
    vocabulary = 2 * model.vocab_size * model.hidden_size
    plain = bind(V3, quantization=W8A8).cost((decode(),)).memory.weight
    layer = (original.memory.weight - plain) / 3 - 2 * vocabulary
    assert corrected.memory.weight - plain == pytest.approx(layer, rel=1e-9)
    assert corrected.latency_s == pytest.approx(original.latency_s, rel=1e-12)


def test_w8a16_wide() -> None:
    original, corrected = both("w8a16_wide", LLAMA, decode(), quantization=all_of("w8a16_static"))
    assert "MLP down projection: quantize input" in names(original) - names(corrected)
    assert named(corrected, "MLP down projection").kernel == "weight_only_linear"
    assert corrected.memory.weight == original.memory.weight


def test_corrections_add_up() -> None:
    corrected = bind(A3B, ParallelLayout(tp=4, dp=2, ep=4, moe_tp=2), W8A8, corrections=CORRECTIONS)
    original = bind(A3B, ParallelLayout(tp=4, dp=2, ep=4, moe_tp=2), W8A8)
    batch = (prefill(2000, 4),)
    assert corrected.cost(batch).latency_s < original.cost(batch).latency_s
    assert bind(make_model(make_attention()), corrections=CORRECTIONS).cost((decode(),)).latency_s > 0
