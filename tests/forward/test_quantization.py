"""Every number format: stored bytes, work, and the kernels that appear for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aggsim.forward.cost import ForwardCost
from aggsim.models.catalog import load_model
from aggsim.models.parameters import count_parameters
from aggsim.models.spec import MoeSpec
from aggsim.scenario import ATTENTION_MODES, LINEAR_MODES, ParallelLayout, Quantization
from tests.factories import make_device
from tests.forward.deployments import all_of, bind, decode, make_attention, make_model, named, names, prefill

BITS = {
    "none": 16,
    "w8a16_static": 8,
    "w8a16_dynamic": 8,
    "w8a8_static": 8,
    "w8a8_dynamic": 8,
    "w4a8_static": 4,
    "w4a8_dynamic": 4,
    "w4a16": 4 + 16 / 128,  # a 16-bit scale for every 128 weights: GPTQ, AWQ, compressed-tensors
    "fp8": 8,
    "mxfp4": 4 + 8 / 32,  # an E8M0 scale for every 32: OCP Microscaling Formats 1.0, section 6
    "nvfp4": 4 + 8 / 16,  # an E4M3 scale for every 16: NVIDIA, "Introducing NVFP4", 2025
}
ACTIVATION_BITS = {"none": 16, "w4a16": 16, "mxfp4": 4 + 8 / 32, "nvfp4": 4 + 8 / 16}
EXPERTS = MoeSpec(num_experts=16, experts_per_token=2, expert_intermediate_size=512)
FAMILIES = (
    "Qwen/Qwen3-8B",
    "deepseek-ai/DeepSeek-V3.2",
    "Qwen/Qwen3.5-397B-A17B",
    "openai/gpt-oss-20b",
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    "google/gemma-4-26B-A4B",
)


def mlp_cost(mode: str) -> ForwardCost:
    return bind(make_model(make_attention()), quantization=all_of(mode)).cost((decode(),))


def test_every_mode_is_here() -> None:
    assert set(BITS) == set(LINEAR_MODES)


@pytest.mark.parametrize("mode", LINEAR_MODES)
def test_a_linear_layer_by_hand(mode: str) -> None:
    """8 tokens, 4,096 × 1,024 weights: the down projection."""
    down = named(mlp_cost(mode), "MLP down projection")
    weights = 4096 * 1024
    assert down.mma_ops == 2 * 8 * weights
    inputs, outputs = 8 * 4096 * ACTIVATION_BITS.get(mode, 8) / 8, 8 * 1024 * 2
    assert down.memory_bytes == pytest.approx(inputs + weights * BITS[mode] / 8 + outputs)
    assert down.gp_ops == (weights if mode.startswith("w4") else 0)  # unpacked once a pass
    quantizes = "MLP down projection: quantize input" in names(mlp_cost(mode))
    assert quantizes is (mode not in {"none", "w4a16"})


@pytest.mark.parametrize("mode", LINEAR_MODES)
def test_stored_weights(mode: str) -> None:
    """All matmuls but the head are in the mode's format; embedding, head, norms and tables stay in 16 bits."""
    wide, narrow = mlp_cost("none").memory.weight, mlp_cost(mode).memory.weight
    weights = 1024 * (8 + 4 + 4 + 8) * 128 + 3 * 1024 * 4096
    assert wide - narrow == pytest.approx(weights * (16 - BITS[mode]) / 8)


@pytest.mark.parametrize("mode", LINEAR_MODES)
def test_experts_have_a_format_of_their_own(mode: str) -> None:
    def cost(quantization: Quantization) -> ForwardCost:
        return bind(make_model(make_attention(), EXPERTS), quantization=quantization).cost((decode(),))

    wide = cost(Quantization())
    mixed = cost(Quantization(linear="none", experts=mode))
    assert named(mixed, "qkv projection") == named(wide, "qkv projection")
    stored = 16 * 3 * 1024 * 512
    assert wide.memory.weight - mixed.memory.weight == pytest.approx(stored * (16 - BITS[mode]) / 8)
    other = cost(Quantization(linear="w8a8_dynamic", experts=mode))
    assert named(other, "experts: down projection") == named(mixed, "experts: down projection")


def test_block_scaled_experts_quantize_in_the_kernel_before() -> None:
    for mode in ("mxfp4", "nvfp4"):
        cost = bind(make_model(make_attention(), EXPERTS), quantization=all_of(mode)).cost((decode(),))
        fused = named(cost, "experts: gate, up and activation")
        assert fused.kernel == f"grouped_{mode}_linear_swiglu_quant"
        block = {"mxfp4": 32, "nvfp4": 16}[mode]
        assert fused.gp_ops == pytest.approx(8 * 2 * 512 * (7 + 2 + 1 / block))
        assert "experts: quantize activation" not in names(cost)


@pytest.mark.parametrize("attention", ATTENTION_MODES)
@pytest.mark.parametrize("mode", LINEAR_MODES)
@pytest.mark.parametrize("model_id", FAMILIES)
def test_every_family_in_every_format(model_id: str, mode: str, attention: str) -> None:
    model = load_model(model_id)
    forward = bind(model, ParallelLayout(tp=2, moe_tp=2 if model.is_moe else 1), all_of(mode, attention))
    plain = bind(model, ParallelLayout(tp=2, moe_tp=2 if model.is_moe else 1))
    for batch in ((decode(4000),), (prefill(500),)):
        cost, wide = forward.cost(batch), plain.cost(batch)
        assert cost.latency_s > 0
        assert cost.memory.weight <= wide.memory.weight
        assert cost.memory.kv_cache <= wide.memory.kv_cache
    if attention != "none" and model_id == "Qwen/Qwen3-8B":
        assert cost.memory.kv_cache == wide.memory.kv_cache / 2


def test_a_published_checkpoint() -> None:
    """openai/gpt-oss-120b: 60.8 GiB with MXFP4 experts (model card, arXiv 2508.10925, table 1); everything else is
    in 16 bits."""
    model = load_model("openai/gpt-oss-120b")
    own = model.quantization
    assert own is not None
    bound = bind(model, quantization=Quantization(linear=own.linear, experts=own.experts))
    assert bound.cost((decode(),)).memory.weight / 1024**3 == pytest.approx(60.8, rel=0.01)


def test_a_format_the_device_lacks_is_free_and_said() -> None:
    device = make_device()
    model = make_model(make_attention())
    free = bind(model, quantization=all_of("mxfp4"), device=device)
    assert free.warnings == (
        "ROUND_64G has no matrix units for FP4: that work costs no time, only its memory traffic.",
    )
    assert named(free.cost((prefill(4000),)), "MLP down projection").bound == "memory"
    paid = bind(model, quantization=all_of("mxfp4"), device=device, corrections={"fp8_on_bf16"})
    assert paid.warnings == ()
    down = named(paid.cost((prefill(4000, 4),)), "MLP down projection")
    assert down.total_s == pytest.approx(2 * 16_000 * 4096 * 1024 / 100e12)
    assert bind(model, quantization=all_of("fp8"), device=device).warnings == ()


def test_latent_attention_quantizes_its_copies() -> None:
    """The expansion matrix is held twice beside the weights, in the attention's format."""
    model = load_model("deepseek-ai/DeepSeek-V3")
    activations = [
        bind(model, quantization=all_of("w8a8_dynamic", mode)).cost((decode(1, 1),)).memory.activation
        for mode in ("none", "int8")
    ]
    expansion = 61 * 128 * 256 * 512
    assert activations[0] - activations[1] == pytest.approx(2 * expansion, rel=1e-3)
    assert count_parameters(replace(model, layers=model.layers[:1])).dense > 128 * 256 * 512
