"""Engines side by side: kinds of operators, differences that add up, causes, and what the reader is told."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest

from aggsim import service
from aggsim.cli import bench_engines, main
from aggsim.engines.silicon_ops import KERNELS
from aggsim.engines.silicon_tables import availability
from aggsim.errors import InputError
from aggsim.forward.cost import OpCost
from aggsim.forward.names import TENSOR_CAST_NAMES
from aggsim.planning.compare_engines import EngineComparison, differences, gap, large_gaps, memory_used, pass_of
from aggsim.planning.evaluation import Evaluation
from aggsim.planning.operator_kinds import (
    KIND_OF_KERNEL,
    KIND_OF_NAME,
    KINDS,
    kind_of,
    operators_by_kind,
    seconds_by_kind,
)
from aggsim.report import engines_tables as tables
from aggsim.report import engines_words as words
from aggsim.report.engines_charts import differences_chart
from aggsim.report.theme import LIGHT
from aggsim.scenario import LinearLaw, Scenario
from aggsim.service_engines import ask_engine, compare_engines, other_engines

needs_silicon = pytest.mark.skipif(availability() is not None, reason=availability() or "")

QUESTION = Scenario(engine="analytic", batch=16)
EXPERTS = Scenario(model="Qwen/Qwen3-235B-A22B", device="H100_SXM_80G", engine="analytic", batch=32)
LAW = LinearLaw(fixed_s=0.01, per_token_s=1e-5, per_ctx_s=2e-8, memory_gib=40.0, gib_per_ctx=1e-5)


@pytest.fixture(scope="module")
def base() -> Evaluation:
    return service.evaluate(QUESTION)


def with_ops(answer: Evaluation, phase: str, times: dict[str, float], **changes: Any) -> Evaluation:
    """An answer in which every operator of one pass takes so many times as long, by kind."""
    cost = getattr(answer, phase)
    ops = tuple(dataclasses.replace(op, total_s=op.total_s * times.get(kind_of(op), 1.0)) for op in cost.ops)
    changed = dataclasses.replace(cost, ops=ops, latency_s=sum(op.total_s for op in ops))
    return dataclasses.replace(answer, **{phase: changed}, **changes)


def op(name: str, kernel: str) -> OpCost:
    return OpCost(name=name, kernel=kernel, calls=1, total_s=1.0, bound="memory", source="analytic")


@pytest.mark.parametrize("kernel", [*TENSOR_CAST_NAMES, *KERNELS.values()])
def test_every_kernel_of_ours_and_of_the_tables_has_a_kind(kernel: str) -> None:
    assert kind_of(op("anything", kernel)) in KINDS
    assert kind_of(op("anything", kernel)) != "other"


@pytest.mark.parametrize(
    ("name", "kernel", "kind"),
    [
        ("vocabulary projection", "matmul", "embedding, logits"),
        ("logits gemm", "matmul", "embedding, logits"),
        ("router logits", "matmul", "matmul"),
        ("dispatch: all-to-all", "all_to_all", "communication"),
        ("combine: weight", "multiply", "routed experts"),
        ("router: norm", "rms_norm", "norm, elementwise"),
        ("router: normalise weights", "divide", "routed experts"),
        ("moe", "grouped_matmul", "routed experts"),
        ("shared experts down projection", "fp8_linear", "matmul"),
        ("decode attention", "sparse_attention", "attention"),
        ("step law", "", "other"),
    ],
)
def test_operators_go_where_another_engine_has_the_same_work(name: str, kernel: str, kind: str) -> None:
    assert kind_of(op(name, kernel)) == kind


def test_the_mapping_names_known_kinds_only() -> None:
    assert {*KIND_OF_KERNEL.values(), *(kind for _, kind in KIND_OF_NAME)} <= KINDS.keys()


@pytest.mark.parametrize("model", ["Qwen/Qwen3-30B-A3B", "deepseek-ai/DeepSeek-V3.2", "Qwen/Qwen3.5-27B",
                                   "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "google/gemma-4-26B-A4B"])  # fmt: skip
def test_no_operator_of_any_family_is_left_over(model: str) -> None:
    answer = service.evaluate(Scenario(model=model, devices=16, engine="analytic", batch=8))
    for phase in ("prefill", "decode"):
        cost = pass_of(answer, phase)
        assert cost is not None
        assert "other" not in operators_by_kind(cost)


def test_an_engine_agrees_with_itself(base: Evaluation) -> None:
    for phase in ("prefill", "decode"):
        assert all(entry.difference_s == 0 for entry in differences(base, base, phase))
    assert large_gaps(base, base) == ()
    assert gap(base, base, "memory").share == 0


def test_differences_add_up_to_the_passes_and_the_largest_is_first(base: Evaluation) -> None:
    other = with_ops(base, "decode", {"attention": 3.0, "matmul": 0.5})
    found = differences(base, other, "decode")
    assert base.decode is not None
    assert other.decode is not None
    assert sum(entry.difference_s for entry in found) == pytest.approx(other.decode.latency_s - base.decode.latency_s)
    assert [abs(entry.difference_s) for entry in found] == sorted((abs(e.difference_s) for e in found), reverse=True)
    assert {entry.kind for entry in found if entry.difference_s} == {"attention", "matmul"}
    back = {entry.kind: entry.difference_s for entry in differences(other, base, "decode")}
    assert back == {entry.kind: -entry.difference_s for entry in found}


def test_the_cause_moves_its_figure_in_the_direction_of_the_gap(base: Evaluation) -> None:
    slower = with_ops(base, "prefill", {"attention": 0.1, "communication": 1.5}, ttft_s=2 * base.ttft_s)
    found = gap(base, slower, "ttft")
    assert found.is_large
    assert found.share == pytest.approx(1.0)
    assert found.cause is not None
    assert (found.cause.what, found.cause.phase) == ("communication", "prefill")
    assert found.cause.difference > 0
    faster = with_ops(base, "decode", {"matmul": 0.2}, output_tokens_per_s=2 * base.output_tokens_per_s)
    cause = gap(base, faster, "throughput").cause
    assert cause is not None
    assert (cause.what, cause.phase) == ("matmul", "decode")
    assert cause.difference < 0


def test_the_cause_of_memory_is_a_part_of_it(base: Evaluation) -> None:
    heavier = dataclasses.replace(base.memory, weight=3 * base.memory.weight, kv_cache=0.5 * base.memory.kv_cache)
    found = gap(base, dataclasses.replace(base, memory=heavier), "memory")
    assert found.cause is not None
    assert (found.cause.what, found.cause.phase) == ("weights", None)
    assert found.cause.difference == pytest.approx(2 * base.memory.weight)


@pytest.mark.parametrize(("ratio", "large"), [(1.25, False), (1.251, True), (0.75, False), (0.749, True)])
def test_far_apart_begins_beyond_a_quarter(base: Evaluation, ratio: float, large: bool) -> None:
    other = dataclasses.replace(base, ttft_s=ratio * base.ttft_s)
    found = dataclasses.replace(gap(base, other, "ttft"), base=1.0, other=ratio)
    assert found.is_large is large


def test_what_only_one_engine_has_is_said_in_words(base: Evaluation) -> None:
    endless = dataclasses.replace(base, ttft_s=math.inf)
    found = gap(base, endless, "ttft")
    assert found.share is None
    assert found.is_large
    assert words.gap_words(base, endless, found) == f"TTFT: analytic says ∞, analytic {words.duration(base.ttft_s)}."
    assert not gap(endless, endless, "ttft").is_large


def test_engines_that_cannot_answer_are_listed_with_their_reason(base: Evaluation) -> None:
    linear = ask_engine("linear", base)
    assert linear.evaluation is None
    assert "needs a law" in linear.reason
    ascend = service.evaluate(QUESTION.replace(device="ATLAS_800_A2_280T_64G"))
    comparison = compare_engines(ascend, ["silicon", "analytic"])
    (silicon,) = comparison.unanswered
    assert silicon.engine == "silicon"
    assert "none of the systems" in silicon.reason
    assert words.left_out(comparison) == [f"silicon: {silicon.reason}."]
    assert words.headline(comparison) == "No other engine answers this scenario; analytic stands alone at batch 16."
    frame = tables.engine_frame(comparison)
    assert list(frame["engine"]) == ["analytic", "silicon"]
    assert math.isnan(frame["ttft_ms"][1])


def test_a_law_is_compared_at_the_same_batch_size_though_it_knows_no_operators() -> None:
    law = service.evaluate(Scenario(engine="linear", law=LAW, output=200))
    answer = ask_engine("analytic", law).evaluation
    assert answer is not None
    assert answer.scenario == law.scenario.replace(engine="analytic", law=None)
    assert answer.run.batch_size == law.run.batch_size
    (first, *_) = differences(law, answer, "decode")
    assert "other" in {entry.kind for entry in differences(law, answer, "decode")}
    assert first.difference_s != 0


def test_an_unknown_engine_is_refused(base: Evaluation) -> None:
    with pytest.raises(InputError, match="nobody"):
        compare_engines(base, ["nobody"])
    assert base.engine.name not in other_engines(base)


@needs_silicon
@pytest.mark.parametrize("scenario", [QUESTION, EXPERTS], ids=["dense", "experts"])
def test_measured_tables_beside_the_roofline(scenario: Scenario) -> None:
    base = service.evaluate(scenario)
    comparison = compare_engines(base, ["silicon"])
    (silicon,) = comparison.answered
    assert silicon.engine.name == "silicon"
    assert (silicon.run.batch_size, silicon.run.timing) == (base.run.batch_size, base.run.timing)
    assert silicon.run.max_batched_tokens == base.run.max_batched_tokens
    for phase in ("prefill", "decode"):
        frame = tables.difference_frame(base, silicon, phase)
        one, two = pass_of(base, phase), pass_of(silicon, phase)
        assert one is not None
        assert two is not None
        assert frame["base_ms"].sum() == pytest.approx(1e3 * one.latency_s)
        assert frame["other_ms"].sum() == pytest.approx(1e3 * two.latency_s)
        assert "other" not in set(frame["kind"])
        mapping = tables.mapping_frame(base, silicon, phase)
        assert set(mapping["kind"]) == set(frame["kind"])
        chart = differences_chart(frame, LIGHT, phase, words.differences_title(base, silicon, phase))
        assert chart.to_dict(validate=True)["description"].startswith("Engines compared: ")
    shares = tables.source_shares(silicon, "decode")
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["measured"] > 0.1
    assert len(words.agreement(comparison)) >= len(large_gaps(base, silicon))
    json.dumps(tables.comparison_json(comparison), allow_nan=False)


def test_the_headline_names_who_differs(base: Evaluation) -> None:
    far = dataclasses.replace(base, engine=dataclasses.replace(base.engine, name="far"), tpot_s=2 * base.tpot_s)
    near = dataclasses.replace(base, engine=dataclasses.replace(base.engine, name="near"))
    answers = [ask_engine("analytic", base)] * 2
    others = [dataclasses.replace(a, evaluation=e) for a, e in zip(answers, (far, near), strict=True)]
    both = EngineComparison(base=base, others=tuple(others))
    assert words.headline(both) == "far differs from analytic by more than 25% at batch 16."
    same = EngineComparison(base=base, others=(others[1],))
    assert words.headline(same) == "near agrees with analytic to within 25% at batch 16."
    assert words.agreement(same) == []
    assert tables.engine_rows(both)[1]["TPOT"][1] == "+100%"
    assert tables.engine_frame(both)["tpot_delta"][1] == pytest.approx(1.0)
    assert memory_used(base.memory) == base.memory.weight + base.memory.kv_cache + base.memory.activation


def test_the_title_tells_a_difference_from_differences_that_cancel(base: Evaluation) -> None:
    decode = base.decode
    assert decode is not None
    longer = with_ops(base, "decode", {"attention": 2.0})
    assert words.differences_title(base, longer, "decode").startswith("Decode: analytic is ")
    assert "longer, mostly attention; " in words.differences_title(base, longer, "decode")
    assert "shorter, mostly attention; " in words.differences_title(longer, base, "decode")
    spent = tables.difference_frame(base, base, "decode").set_index("kind")["base_ms"]
    level = with_ops(base, "decode", {"attention": 2.0, "matmul": 1 - 0.9 * spent["attention"] / spent["matmul"]})
    assert "since differences cancel; the largest is attention, +" in words.differences_title(base, level, "decode")
    assert words.differences_title(base, base, "decode").startswith("Decode: analytic is as long; ")
    assert words.differences_title(base, dataclasses.replace(base, decode=None), "decode").startswith("No decode")


def test_the_command_line_shows_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    query = "device=TEST_DEVICE&tp=8&batch=8&engine=analytic"
    assert main(["compare-engines", query]) == 0
    text = capsys.readouterr().out
    assert "analytic stands alone at batch 8" in text
    assert "linear: it needs a law" in text
    assert main(["compare-engines", query, "--engines", "silicon", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["engine"]["name"] == "analytic"
    assert [entry["engine"] for entry in found["unanswered"]] == ["silicon"]
    assert main(["compare-engines", query, "--engines", "nobody"]) == 2


def test_the_bench_of_engines_measures_what_it_says() -> None:
    lines = {line.name: line for line in bench_engines._speed("analytic")}
    assert [name.partition(": ")[2] for name in lines] == [
        "first bind",
        "another layout",
        "a new shape",
        "batch search",
    ]
    assert all(line.value > 0 for line in lines.values())
    assert list(bench_engines._speed("linear")) == []


@needs_silicon
def test_the_bench_of_ratios_is_analytic_over_silicon() -> None:
    model, device = "Qwen/Qwen3-32B", "H200_SXM_141G"
    lines = {line.name.partition(": ")[2]: line.value for line in bench_engines._ratios(model, device)}
    decode = bench_engines.DECODE
    ours, measured = (
        bench_engines._deployment(name, model, device).bind().cost(decode) for name in ("analytic", "silicon")
    )
    assert lines["whole pass"] == pytest.approx(ours.latency_s / measured.latency_s)
    one, two = seconds_by_kind(ours), seconds_by_kind(measured)
    assert lines["attention"] == pytest.approx(one["attention"] / two["attention"])
    assert set(lines) == {"whole pass", *two}
