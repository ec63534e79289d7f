"""Search over layouts: what is looked at, what is rejected and why, and the order of the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aggsim.devices.catalog import load_device
from aggsim.models.catalog import load_model
from aggsim.planning.batch_search import MAX_BATCH_SIZE, search_batch_sizes
from aggsim.planning.evaluate import evaluate
from aggsim.planning.evaluation import TriedBatch, Verdict
from aggsim.planning.layouts import powers_of_two_in, variants
from aggsim.planning.pareto import frontier
from aggsim.planning.resolve import resolve
from aggsim.planning.search import search
from aggsim.planning.search_result import SearchResult
from aggsim.report.search_words import candidate_words, rejected_layout, rejection_words, search_headline
from aggsim.scenario import LinearLaw, Scenario
from aggsim.scenario_search import SearchQuestion

DENSE, MOE = "Qwen/Qwen3-32B", "Qwen/Qwen3-30B-A3B"
BASE = Scenario(device="TEST_DEVICE", engine="analytic")


def searched(base: Scenario = BASE, **axes: Any) -> SearchResult:
    question = SearchQuestion.of(base, **axes)
    names = question.varied.get("device", (question.base.device,))
    devices = {str(name): load_device(str(name)) for name in names}
    return search(question, load_model(base.model), devices)


def tried(**variants_of: Any) -> list[tuple[Any, ...]]:
    base = variants_of.pop("base", BASE)
    found = variants(SearchQuestion.of(base, **variants_of), load_model(base.model), ("A", "B"))
    return [(v["tp"], v.get("ep"), v.get("moe_dp")) for v in found]


def test_powers_of_two() -> None:
    assert [powers_of_two_in(n) for n in (1, 6, 7, 8, 12)] == [[1], [1, 2], [1], [1, 2, 4, 8], [1, 2, 4]]


def test_open_layouts_are_all_tried() -> None:
    assert tried() == [(tp, None, None) for tp in (1, 2, 4, 8)]
    assert tried(base=BASE.replace(devices=6)) == [(1, None, None), (2, None, None)]
    assert tried(base=BASE.replace(dp=2)) == [(4, None, None)]
    moe = tried(base=BASE.replace(model=MOE, devices=4))
    assert moe == [(tp, ep, copies) for tp in (1, 2, 4) for ep in (1, 2, 4) for copies in (1, 2, 4) if ep * copies <= 4]
    assert tried(base=BASE.replace(model=MOE, devices=4, tp=2, moe_dp=1)) == [(2, 1, 1), (2, 2, 1), (2, 4, 1)]


def test_pp_and_formats_and_devices_multiply() -> None:
    question = SearchQuestion.of(BASE.replace(devices=2), pp="all", attention="all", device=["A", "B"], mtp=[0, 1])
    found = list(variants(question, load_model(DENSE), ()))
    cuts = 2 + 1  # tp 1 and 2 on one stage of two devices, tp 1 on two of one
    assert len(found) == cuts * 3 * 2 * 2
    assert len({tuple(v.items()) for v in found}) == len(found)
    assert {v["device"] for v in variants(SearchQuestion.of(BASE, device="all"), load_model(DENSE), ("X", "Y"))} == {
        "X",
        "Y",
    }


def test_every_candidate_is_what_its_own_scenario_evaluates_to() -> None:
    result = searched(BASE.replace(model=MOE, devices=4))
    assert result.candidates
    for candidate in result.candidates:
        deployment = resolve(candidate.scenario, load_model(MOE), load_device(BASE.device))
        evaluation = evaluate(deployment, deployment.bind())
        assert candidate.scenario.is_complete
        assert evaluation.scenario == candidate.scenario
        assert evaluation.verdict.ok
        assert candidate.best is not None
        assert evaluation.tpot_s == pytest.approx(candidate.best.tpot_s, rel=1e-12)
        assert evaluation.output_tokens_per_s == pytest.approx(candidate.output_tokens_per_s, rel=1e-12)


@pytest.mark.parametrize("scenario", [BASE.replace(tp=8), BASE.replace(tp=2, output=64, max_batched_tokens=1024)])
def test_one_layout_answers_as_plan_does(scenario: Scenario) -> None:
    deployment = resolve(scenario, load_model(DENSE), load_device(BASE.device))
    evaluation = evaluate(deployment, deployment.bind())
    (candidate,) = searched(scenario).candidates
    assert candidate.tried == evaluation.tried
    assert candidate.scenario == evaluation.scenario
    assert candidate.next_stop == evaluation.next_stop
    assert (candidate.num_chunks, candidate.warnings) == (evaluation.run.num_chunks, evaluation.warnings)


def test_a_fixed_batch_size_is_the_only_one() -> None:
    result = searched(BASE.replace(batch=7))
    assert {point.tried.batch_size for point in result.points()} == {7}
    assert result.evaluated == 4


def test_curves_have_further_points_that_do_not_decide() -> None:
    best = searched().candidates[0]
    sizes = [point.batch_size for point in best.points]
    assert sizes == sorted(set(sizes))
    assert {2, 3, 4, 6, 8} <= {point.batch_size for point in best.between}
    assert best.best in best.tried
    stepped = searched(BASE.replace(timing="stepped", output=16, tp=8)).candidates[0]
    assert stepped.between == ()


def test_what_is_impossible_is_rejected_with_its_reason() -> None:
    result = searched(tp=[3, 4, 8, 16], devices=[8, 16])
    reasons = {(r.asked["devices"], r.asked["tp"]): rejection_words(r) for r in result.rejected}
    assert set(reasons) == {(8, 3), (8, 16), (16, 3)}
    assert all(reason.startswith("tp: ") for reason in reasons.values())
    assert rejected_layout(result.rejected[0]) == "DEVICES=8 | TP=3 | PP=1"
    assert result.num_layouts == 8


def test_what_a_limit_stops_at_once_is_rejected_with_its_point() -> None:
    result = searched(BASE.replace(tpot=12, linear="none"))
    limits = {r.asked["tp"]: r.limit for r in result.rejected}
    assert limits[1] == "memory"
    assert "tpot" in limits.values()
    for rejected in result.rejected:
        assert rejected.candidate is not None
        assert [point.batch_size for point in rejected.candidate.points] == [1]
        assert not rejected.candidate.tried[0].verdict.ok
    words = [rejection_words(rejected) for rejected in result.rejected]
    assert words[0].startswith("Does not fit at batch 1: ")
    assert any(word.startswith("Too slow at batch 1: TPOT ") for word in words)


def test_nothing_feasible_says_so() -> None:
    result = searched(BASE.replace(tpot=0.1))
    assert result.best is None
    assert search_headline(result) == "None of 4 layouts meets the limits."
    assert frontier(result.points()) == ()


def test_formats_without_units_do_not_compete() -> None:
    result = searched(BASE.replace(device="A100_SXM_80G"), linear=["none", "fp8", "w8a8_dynamic"])
    assert {c.quantization.linear for c in result.candidates} == {"none", "w8a8_dynamic"}
    assert {r.reason for r in result.rejected if r.asked["linear"] == "fp8"} == {
        "linear fp8: A100_SXM_80G has no matrix units for FP8."
    }


def test_devices_compete_per_device_where_their_numbers_differ() -> None:
    one = searched(device=["H100_SXM_80G", "H200_SXM_141G"])
    assert not one.by_device
    rates = [c.output_tokens_per_s for c in one.candidates]
    assert rates == sorted(rates, reverse=True)
    several = searched(devices=[2, 8])
    assert several.by_device
    per_device = [c.output_tokens_per_s_per_device for c in several.candidates]
    assert per_device == sorted(per_device, reverse=True)
    assert {c.layout.num_devices for c in several.candidates} == {2, 8}
    assert candidate_words(several.candidates[0], several.question).startswith(
        f"{several.candidates[0].layout.num_devices} × TEST DEVICE · "
    )


def test_a_law_takes_any_layout() -> None:
    law = LinearLaw(fixed_s=0.01, per_ctx_s=1e-8, memory_gib=40)
    result = searched(Scenario(engine="linear", law=law, devices=4), linear=["none", "mxfp4"])
    assert len(result.candidates) == 6
    assert result.rejected == ()


def test_searching_changes_nothing_and_repeats_itself() -> None:
    question = SearchQuestion.of(BASE, attention="all")
    before = repr(question)
    model, devices = load_model(DENSE), {BASE.device: load_device(BASE.device)}
    one, two = (search(question, model, devices) for _ in range(2))
    assert one == two
    assert repr(one) == repr(replace(two, seconds=one.seconds))
    assert repr(question) == before


# --- batch sizes ---


def point(batch_size: int, *, ok: bool) -> TriedBatch:
    verdict = Verdict(ok=ok, limit=None if ok else "tpot", margin=None if ok else 0.1, step=None)
    return TriedBatch(
        batch_size=batch_size,
        concurrency=batch_size,
        ttft_s=1.0,
        tpot_s=1.0,
        output_tokens_per_s=float(batch_size),
        memory_left_bytes=1.0,
        verdict=verdict,
    )


@pytest.mark.parametrize("largest", [1, 2, 511, 512, 513, 1023, 5000, 99_999, MAX_BATCH_SIZE, 10 * MAX_BATCH_SIZE])
def test_what_is_announced_covers_what_is_looked_at(largest: int) -> None:
    announced: set[int] = set()
    calls = []

    def look(batch_size: int) -> TriedBatch:
        assert batch_size <= 512 or batch_size in announced
        return point(batch_size, ok=batch_size <= largest)

    def look_ahead(sizes: Any) -> None:
        announced.update(sizes)
        calls.append(len(sizes))

    found = search_batch_sizes(look, look_ahead)
    assert found == search_batch_sizes(look)
    assert max(p.batch_size for p in found if p.verdict.ok) == min(largest, MAX_BATCH_SIZE)
    assert len(found) <= 30
    assert len(calls) <= 5
    assert max(calls, default=0) <= 31
