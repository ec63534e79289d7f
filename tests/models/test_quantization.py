"""quantization_config in our labels."""

from __future__ import annotations

import time
from typing import Any

import pytest

from aggsim.models.catalog import load_model, model_ids
from aggsim.models.parse import parse_config
from aggsim.models.spec import CheckpointQuantization
from aggsim.scenario import ATTENTION_MODES, LINEAR_MODES
from tests.models.configs import bundled

INT4 = {"num_bits": 4, "type": "int", "group_size": 128}
INT8 = {"num_bits": 8, "type": "int"}
FLOAT8 = {"num_bits": 8, "type": "float"}
FLOAT4 = {"num_bits": 4, "type": "float", "group_size": 16}


def read(config: object, model_id: str = "Qwen/Qwen3-30B-A3B") -> tuple[CheckpointQuantization | None, tuple[str, ...]]:
    spec = parse_config(bundled(model_id, quantization_config=config), "test/model", "test")
    return spec.quantization, spec.warnings


def compressed(weights: object, activations: object = None, **rest: Any) -> dict[str, Any]:
    group = {"targets": ["Linear"], "weights": weights, "input_activations": activations}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}, **rest}


@pytest.mark.parametrize(
    ("model_id", "linear", "experts", "source"),
    [
        ("Qwen/Qwen3-32B-FP8", "fp8", "fp8", "quantization_config: fp8, block 128×128"),
        ("deepseek-ai/DeepSeek-V3", "fp8", "fp8", "quantization_config: fp8, block 128×128"),
        ("MiniMaxAI/MiniMax-M2.5", "fp8", "fp8", "quantization_config: fp8, block 128×128"),
        ("openai/gpt-oss-120b", "none", "mxfp4", "quantization_config: mxfp4, experts only"),
        (
            "moonshotai/Kimi-K2.5",
            "none",
            "w4a16",
            "quantization_config: compressed-tensors, int4 weights, 16 bit activations, experts only",
        ),
    ],
)
def test_bundled_checkpoints(model_id: str, linear: str, experts: str, source: str) -> None:
    assert load_model(model_id).quantization == CheckpointQuantization(linear=linear, experts=experts, source=source)


def test_labels_are_those_of_the_scenario() -> None:
    found = [quantization for model_id in model_ids() if (quantization := load_model(model_id).quantization)]
    assert len(found) == 10
    for quantization in found:
        assert quantization.linear in LINEAR_MODES
        assert quantization.experts in LINEAR_MODES
        assert quantization.attention in ATTENTION_MODES


@pytest.mark.parametrize(
    ("config", "mode"),
    [
        ({"quant_method": "fp8"}, "fp8"),
        ({"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0}, "fp8"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "w4a16"),
        ({"quant_method": "gptq", "bits": 8}, "w8a16_static"),
        ({"quant_method": "awq", "bits": 4, "version": "gemm"}, "w4a16"),
        ({"quant_method": "awq", "w_bit": 4}, "w4a16"),
        ({"quant_method": "auto-round", "bits": 4}, "w4a16"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "w4a16"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "w8a8_dynamic"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4"),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "fp8"),
        (compressed(INT4), "w4a16"),
        (compressed(INT8), "w8a16_static"),
        (compressed(INT8, INT8 | {"dynamic": True}), "w8a8_dynamic"),
        (compressed(INT8, INT8 | {"dynamic": False}), "w8a8_static"),
        (compressed(INT4, INT8 | {"dynamic": True}), "w4a8_dynamic"),
        (compressed(FLOAT8, FLOAT8 | {"dynamic": True}), "fp8"),
        (compressed(FLOAT4, FLOAT4 | {"dynamic": "local"}), "nvfp4"),
        (compressed(FLOAT4 | {"group_size": 32}, FLOAT4), "mxfp4"),
    ],
)
def test_methods(config: dict[str, Any], mode: str) -> None:
    quantization, warnings = read(config)
    assert quantization is not None
    assert (quantization.linear, quantization.experts, quantization.attention) == (mode, mode, "none")
    assert warnings == ()


@pytest.mark.parametrize(
    "config",
    [
        {"quant_method": "squeeze3"},
        {"quant_method": 8},
        {"bits": 4},
        {"quant_method": "gptq", "bits": 3},
        {"quant_method": "gptq", "bits": "4"},
        {"quant_method": "modelopt", "quant_algo": "MIXED"},
        {"quant_method": "compressed-tensors"},
        {"quant_method": "compressed-tensors", "config_groups": {"group_0": 3}},
        compressed({"num_bits": 5, "type": "int"}),
        compressed(INT8, "all"),
    ],
)
def test_what_is_not_understood_is_a_warning(config: dict[str, Any]) -> None:
    quantization, warnings = read(config)
    assert quantization is None
    (sentence,) = warnings
    assert sentence.startswith("quantization_config: ")


def test_experts_and_the_rest_apart() -> None:
    keeps_attention, _ = read({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head", "*self_attn*"]})
    assert keeps_attention is not None
    assert (keeps_attention.linear, keeps_attention.experts) == ("none", "nvfp4")
    keeps_experts, _ = read({"quant_method": "fp8", "modules_to_not_convert": ["model.layers.*.mlp.experts"]})
    assert keeps_experts is not None
    assert (keeps_experts.linear, keeps_experts.experts) == ("fp8", "none")
    targets = {"targets": ["re:.*mlp.experts.*"], "weights": INT4, "input_activations": None}
    mixed = compressed(FLOAT8, FLOAT8)
    mixed["config_groups"]["group_1"] = targets
    apart, _ = read(mixed)
    assert apart is not None
    assert (apart.linear, apart.experts) == ("fp8", "w4a16")


def test_modules_listed_layer_by_layer() -> None:
    def excluded(layers: int, module: str = "self_attn.q_proj") -> str:
        names = [f"model.layers.{i}.{module}" for i in range(layers)]
        quantization, _ = read({"quant_method": "fp8", "modules_to_not_convert": names})
        assert quantization is not None
        return quantization.linear

    assert excluded(3) == "fp8"
    assert excluded(48) == "none"
    assert excluded(48, "self_attn.indexer.weights_proj") == "fp8"
    assert excluded(48, "mlp.shared_expert.up_proj") == "fp8"


@pytest.mark.parametrize(
    ("scheme", "attention"), [(FLOAT8, "fp8"), (INT8, "int8"), (None, "none"), ({"num_bits": 4}, "none"), (8, "none")]
)
def test_kv_cache(scheme: object, attention: str) -> None:
    quantization, _ = read({"quant_method": "fp8", "kv_cache_scheme": scheme})
    assert quantization is not None
    assert quantization.attention == attention


def test_patterns_are_never_run() -> None:
    start = time.perf_counter()
    read({"quant_method": "fp8", "ignore": ["re:(a+)+" + "a" * 400 + "!"] * 5000})
    assert time.perf_counter() - start < 1.0
