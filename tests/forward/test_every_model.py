"""Every bundled model prices, and what its layers hold is what its configuration implies."""

from __future__ import annotations

import pytest

from aggsim.forward.decoder import MAX_TABLE_POSITIONS, rope_widths
from aggsim.models.catalog import load_model, model_ids
from aggsim.models.parameters import count_parameters
from aggsim.models.spec import ModelSpec
from aggsim.scenario import ParallelLayout, Quantization
from tests.forward.deployments import all_of, bind, decode, prefill, suitable_layout

BATCHES = {"prefill": (prefill(),), "decode": (decode(),), "mixed": (prefill(300, cached=700), decode(3000))}


def weight_bytes(model: ModelSpec, layout: ParallelLayout, quantization: Quantization | None = None) -> float:
    return bind(model, layout, quantization).cost((decode(),)).memory.weight


def table_bytes(model: ModelSpec) -> int:
    """Cosines and sines in 16 bits, which the original stores."""
    if model.max_position_embeddings > MAX_TABLE_POSITIONS:
        return 0
    return sum(2 * 2 * width * model.max_position_embeddings for width in rope_widths(model))


@pytest.mark.parametrize("quantization", [Quantization(), all_of("w8a8_dynamic", "int8")], ids=["16 bits", "8 bits"])
@pytest.mark.parametrize("model_id", model_ids())
def test_prices(model_id: str, quantization: Quantization) -> None:
    model = load_model(model_id)
    forward = bind(model, suitable_layout(model), quantization)
    prices = forward.price(BATCHES.values())
    for i, batch in enumerate(BATCHES.values()):
        cost = forward.cost(batch)
        assert 1e-4 < cost.latency_s < 10
        assert cost.latency_s == pytest.approx(sum(op.total_s for op in cost.ops), rel=1e-12)
        assert prices.latency_s[i] == pytest.approx(cost.latency_s, rel=1e-12)
        assert prices.available_bytes[i] == pytest.approx(cost.memory.available, rel=1e-12, abs=1)
        assert cost.memory.kv_cache > 0
        assert all(op.kernel and op.calls > 0 and op.total_s > 0 for op in cost.ops)


@pytest.mark.parametrize("model_id", model_ids())
def test_one_device_holds_every_parameter(model_id: str) -> None:
    model = load_model(model_id)
    expected = 2 * count_parameters(model).total + table_bytes(model)
    assert weight_bytes(model, ParallelLayout()) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("model_id", [m for m in model_ids() if load_model(m).num_mtp_layers])
def test_draft_tokens_hold_the_draft_layers(model_id: str) -> None:
    model = load_model(model_id)
    count = model.num_mtp_layers
    drafted = bind(model, num_mtp_tokens=count, corrections={"shared_drafts"}).cost((decode(),)).memory.weight
    more = drafted - weight_bytes(model, ParallelLayout())
    assert more == pytest.approx(2 * count_parameters(model).mtp, rel=1e-4)


@pytest.mark.parametrize(
    "model_id",
    ["Qwen/Qwen3-8B", "Qwen/Qwen3.5-27B", "openai/gpt-oss-20b", "deepseek-ai/DeepSeek-V3", "zai-org/GLM-5"],
)
def test_tensor_parallelism_divides_all_but_what_is_replicated(model_id: str) -> None:
    """Replicated: word embedding, rotary tables, norms, routers, shared experts, biases of outputs, latent
    down-projections and indexers."""
    model = load_model(model_id)
    whole, half, quarter = (
        weight_bytes(model, ParallelLayout(tp=tp, moe_tp=tp if model.is_moe else 1)) for tp in (1, 2, 4)
    )
    replicated = 2 * half - whole
    assert quarter == pytest.approx(replicated + (whole - replicated) / 4, rel=1e-9)
    embedding = 2 * model.vocab_size * model.hidden_size
    assert embedding <= replicated < embedding + 0.06 * whole


@pytest.mark.parametrize("pp", [2, 3, 7])
@pytest.mark.parametrize("model_id", ["Qwen/Qwen3-8B", "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"])
def test_stages_hold_every_parameter_once(model_id: str, pp: int) -> None:
    """But for the rotary tables, which every stage has."""
    model = load_model(model_id)
    forward = bind(model, ParallelLayout(pp=pp))
    held = sum(stage.stage.weight_bytes for stage in forward.pricer.stages)
    assert held == pytest.approx(2 * count_parameters(model).total + pp * table_bytes(model), rel=1e-4)


def test_experts_are_dealt_out_to_the_ranks() -> None:
    model = load_model("mistralai/Mixtral-8x7B-v0.1")
    experts = 2 * count_parameters(model).experts
    whole = weight_bytes(model, ParallelLayout())
    for layout in (ParallelLayout(dp=8, ep=8), ParallelLayout(dp=8, ep=4, moe_tp=2), ParallelLayout(dp=8, moe_tp=8)):
        assert whole - weight_bytes(model, layout) == pytest.approx(experts * 7 / 8, rel=1e-9)
    halved = weight_bytes(model, ParallelLayout(dp=8, ep=4, moe_dp=2))
    assert whole - halved == pytest.approx(experts * 3 / 4, rel=1e-9)
