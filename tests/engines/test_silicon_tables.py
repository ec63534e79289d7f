"""Which table engine silicon reads: the number formats of a label, and what one framework did not measure."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from aggsim.engines.silicon_forward import SiliconForward
from aggsim.forward.batch import RequestGroup
from aggsim.models.catalog import load_model
from aggsim.scenario import ParallelLayout, Quantization
from tests.engines.silicon_cases import (
    BATCHES,
    DENSE,
    FP8,
    LATENT,
    LAYOUTS,
    MOE,
    NONE,
    bind,
    decode,
    needs_package,
    seconds,
)


@needs_package
@pytest.mark.parametrize(
    ("model", "asked", "read_as"),
    [
        (DENSE, NONE, "matmuls bfloat16, KV cache bfloat16, attention bfloat16"),
        (DENSE, FP8, "matmuls fp8_static, KV cache bfloat16, attention bfloat16"),
        (
            DENSE,
            Quantization(linear="fp8", attention="fp8"),
            "matmuls fp8_static, KV cache fp8, attention bfloat16",
        ),
        ("Qwen/Qwen3-32B-FP8", FP8, "matmuls fp8_block, KV cache bfloat16, attention bfloat16"),
        (MOE, FP8, "matmuls fp8_block, experts fp8_block, KV cache bfloat16, attention bfloat16"),
        (
            "openai/gpt-oss-120b",
            Quantization(experts="mxfp4"),
            "matmuls bfloat16, experts w4a16_mxfp4, KV cache bfloat16, attention bfloat16",
        ),
    ],
)
def test_labels_are_read_as(model: str, asked: Quantization, read_as: str) -> None:
    layout = ParallelLayout(tp=4, ep=4) if load_model(model).is_moe else ParallelLayout(tp=4)
    warnings = bind(model, layout=layout, quantization=asked).warnings
    assert warnings[0] == f"Measured tables: vllm 0.24.0 on h200_sxm, read as {read_as}."
    assert len(warnings) == len(set(warnings))


@needs_package
def test_block_scaled_matmuls_of_vllm_are_read_without_launch_time() -> None:
    """Its own rows hold 55 µs and more for every matmul; SGLang measured the same kernel without."""
    block, tensor = bind("Qwen/Qwen3-32B-FP8", layout=ParallelLayout(tp=4)), bind(layout=ParallelLayout(tp=4))
    assert block.warnings[1].startswith("Matmuls in fp8_block are read from the table of fp8: vllm's own hold")
    (one,), (other,) = seconds(block, (decode(8, 1000),)), seconds(tensor, (decode(8, 1000),))
    assert one == pytest.approx(other, rel=0.25)
    assert not any("launch" in text for text in tensor.warnings)


@needs_package
@pytest.mark.slow
def test_fp8_attention_of_deepseek_falls_back_to_bf16() -> None:
    warnings = bind(
        LATENT, quantization=Quantization(linear="fp8", experts="fp8", attention="fp8"), backend="trtllm"
    ).warnings
    assert "KV cache fp8, attention bfloat16." in warnings[0]
    assert any(
        text.startswith("First choice, but not measured there: ") and "attention fp8" in text for text in warnings
    )


@needs_package
@pytest.mark.slow
def test_mxfp4_experts_of_tensorrt_llm_on_blackwell_take_8_bit_activations() -> None:
    asked: dict[str, Any] = {"layout": ParallelLayout(tp=1), "quantization": Quantization(experts="mxfp4")}
    for backend, read_as in (("trtllm", "experts w4a8_mxfp4_mxfp8,"), ("vllm", "experts w4a16_mxfp4,")):
        assert read_as in bind("openai/gpt-oss-120b", "B200_SXM_180G", backend=backend, **asked).warnings[0]


@needs_package
def test_tables_lent_by_another_framework_are_named() -> None:
    lent = "What vllm lacks in the tables mla_context_module and mla_generation_module was measured with trtllm"
    assert any(text.startswith(lent) for text in bind(LATENT).warnings)
    assert not any("lacks" in text for text in bind(DENSE).warnings)


@needs_package
@pytest.mark.parametrize("model", [DENSE, MOE])
def test_a_plain_model_of_another_name_costs_the_same(model: str) -> None:
    spec = load_model(model)
    renamed = dataclasses.replace(spec, model_id="somebody/a-fine-tune")
    batches = tuple(BATCHES.values())
    ours = bind(renamed, layout=LAYOUTS[model])
    assert seconds(ours, *batches) == seconds(bind(model), *batches)
    assert ours.cost(batches[0]).memory == bind(model).cost(batches[0]).memory


def seconds_of(forward: SiliconForward, kernel: str, batch: tuple[RequestGroup, ...]) -> tuple[int, float]:
    """Calls of the operators of one kind and their time."""
    ops = [op for op in forward.cost(batch).ops if op.kernel == kernel]
    return sum(op.calls for op in ops), sum(op.total_s for op in ops)


@needs_package
def test_all_reduces_of_latent_attention_under_vllm_are_counted_once() -> None:
    forward = bind(LATENT, layout=ParallelLayout(tp=8, moe_tp=8))
    assert any("counted once" in text for text in forward.warnings)
    calls, _ = seconds_of(forward, "all_reduce", (decode(8, 1000),))
    assert calls == 2 * load_model(LATENT).num_layers
    assert not any("counted once" in text for text in bind(LATENT).warnings), "data-parallel attention"


@needs_package
def test_norms_over_all_heads_exchange_their_variances() -> None:
    asked: dict[str, Any] = {"device": "H200_SXM_141G"}
    several = bind("MiniMaxAI/MiniMax-M2.5", layout=ParallelLayout(tp=4, moe_tp=4), **asked)
    calls, _ = seconds_of(several, "all_reduce", (decode(8, 1000),))
    assert calls == load_model("MiniMaxAI/MiniMax-M2.5").num_layers + 1
    assert any("norms of queries and keys" in text for text in several.warnings)
    assert not any("norms of queries" in text for text in bind(MOE, layout=ParallelLayout(tp=4, ep=4)).warnings)


@needs_package
@pytest.mark.slow
def test_vllm_on_blackwell_runs_the_all_reduce_that_tensorrt_llm_measured() -> None:
    batch = (decode(16, 1000),)
    here, there = (
        seconds_of(bind(DENSE, "B200_SXM_180G", ParallelLayout(tp=8), backend=name), "all_reduce", batch)
        for name in ("vllm", "trtllm")
    )
    assert here == there
    assert here[1] / here[0] < 15e-6


@needs_package
@pytest.mark.slow
def test_experts_that_one_framework_did_not_measure_are_read_from_another() -> None:
    asked: dict[str, Any] = {"layout": ParallelLayout(tp=4, moe_tp=4), "quantization": Quantization(experts="mxfp4")}
    batch = (decode(16, 1000),)
    lent, own = (bind("openai/gpt-oss-120b", "H200_SXM_141G", backend=name, **asked) for name in ("trtllm", "vllm"))
    (said,) = [text for text in lent.warnings if text.startswith("Experts were not measured with trtllm")]
    assert "they are read from vllm" in said
    assert not any(text.startswith("Experts were not measured") for text in own.warnings)
    experts = {op.source for op in lent.cost(batch).ops if op.kernel == "grouped_matmul"}
    assert experts == {"interpolated"}
    assert seconds_of(lent, "grouped_matmul", batch) == seconds_of(own, "grouped_matmul", batch)
