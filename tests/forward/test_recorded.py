"""Forward passes of the real TensorCast analytic model beyond the goldens, recorded at commit 84fec85.

Compilation on, torch 2.9.1, transformers 5.13.1, TEST_DEVICE. They cover what the goldens do not: quantized latent
attention, FP8 caches, layouts with moe_tp and moe_dp, experts without expert parallelism, pipeline stages, static
modes. Latency in seconds.
"""

from __future__ import annotations

from typing import Any

import pytest

from aggsim.forward.batch import RequestGroup
from aggsim.scenario import ParallelLayout
from tests.forward.deployments import all_of, bind, decode, prefill

V3, A3B = "deepseek-ai/DeepSeek-V3", "Qwen/Qwen3-30B-A3B"
V3_LAYOUT = {"tp": 4, "dp": 4, "ep": 16}
CASES: list[tuple[str, dict[str, int], str, str, RequestGroup, float]] = [
    (V3, V3_LAYOUT, "w8a8_dynamic", "int8", decode(5000, 16), 0.04883205415603479),
    (V3, V3_LAYOUT, "w8a8_dynamic", "int8", prefill(1000, 4), 0.23805949817375346),
    (V3, V3_LAYOUT, "fp8", "none", decode(5000, 16), 0.04937122027314675),
    (V3, V3_LAYOUT, "w4a8_dynamic", "none", decode(5000, 16), 0.036782129458953414),
    (V3, {"tp": 8, "moe_tp": 8}, "w8a8_dynamic", "none", decode(5000, 4), 0.07785392729469931),
    (V3, {"tp": 8, "dp": 2, "ep": 8, "moe_dp": 2}, "w8a8_dynamic", "none", decode(5000, 4), 0.03771284632407099),
    (A3B, {"tp": 2, "dp": 2, "ep": 2, "moe_dp": 2}, "w8a8_dynamic", "none", decode(5000, 4), 0.009299345589511315),
    (A3B, {"tp": 2, "dp": 2, "moe_tp": 4}, "w8a8_dynamic", "none", decode(5000, 4), 0.04304261912093274),
    (A3B, {"tp": 2, "dp": 4, "ep": 4, "moe_tp": 2}, "w8a8_dynamic", "none", decode(5000, 8), 0.008516040377445296),
    (A3B, {"tp": 2, "dp": 4, "ep": 2, "moe_tp": 2, "moe_dp": 2}, "w8a8_dynamic", "none", decode(5000, 8),
     0.0068859852096212065),
    (A3B, {"tp": 4, "dp": 2, "moe_tp": 4, "moe_dp": 2}, "w8a8_dynamic", "none", decode(5000, 8), 0.08121315893664446),
    (A3B, {"dp": 4, "ep": 2, "moe_tp": 2}, "w8a8_dynamic", "none", decode(5000, 8), 0.029114809545813282),
    (A3B, {"tp": 2, "dp": 2, "ep": 4}, "w8a8_static", "none", prefill(100, 8, cached=4900), 0.03558666037062266),
    (A3B, {"tp": 2, "ep": 2}, "fp8", "none", prefill(1000, 4, cached=4000), 0.3351454827359394),
    ("meta-llama/Meta-Llama-3.1-8B", {"tp": 2}, "w4a8_static", "none", decode(5000, 4), 0.005242743245828235),
    ("meta-llama/Meta-Llama-3.1-8B", {"tp": 2}, "w8a16_static", "none", prefill(1000, 4), 0.19329946295757577),
    ("Qwen/Qwen3-32B", {"tp": 4}, "fp8", "fp8", decode(2000, 4), 0.012229007063347588),
    ("Qwen/Qwen3-32B", {"tp": 2, "dp": 2, "pp": 3}, "w8a8_dynamic", "none", prefill(100, 4, cached=1900),
     0.0387334587980043),
]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "layout", "mode", "attention", "group", "latency_s"),
    CASES,
    ids=[f"{case[0].split('/')[1]}, {case[1]}, {case[2]}, {case[3]}" for case in CASES],
)
def test_latency(
    model: str, layout: dict[str, Any], mode: str, attention: str, group: RequestGroup, latency_s: float
) -> None:
    forward = bind(model, ParallelLayout(**layout), all_of(mode, attention))
    assert forward.cost((group,)).latency_s == pytest.approx(latency_s, rel=1e-5)
