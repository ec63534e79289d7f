"""What the Method page reports: derivations that add up, operators that sum to the pass, a roofline that holds."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import pytest

from aggsim import service
from aggsim.forward.corrections import CORRECTIONS
from aggsim.forward.cost import ForwardCost
from aggsim.planning.evaluation import Evaluation
from aggsim.report import derivation, glossary, method_tables, method_words, roofline_chart
from aggsim.report.charts import operators_chart
from aggsim.report.format import duration, memory, number
from aggsim.report.method_tables import SUM, operator_table, roofline_points, roofs, si, without_flops
from aggsim.report.rungs import Rung
from aggsim.report.theme import DARK, LIGHT, Theme
from aggsim.scenario import PARAMETERS, LinearLaw, Scenario
from aggsim.units import gib, ms
from tests.factories import make_device

GOLDEN = Path(__file__).parent.parent / "golden"
WAVE = Scenario(engine="analytic")
SCENARIOS = {
    "wave": WAVE,
    "one wave": WAVE.replace(batch=4),
    "waves without rest": WAVE.replace(batch=40),
    "drafts": WAVE.replace(mtp=2, batch=32),
    "replicas": WAVE.replace(tp=2, batch=30),
    "stages": WAVE.replace(tp=4, pp=2, batch=16),
    "experts": WAVE.replace(model="deepseek-ai/DeepSeek-V3", devices=16, batch=32),
    "stepped": WAVE.replace(input=20_000, max_batched_tokens=8192, batch=16),
    "seed": WAVE.replace(rules="seed", batch=16),
    "no limits": WAVE.replace(batch=8, tpot=None),
    "one token": WAVE.replace(output=1, timing="stepped", batch=8),
    "law": Scenario(engine="linear", law=LinearLaw(fixed_s=0.01, per_token_s=1e-5, memory_gib=40.0), batch=8),
    "too large": WAVE.replace(model="meta-llama/Meta-Llama-3.1-70B", devices=1, device="L40S_48G", batch=1),
    "too large in steps": WAVE.replace(device="L40S_48G", devices=1, timing="stepped", batch=64, input=16_000),
}


@pytest.fixture(scope="module")
def answers() -> dict[str, Evaluation]:
    return {name: service.evaluate(scenario) for name, scenario in SCENARIOS.items()}


@pytest.fixture(scope="module")
def wave(answers: dict[str, Evaluation]) -> Evaluation:
    return answers["wave"]


@pytest.fixture
def decode(wave: Evaluation) -> ForwardCost:
    assert wave.decode is not None
    return wave.decode


def rungs_of(answer: Evaluation, followed: str) -> list[Rung]:
    return derivation.derivation(answer, followed, service.devices().get(answer.scenario.device))


def worth(formula: str) -> float:
    """What a formula comes to: milliseconds, GiB or tokens per second, by its own figures."""
    text = formula.partition("=")[2] if "=" in formula else formula
    factors = {
        "s": 1e3,
        "ms": 1.0,
        "µs": 1e-3,
        "TB/s": 1e12,
        "GB/s": 1e9,
        "MB": 1e6,
        "GB": 1e9,
        "kB": 1e3,
        "MiB": 1 / 1024,
    }
    text = text.replace(",", "")
    text = re.sub(r"([\d.]+)%", r"(\1/100)", text)
    units = "|".join(sorted(factors, key=len, reverse=True))
    text = re.sub(rf"([\d.]+) ({units})\b", lambda found: f"({found[1]}*{factors[found[2]]})", text)
    text = re.sub(r"[A-Za-z:][A-Za-z: ]*(?=[(\d])|[A-Za-z][A-Za-z ]*", "", text)
    text = text.replace("×", "*").replace("÷", "/").replace("−", "-").replace("+ 1) /", "+1)/")
    return float(eval(text, {"__builtins__": {}}))


@pytest.mark.parametrize("followed", derivation.FOLLOWED)
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_rung_leads_to_the_next(answers: dict[str, Evaluation], name: str, followed: str) -> None:
    rungs = rungs_of(answers[name], followed)
    assert rungs
    for rung in rungs:
        assert rung.name
        assert rung.value
        assert rung.formula
        assert rung.followed in rung.formula
        assert "nan" not in f"{rung.value} {rung.formula} {rung.words}"


@pytest.mark.parametrize(
    "name", ["wave", "one wave", "waves without rest", "replicas", "stages", "experts", "no limits"]
)
def test_a_wave_can_be_checked_by_hand(answers: dict[str, Evaluation], name: str) -> None:
    answer = answers[name]
    tpot, ttft, output = (rungs_of(answer, followed)[0] for followed in ("TPOT", "TTFT", "Output"))
    assert tpot.value == duration(answer.tpot_s)
    assert worth(tpot.formula) == pytest.approx(ms(answer.tpot_s), rel=1e-3)
    assert ttft.value == duration(answer.ttft_s)
    assert worth(ttft.formula) == pytest.approx(ms(answer.ttft_s), rel=1e-3)
    assert 1000 * worth(output.formula) == pytest.approx(answer.output_tokens_per_s, rel=1e-3)


def test_the_original_counts_ttft_twice_and_says_so(answers: dict[str, Evaluation]) -> None:
    rung = rungs_of(answers["seed"], "Output")[0]
    assert 1000 * worth(rung.formula) == pytest.approx(answers["seed"].output_tokens_per_s, rel=1e-3)
    assert "twice" in rung.words


def test_steps_can_be_checked_by_hand(answers: dict[str, Evaluation]) -> None:
    answer = answers["stepped"]
    tpot, whole, *_ = rungs_of(answer, "TPOT")
    assert worth(tpot.formula) == pytest.approx(ms(answer.tpot_s), rel=1e-3)
    seconds = [float(figure) * scale for figure, scale in _times(whole.formula)]
    assert sum(seconds) == pytest.approx(answer.run.timeline.end_s, rel=1e-3)
    steps = [int(found.replace(",", "")) for found in re.findall(r"([\d,]+) (?:prefill|mixed|decode)", whole.formula)]
    assert sum(steps) == answer.run.num_steps
    assert "3 prefill passes (8,192 + 8,192 + 3,616 tokens)" in rungs_of(answer, "TTFT")[0].words


def _times(formula: str) -> list[tuple[str, float]]:
    found = re.findall(r"([\d,.]+) (ms|s)\b", formula)
    return [(figure.replace(",", ""), 1e-3 if unit == "ms" else 1.0) for figure, unit in found]


@pytest.mark.parametrize("name", ["wave", "replicas", "stages", "experts", "stepped"])
def test_a_pass_is_its_operators_and_the_longest_its_calls(answers: dict[str, Evaluation], name: str) -> None:
    answer = answers[name]
    assert answer.decode is not None
    longest = method_tables.ranked(answer.decode)[0]
    whole, operator, call = rungs_of(answer, "TPOT")[-3:]
    assert sum(float(figure) * scale for figure, scale in _times(whole.formula)) == pytest.approx(
        answer.decode.latency_s, rel=1e-3
    )
    assert operator.name.lower() == longest.name.lower()
    assert worth(operator.formula) == pytest.approx(ms(longest.total_s), rel=1e-3)
    assert call.formula.endswith("launch")


def test_a_memory_bound_call_is_bytes_over_bandwidth(wave: Evaluation, decode: ForwardCost) -> None:
    call = rungs_of(wave, "TPOT")[-1]
    transfer, _, launch = call.formula.partition(" + ")
    longest = method_tables.ranked(decode)[0]
    expected = ms(longest.total_s / longest.calls)
    assert 1000 * worth(transfer) + worth(launch) == pytest.approx(expected, rel=1e-3)
    assert "memory bandwidth decides" in call.words


def test_a_compute_bound_call_names_its_peak() -> None:
    answer = service.evaluate(Scenario(engine="analytic", devices=1, batch=8))
    call = rungs_of(answer, "TTFT")[-1]
    assert "TFLOP/s + 3 µs launch" in call.formula
    assert "70% of the peak in INT8 or FP8, 1,979 TFLOP/s" in call.words


def test_drafts_share_a_pass(answers: dict[str, Evaluation]) -> None:
    rung = rungs_of(answers["drafts"], "TPOT")[1]
    assert rung.name == "One token"
    assert worth(rung.formula) == pytest.approx(ms(answers["drafts"].run.decode_latency_s), rel=1e-3)
    assert rung.formula.endswith("÷ 2.50 tokens")


@pytest.mark.parametrize("name", ["wave", "stepped", "too large", "law"])
def test_memory_left_is_what_the_parts_leave(answers: dict[str, Evaluation], name: str) -> None:
    answer = answers[name]
    rung = rungs_of(answer, "Memory left")[0]
    assert rung.value == memory(answer.run.memory_left_bytes)
    total, *parts = (float(part.split()[-2 if part.endswith("GiB") else -1]) for part in rung.formula.split(" − "))
    assert total - sum(parts) == pytest.approx(gib(answer.memory.available), rel=1e-3, abs=0.02)


def test_a_run_that_stopped_says_where(answers: dict[str, Evaluation]) -> None:
    for name in ("too large", "too large in steps"):
        for followed in ("TPOT", "TTFT", "Output"):
            rung = rungs_of(answers[name], followed)[0]
            assert rung.formula == "the run ends at the first pass that does not fit"
            assert "does not fit in memory" in rung.words
        assert "does not fit in memory" in derivation.headline(answers[name])


def test_the_headline_splits_tpot(wave: Evaluation, answers: dict[str, Evaluation]) -> None:
    wait, token = duration(wave.ttft_s / 1500), duration(wave.run.decode_latency_s)
    assert derivation.headline(wave) == (
        f"TPOT {duration(wave.tpot_s)} = {wait} of waiting for the first token + {token} of decode"
    )
    assert derivation.headline(answers["stepped"]).startswith(
        f"TPOT {duration(answers['stepped'].tpot_s)}: 1,500 tokens in"
    )


def test_the_operator_table_sums_to_the_pass(answers: dict[str, Evaluation]) -> None:
    for answer in answers.values():
        for cost in (answer.prefill, answer.decode):
            if cost is None:
                continue
            frame = operator_table(cost)
            whole, rows = frame.iloc[0], frame.iloc[1:]
            assert whole["operator"] == SUM
            assert whole["ms"] == pytest.approx(ms(cost.latency_s))
            assert whole["share"] == pytest.approx(1)
            assert rows["ms"].is_monotonic_decreasing
            assert len(rows) == len(cost.ops)
            for column in ("ms", "calls", "share", "matrix_tflop", "vector_tflop", "memory_gb", "exchanged_gb"):
                assert rows[column].sum() == pytest.approx(0 if math.isnan(whole[column]) else whole[column])


def test_intensity_and_rate_are_of_the_same_work(decode: ForwardCost) -> None:
    frame = roofline_points(decode)
    flops = frame["matrix_tflop"].fillna(0) + frame["vector_tflop"].fillna(0)
    assert (1000 * flops / frame["memory_gb"]).tolist() == pytest.approx(frame["flop_per_byte"].tolist())
    assert (1000 * flops / frame["ms"]).tolist() == pytest.approx(frame["tflop_per_s"].tolist())


def test_the_operator_table_survives_csv(decode: ForwardCost) -> None:
    frame = operator_table(decode)
    read = pd.read_csv(io.StringIO(frame.to_csv(index=False)))
    assert read["ms"].tolist() == frame["ms"].tolist()
    assert read["flop_per_byte"].isna().tolist() == frame["flop_per_byte"].isna().tolist()


def test_work_that_is_not_reported_stays_empty(answers: dict[str, Evaluation], decode: ForwardCost) -> None:
    law = answers["law"].decode
    assert law is not None
    assert not method_tables.reports_work(law)
    assert method_tables.reports_work(decode)
    assert operator_table(law)[["flop_per_byte", "tflop_per_s", "matrix_tflop", "memory_gb"]].isna().all().all()
    assert roofline_points(law).empty


@pytest.mark.parametrize("name", ["wave", "experts", "stepped", "stages"])
def test_no_operator_is_above_its_roof(answers: dict[str, Evaluation], name: str) -> None:
    answer = answers[name]
    device = service.devices()[answer.scenario.device]
    highest = next(roof for roof in roofs(device) if roof.is_reachable)
    for cost in (answer.prefill, answer.decode):
        assert cost is not None
        points = roofline_points(cost)
        assert (points["tflop_per_s"] <= points["flop_per_byte"] * highest.tb_per_s * (1 + 1e-9)).all()
        assert (points["tflop_per_s"] <= highest.tflop_per_s * 1.01).all()


def test_each_operator_is_on_the_roofline_or_beside_it(decode: ForwardCost) -> None:
    points, beside = roofline_points(decode), without_flops(decode, top=3)
    assert beside["operator"].iloc[-1].endswith("more")
    assert len(beside) == 4
    assert beside["ms"].sum() + points["ms"].sum() == pytest.approx(ms(decode.latency_s))
    assert {"attention all-reduce", "MLP all-reduce"} <= set(beside["operator"])
    assert beside.loc[beside["operator"] == "MLP all-reduce", "bound"].item() == "communication"
    assert roofline_chart.without_flops_title(beside).startswith(
        f"{number(round(beside['share'].sum() * 100))}% of the pass"
    )


def test_roofs_of_a_device() -> None:
    found = roofs(make_device(compute_efficiency=0.5, memory_efficiency=0.8))
    assert [(roof.formats, roof.is_reachable) for roof in found] == [
        ("FP8, INT8", False),
        ("FP8, INT8", True),
        ("BF16", False),
        ("BF16", True),
    ]
    assert [roof.tflop_per_s for roof in found] == [200, 100, 100, 50]
    assert [roof.ridge for roof in found] == pytest.approx([200, 125, 100, 62.5])


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
@pytest.mark.parametrize("name", ["wave", "experts", "stepped"])
def test_charts_are_valid_vega_lite_and_say_their_finding(
    answers: dict[str, Evaluation], name: str, theme: Theme
) -> None:
    device = service.devices()[answers[name].scenario.device]
    for cost in (answers[name].prefill, answers[name].decode):
        assert cost is not None
        points, beside = roofline_points(cost), without_flops(cost)
        title = roofline_chart.roofline_title("Pass", points, device)
        drawn = [
            roofline_chart.roofline_chart(points, roofs(device), theme, "Pass roofline", title),
            operators_chart(beside, theme, "Pass without FLOPs", roofline_chart.without_flops_title(beside)),
        ]
        for chart in drawn:
            spec = chart.to_dict(validate=True)
            alt.Chart.from_dict(spec)
            assert spec["title"]["text"] in spec["description"]
        assert str(points["operator"].iloc[0]) in title


def test_every_operator_is_a_dot_and_the_long_ones_have_names_that_keep_apart(decode: ForwardCost) -> None:
    device = service.devices()["H200_SXM_141G"]
    points = roofline_points(decode)
    spec: dict[str, Any] = roofline_chart.roofline_chart(points, roofs(device), LIGHT, "n", "t").to_dict()
    by_mark = {layer["mark"]["type"]: _rows(spec, layer) for layer in spec["layer"]}
    dots = [row for row in by_mark["point"] if "operator" in row]
    assert [(row["x"], row["y"]) for row in dots] == list(
        zip(points["flop_per_byte"], points["tflop_per_s"], strict=True)
    )
    texts = {row["text"] for row in by_mark["text"]}
    assert {"attention", "FP8, INT8 1,979", "BF16 989", "4.80 TB/s"} <= texts
    plot = roofline_chart._Plot.of(points, roofs(device))
    boxes = [plot.box(roofline_chart._Text(**row)) for row in by_mark["text"]]
    for i, one in enumerate(boxes):
        assert not any(roofline_chart._overlap(one, other) for other in boxes[i + 1 :])


def _rows(spec: dict[str, Any], layer: dict[str, Any]) -> list[dict[str, Any]]:
    data = layer["data"]
    rows: list[dict[str, Any]] = data["values"] if "values" in data else spec["datasets"][data["name"]]
    return rows


def test_every_bound_has_its_own_shape() -> None:
    assert len(set(roofline_chart.SHAPES.values())) == len(roofline_chart.SHAPES)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.354e9, "B", "1.35 GB"),
        (1.979e15, "FLOP/s", "1,979 TFLOP/s"),
        (4.8e12, "B/s", "4.80 TB/s"),
        (12.0, "B", "12 B"),
    ],
)
def test_amounts_have_decimal_prefixes(value: float, unit: str, text: str) -> None:
    assert si(value, unit) == text


def test_rules_say_which_of_them_made_the_answer(answers: dict[str, Evaluation]) -> None:
    def used(name: str) -> set[str]:
        return {rule.name for rule, is_used in method_words.rules(answers[name]) if is_used}

    assert {"Wave", "TPOT, incl. TTFT", "Operator"} <= used("wave")
    assert {"Stepped", "Scheduler", "TPOT, after first token"} <= used("stepped")
    assert used("wave") & {"Stepped", "Scheduler", "TPOT, after first token", "Rule set seed"} == set()
    assert "Rule set seed" in used("seed")
    assert "Operator" not in used("law")


def test_limits_that_concern_the_answer_come_first(answers: dict[str, Evaluation]) -> None:
    for answer in answers.values():
        concerned = [is_concerned for _, is_concerned in method_words.limits(answer)]
        assert concerned == sorted(concerned, reverse=True)
    named = {limit.name: is_concerned for limit, is_concerned in method_words.limits(answers["stages"])}
    assert named["Pipeline stages wait"]
    assert not named["Even experts"]
    w8a16 = service.evaluate(WAVE.replace(linear="w8a16_dynamic", batch=8))
    assert {limit.name: on for limit, on in method_words.limits(w8a16)}["W8A16 as W8A8"]
    missing = service.evaluate(WAVE.replace(device="ATLAS_800_A2_376T_64G", linear="fp8", batch=8))
    assert {limit.name: on for limit, on in method_words.limits(missing)}["Missing formats are free"]


def test_every_correction_is_offered_by_name() -> None:
    assert {note.name: note.words for note in method_words.corrections()} == CORRECTIONS


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("forward passes", ["forward_tensorcast"]),
        ("schedules", ["scheduling_seed", "scheduling_current"]),
        ("searches", ["search_tensorcast"]),
    ],
)
def test_recordings_are_as_many_as_the_page_says(name: str, files: list[str]) -> None:
    lines = sum(len((GOLDEN / f"{file}.jsonl").read_text().splitlines()) for file in files)
    assert f"{lines} {name}" in {golden.name for golden in method_words.GOLDENS}


def test_sources_name_engine_device_and_model(wave: Evaluation) -> None:
    model, device = service.models()[wave.scenario.model], service.devices()[wave.scenario.device]
    notes = {note.name: note.words for note in method_words.provenance(wave, model, device)}
    assert wave.engine.version in notes["Engine"]
    assert " ".join(device.source.split()) in notes["Device"]
    assert model.source in notes["Model"]
    assert "linear layers fp8" in notes["Number formats"]
    assert [note.name for note in method_words.provenance(wave, None, None)] == ["Engine", "Number formats"]


def test_the_glossary_is_in_order_and_one_sentence_a_term() -> None:
    names = [term.name for term in glossary.GLOSSARY]
    assert names == sorted(set(names), key=str.casefold)
    for term in glossary.GLOSSARY:
        assert term.meaning.endswith(".")
        assert ". " not in term.meaning


def test_the_glossary_explains_the_abbreviations_of_the_form() -> None:
    names = {term.name for term in glossary.GLOSSARY}
    short = {found[1] for parameter in PARAMETERS if (found := re.search(r"\(([A-Za-z-]+)\)$", parameter.label))}
    assert {"TP", "PP", "DP", "EP"} <= short <= names
    assert {"TTFT", "ITL", "MTP", "MoE", "KV cache", "Chunked prefill", "Goodput", "Roofline"} <= names


def test_the_glossary_finds_words_of_names_first() -> None:
    found = [term.name for term in glossary.find_terms("  PREFILL ")]
    assert found[:2] == ["Chunked prefill", "Prefill"]
    assert "Wave" in found
    assert glossary.find_terms("") == glossary.GLOSSARY
    assert glossary.find_terms("no such thing") == ()
    assert next(term.name for term in glossary.find_terms("expert parallel")) == "EP"
