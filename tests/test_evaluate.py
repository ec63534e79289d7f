"""From a Scenario to an answer: defaults filled in, batch size found, verdict and derived figures."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from aggsim import engines
from aggsim.devices.catalog import load_device
from aggsim.engines.analytic import AnalyticEngine
from aggsim.engines.linear import LinearEngine
from aggsim.errors import EngineError, InputError
from aggsim.models.catalog import load_model
from aggsim.planning.evaluate import evaluate
from aggsim.planning.evaluation import Evaluation
from aggsim.planning.resolve import Deployment, resolve
from aggsim.planning.verdict import Limits, judge
from aggsim.scenario import LinearLaw, Scenario
from aggsim.units import GIB

DENSE, MOE = "Qwen/Qwen3-32B", "Qwen/Qwen3-235B-A22B"
LAW = LinearLaw(fixed_s=0.01, per_token_s=1e-5, per_ctx_s=2e-8, memory_gib=40.0, gib_per_ctx=1e-5)


def resolved(**asked: Any) -> Deployment:
    scenario = Scenario(**asked)
    return resolve(scenario, load_model(scenario.model), load_device(scenario.device))


def answer(law: LinearLaw | None = LAW, **asked: Any) -> Evaluation:
    deployment = resolved(**({"engine": "linear", "law": law} if law else {}), **asked)
    return evaluate(deployment, deployment.bind())


# --- defaults ---


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"device": "TEST_DEVICE"}, {"tp": 8, "dp": 1, "ep": 1, "moe_dp": 1}),
        ({"device": "TEST_DEVICE", "devices": 16}, {"tp": 8, "dp": 2}),
        ({"device": "ATLAS_800_A3_752T_128G_DIE", "devices": 32}, {"tp": 16, "dp": 2}),
        ({"devices": 6}, {"tp": 2, "dp": 3}),
        ({"devices": 7}, {"tp": 1, "dp": 7}),
        ({"devices": 16, "pp": 4}, {"tp": 4, "dp": 1}),
        ({"devices": 8, "dp": 4}, {"tp": 2, "dp": 4}),
        ({"devices": 16, "tp": 2, "pp": 2}, {"tp": 2, "dp": 4}),
        ({"model": MOE, "devices": 16}, {"tp": 8, "dp": 2, "ep": 16, "moe_dp": 1}),
        ({"model": MOE, "devices": 16, "moe_dp": 2}, {"ep": 8, "moe_dp": 2}),
        ({"model": "mistralai/Mixtral-8x7B-v0.1", "devices": 16}, {"tp": 8, "dp": 2, "ep": 8, "moe_dp": 1}),
    ],
)
def test_layout_defaults(asked: dict[str, Any], expected: dict[str, int]) -> None:
    deployment = resolved(**asked)
    assert {key: getattr(deployment.scenario, key) for key in expected} == expected
    assert deployment.layout.num_devices == deployment.scenario.devices
    assert deployment.layout == deployment.scenario.layout()


@pytest.mark.parametrize(
    ("asked", "linear", "experts"),
    [
        ({"device": "TEST_DEVICE"}, "w8a8_dynamic", "w8a8_dynamic"),
        ({"device": "ATLAS_350_425T_112G"}, "w8a8_dynamic", "w8a8_dynamic"),
        ({"device": "H200_SXM_141G"}, "fp8", "fp8"),
        ({"device": "MI300X_192G"}, "fp8", "fp8"),
        ({"device": "A100_SXM_80G"}, "none", "none"),
        ({"device": "TEST_DEVICE", "model": "Qwen/Qwen3-32B-FP8"}, "fp8", "fp8"),
        ({"device": "H200_SXM_141G", "model": "openai/gpt-oss-120b"}, "none", "mxfp4"),
        ({"device": "H200_SXM_141G", "model": "openai/gpt-oss-120b", "linear": "fp8"}, "fp8", "fp8"),
        ({"linear": "w4a16", "experts": "none"}, "w4a16", "none"),
    ],
)
def test_quantization_defaults(asked: dict[str, Any], linear: str, experts: str) -> None:
    quantization = resolved(**asked).quantization
    assert (quantization.linear, quantization.experts, quantization.attention) == (linear, experts, "none")


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"device": "TEST_DEVICE", "devices": 4096}, "devices"),
        ({"devices": 6, "tp": 6}, "tp"),
        ({"devices": 65, "pp": 65}, "pp"),
        ({"model": MOE, "devices": 256, "ep": 256}, "ep"),
        ({"reserved_gib": 500}, "reserved_gib"),
    ],
)
def test_an_impossible_deployment_names_the_field(asked: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as caught:
        resolved(**asked)
    assert caught.value.field == field


def test_a_law_takes_any_layout_as_given() -> None:
    evaluation = answer(device="TEST_DEVICE", devices=4095, tp=7 * 9, mtp=3, reserved_gib=500)
    assert (evaluation.layout.tp, evaluation.layout.dp) == (63, 65)


def test_expert_fields_of_a_dense_model_are_ignored_aloud() -> None:
    deployment = resolved(ep=4, moe_dp=2)
    assert (deployment.layout.ep, deployment.layout.moe_dp) == (1, 1)
    assert deployment.notes == ("Qwen/Qwen3-32B has no experts: ep and moe_dp are ignored.",)


# --- engines ---


class Refusing(AnalyticEngine):
    """A better engine that happens not to know the combination."""

    def supports(self, *_: object) -> str | None:
        return "it has no tables for this device."


def test_auto_says_why_a_better_engine_did_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(engines.ENGINES, "better", lambda: Refusing(name="better"))
    monkeypatch.setattr(engines, "AUTO_ORDER", ("better", "analytic"))
    deployment = resolved()
    assert deployment.scenario.engine == "analytic"
    assert deployment.notes == ("engine analytic answered: better could not (it has no tables for this device)",)
    monkeypatch.setattr(engines, "AUTO_ORDER", ("analytic", "better"))
    assert resolved().notes == ()


def test_a_named_engine_that_cannot_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(engines.ENGINES, "analytic", lambda: Refusing())
    engines.load_engine.cache_clear()
    try:
        with pytest.raises(EngineError, match="no tables"):
            resolved(engine="analytic")
    finally:
        engines.load_engine.cache_clear()


def test_an_engine_that_does_not_exist() -> None:
    with pytest.raises(InputError, match="auto, analytic, "):
        engines.load_engine("oracle")


# --- verdict ---


def test_memory_comes_before_tpot_before_ttft() -> None:
    limits = Limits.of_ms(ttft=1000, tpot=50)
    late = {"ttft_s": 2.0, "tpot_s": 0.06, "limits": limits}
    assert judge(memory_left_bytes=-2 * GIB, **late).limit == "memory"
    assert judge(memory_left_bytes=-2 * GIB, **late).margin == -2.0
    assert judge(memory_left_bytes=0, **late).limit == "tpot"
    assert judge(memory_left_bytes=0, **late).margin == pytest.approx(0.2)
    assert judge(memory_left_bytes=0, **(late | {"tpot_s": 0.05})).limit == "ttft"
    assert judge(memory_left_bytes=0, **(late | {"tpot_s": 0.05})).margin == pytest.approx(1.0)
    assert judge(memory_left_bytes=0, ttft_s=1.0, tpot_s=0.05, limits=limits).ok
    assert judge(memory_left_bytes=0, ttft_s=9e9, tpot_s=9e9, limits=Limits()).ok


def test_the_step_that_broke_a_limit() -> None:
    slow = answer(batch=100, tpot=5)
    step = slow.run.timeline.steps[slow.verdict.step or 0]
    assert slow.verdict.limit == "tpot"
    assert step.decode_requests == 100

    late = answer(batch=100, ttft=400, tpot=None, max_batched_tokens=3500)
    assert late.verdict.limit == "ttft"
    assert late.verdict.step is not None
    step = late.run.timeline.steps[late.verdict.step]
    assert step.prefill_requests
    assert step.end_s > 0.4

    full = answer(batch=100, law=replace(LAW, memory_gib=1.0))
    assert full.verdict.limit == "memory"
    assert full.verdict.step == full.run.out_of_memory_step is not None


def test_a_mean_over_the_limit_blames_no_single_step() -> None:
    evaluation = answer(batch=100, output=10, tpot=100)
    assert (evaluation.verdict.limit, evaluation.verdict.step) == ("tpot", None)


# --- the search ---


def test_batch_given_is_the_only_one_tried() -> None:
    evaluation = answer(batch=7)
    assert [point.batch_size for point in evaluation.tried] == [7]
    assert evaluation.scenario.batch == evaluation.run.batch_size == 7
    assert evaluation.next_stop is None


def test_the_search_stops_right_below_the_limit() -> None:
    evaluation = answer()
    assert evaluation.verdict.ok
    assert evaluation.next_stop is not None
    assert evaluation.next_stop.batch_size == evaluation.run.batch_size + 1
    assert evaluation.next_stop.verdict.limit == "tpot"
    assert [p.batch_size for p in evaluation.tried] == sorted({p.batch_size for p in evaluation.tried})


def test_batch_1_is_reported_with_what_stops_it() -> None:
    evaluation = answer(tpot=1)
    assert [point.batch_size for point in evaluation.tried] == [1]
    assert (evaluation.run.batch_size, evaluation.verdict.ok, evaluation.verdict.limit) == (1, False, "tpot")
    assert evaluation.scenario.is_complete


def test_priced_one_by_one_the_search_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    together = answer(output=400, tpot=35)
    monkeypatch.setattr("aggsim.planning.resolve.BULK_ENGINES", ())
    alone = answer(output=400, tpot=35)
    assert alone.run == together.run
    assert [p.batch_size for p in alone.tried] == [p.batch_size for p in together.tried]
    for one, other in zip(alone.tried, together.tried, strict=True):
        assert one.ttft_s == pytest.approx(other.ttft_s, rel=1e-12)
        assert one.verdict.limit == other.verdict.limit


def test_the_token_budget_shrinks_where_memory_is_short() -> None:
    pipeline = {"devices": 4, "tp": 1, "pp": 4}  # batch 1 is a burst of 4 prompts, 0.035 GiB each
    for memory_gib, prompts in ((1.0, 4), (0.1, 2), (0.05, 1), (0.01, 1)):
        budget = answer(law=replace(LAW, memory_gib=memory_gib), **pipeline).scenario.max_batched_tokens
        assert budget == prompts * 3500


def test_stepped_answers_search_as_well() -> None:
    evaluation = answer(max_batched_tokens=1000, output=20, ttft=2000)
    assert evaluation.run.num_chunks == 4
    assert evaluation.scenario.timing == "stepped"
    assert evaluation.verdict.ok
    assert len(evaluation.tried) > 5


# --- derived figures ---


def test_wave_counts_ttft_in_tpot_and_shows_the_other() -> None:
    evaluation = answer(batch=8)
    run = evaluation.run
    assert evaluation.end_to_end_s == pytest.approx(run.ttft_s + 1500 * run.decode_latency_s)
    assert evaluation.tpot_s == pytest.approx(evaluation.end_to_end_s / 1500)
    assert evaluation.tpot_other_s == run.decode_latency_s < evaluation.tpot_s


def test_stepped_counts_from_the_first_token_and_shows_the_other() -> None:
    evaluation = answer(batch=1, max_batched_tokens=1000, output=50)
    assert evaluation.run.timing == "stepped"
    assert evaluation.end_to_end_s == pytest.approx(evaluation.run.finish_s)
    assert evaluation.tpot_other_s == pytest.approx(evaluation.run.finish_s / 50)


def test_rates_follow_from_tokens_per_s() -> None:
    evaluation = answer(batch=8, devices=8, tp=2, output=500)
    assert evaluation.concurrency == 32
    assert evaluation.requests_per_s * 500 == pytest.approx(evaluation.output_tokens_per_s)
    assert evaluation.output_tokens_per_s_per_device * 8 == pytest.approx(evaluation.output_tokens_per_s)


@pytest.mark.parametrize("mtp", [0, 2])
def test_memory_at_the_last_token_is_that_of_the_full_context(mtp: int) -> None:
    evaluation = answer(batch=8, mtp=mtp)
    context = 3500 + 1500 - 1 + (mtp + 1)
    assert evaluation.memory_left_at_last_token_bytes == pytest.approx((40 - 1e-5 * 8 * context) * GIB)
    assert evaluation.memory_left_at_last_token_bytes < evaluation.run.memory_left_bytes


def test_out_of_memory_is_infinite_not_wrong() -> None:
    evaluation = answer(law=replace(LAW, memory_gib=0.01))
    assert evaluation.run.batch_size == 1
    assert evaluation.ttft_s == evaluation.tpot_s == evaluation.tpot_other_s == evaluation.end_to_end_s == math.inf
    assert evaluation.output_tokens_per_s == evaluation.requests_per_s == 0
    assert evaluation.decode is None
    assert evaluation.memory.available < 0
    stepped = answer(law=replace(LAW, memory_gib=0.01), timing="stepped", output=1)
    assert (stepped.end_to_end_s, stepped.verdict.limit) == (math.inf, "memory")


def test_tight_memory_is_that_of_the_tightest_pass() -> None:
    evaluation = answer(batch=64)
    assert evaluation.memory.available == evaluation.run.memory_left_bytes


def test_warnings() -> None:
    assert not any("max_position_embeddings" in text for text in answer(law=None, batch=1).warnings)
    long = answer(law=None, batch=1, input=40_000, output=2_000)
    assert (
        "Input + output is 42,000 tokens; Qwen/Qwen3-32B was made for 40,960 (max_position_embeddings)."
        in long.warnings
    )
    drafted = answer(law=None, batch=1, mtp=1)
    assert "Qwen/Qwen3-32B has no MTP layer of its own; one like its last layer is assumed." in drafted.warnings
    assert not any("MTP" in text for text in answer(law=None, batch=1, mtp=1, model="deepseek-ai/DeepSeek-V3").warnings)
    labelled = answer(batch=1, input=40_000, output=2_000, mtp=1)
    assert not any("max_position_embeddings" in text for text in labelled.warnings)
    assert len(set(long.warnings)) == len(long.warnings)


def test_the_engine_that_answered_is_in_the_scenario() -> None:
    evaluation = answer(law=None, batch=4, device="TEST_DEVICE")
    assert evaluation.asked.engine == "auto"
    assert evaluation.scenario.engine == evaluation.engine.name == "analytic"
    assert evaluation.engine.version == AnalyticEngine().version
    assert evaluation.engine.source == "analytic"
    assert answer().engine.version == LinearEngine.version
