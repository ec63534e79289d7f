"""Tables, words and charts of the Plan page, against the evaluation they are made from."""

from __future__ import annotations

import dataclasses
import io
import math

import altair as alt
import pandas as pd
import pytest

from aggsim import service
from aggsim.planning.evaluation import Evaluation
from aggsim.report import charts, tables, titles, words
from aggsim.report.theme import CONCEPTS, DARK, LIGHT, Theme, ink_on
from aggsim.report.tiles import tiles
from aggsim.scenario import Scenario
from aggsim.units import GIB, gib, ms

THEMES = [LIGHT, DARK]


@pytest.fixture(scope="module")
def answer() -> Evaluation:
    return service.evaluate(Scenario())


@pytest.fixture(scope="module")
def too_large() -> Evaluation:
    return service.evaluate(
        Scenario(model="meta-llama/Meta-Llama-3.1-70B", device="L40S_48G", devices=1, batch=1, linear="none")
    )


def test_the_time_split_is_whole(answer: Evaluation) -> None:
    frame = tables.time_split(answer)
    assert frame.groupby("pass")["share"].sum().tolist() == pytest.approx([1, 1])
    assert frame.groupby("pass", sort=False)["ms"].sum().tolist() == pytest.approx(
        [ms(cost.bound_s.total) for cost in (answer.prefill, answer.decode) if cost]
    )
    assert (frame["end"] - frame["start"]).tolist() == pytest.approx(frame["share"].tolist())


def test_memory_parts_fill_the_device(answer: Evaluation) -> None:
    frame = tables.memory_parts(answer)
    for _, moment in frame.groupby("when"):
        assert moment["gib"].sum() == pytest.approx(gib(answer.memory.total))
        assert moment["end"].max() == pytest.approx(gib(answer.memory.total))
    last = frame[(frame["when"] == tables.AT_THE_END) & (frame["part"] == "free")]
    assert last["gib"].item() == pytest.approx(gib(answer.memory_left_at_last_token_bytes))


def test_memory_that_is_missing_reaches_beyond_the_device(too_large: Evaluation) -> None:
    frame = tables.memory_parts(too_large)
    missing = frame[(frame["when"] == tables.PRICED) & (frame["part"] == "missing")].iloc[0]
    assert missing["gib"] == pytest.approx(-gib(too_large.memory.available))
    assert missing["start"] == pytest.approx(gib(too_large.memory.total))
    assert titles.memory_use(too_large).startswith("Does not fit")


def test_operators_are_ranked_and_complete(answer: Evaluation) -> None:
    assert answer.decode is not None
    frame = tables.operators(answer.decode, top=3)
    assert len(frame) == 4
    assert frame["ms"].iloc[:3].is_monotonic_decreasing
    assert frame["share"].sum() == pytest.approx(1)
    assert frame["ms"].sum() == pytest.approx(ms(sum(op.total_s for op in answer.decode.ops)))
    assert frame["calls"].sum() == sum(op.calls for op in answer.decode.ops)


def test_the_result_table_marks_the_answer_and_survives_csv(answer: Evaluation) -> None:
    frame = tables.result_table(answer)
    assert frame.loc[frame["chosen"], "batch_size"].tolist() == [answer.run.batch_size]
    assert frame["batch_size"].tolist() == [tried.batch_size for tried in answer.tried]
    read = pd.read_csv(io.StringIO(frame.to_csv(index=False)))
    assert read["token/s"].tolist() == frame["token/s"].tolist()
    assert read.loc[read["chosen"], "tpot"].item() == round(ms(answer.tpot_s), 3)


@pytest.mark.parametrize(
    "asked",
    [
        Scenario(engine="analytic", batch=16),
        Scenario(engine="analytic", arrival="open", rate=2, length_spread="lognormal:0.5", seeds=1),
    ],
)
def test_rates_in_the_table_are_those_of_the_tiles(asked: Scenario) -> None:
    found = service.evaluate(asked)
    (row,) = tables.result_table(found).query("chosen").to_dict("records")
    assert row["requests/s"] == pytest.approx(found.requests_per_s, rel=1e-6)
    assert row["prompt tokens/s"] == pytest.approx(found.prompt_tokens_per_s, rel=1e-6)
    assert row.get("asked requests/s") == asked.rate


def test_the_verdict_names_what_stops_the_next_batch(answer: Evaluation) -> None:
    sentence, more = words.verdict_words(answer)
    assert answer.next_stop is not None
    assert sentence == f"Fits and meets the limits at batch {answer.run.batch_size}."
    assert more.startswith(f"TPOT stops batch {answer.next_stop.batch_size}: 50.")
    assert more.endswith("> 50 ms.")


def test_the_verdict_says_what_is_missing(too_large: Evaluation) -> None:
    sentence, _ = words.verdict_words(too_large)
    assert sentence.startswith("Does not fit at batch 1: ")
    assert sentence.endswith("GiB short per device.")


@pytest.mark.parametrize(
    ("limits", "start"),
    [
        ({"tpot": 1.0}, "Too slow even at batch 1: TPOT "),
        ({"tpot": None, "ttft": 1.0, "batch": 4}, "Too slow at batch 4: TTFT "),
    ],
)
def test_the_verdict_says_which_limit_is_broken_and_by_how_much(limits: dict[str, float | None], start: str) -> None:
    sentence, more = words.verdict_words(service.evaluate(Scenario(**limits)))
    assert sentence.startswith(start)
    assert "> 1 ms" in sentence
    assert sentence.endswith("% over.")
    assert more


def test_the_scenario_in_words() -> None:
    scenario = Scenario(tp=4, attention="int8", prefix_hit=0.25, mtp=2, ttft=2000.0, batch=16)
    assert words.scenario_words(service.evaluate(scenario)) == (
        "Qwen3-32B · 8 × H200 SXM 141G · TP 4 DP 2 · FP8, KV INT8 · 3,500 → 1,500 tokens · 25% of the prompt cached · "
        "MTP 2 · batch 16 · TTFT ≤ 2,000 ms · TPOT ≤ 50 ms"
    )


def test_tiles_tell_the_other_definition_of_tpot(answer: Evaluation) -> None:
    tile = next(tile for tile in tiles(answer) if tile.label.startswith("TPOT"))
    assert tile.label == "TPOT incl. TTFT"
    assert "after first token" in tile.note
    assert tile.ok
    assert tile.share == pytest.approx(answer.tpot_s / 0.05)
    assert tile.exact.startswith(f"{ms(answer.tpot_s):.12g} ms")


def test_tiles_of_an_answer_without_end(too_large: Evaluation) -> None:
    values = {tile.label: tile for tile in tiles(too_large)}
    assert values["TTFT"].value == "∞"
    assert values["TPOT incl. TTFT"].note.startswith("✗ over 50 ms")
    assert values["Memory left"].value.startswith("−")
    assert not values["Memory left"].ok


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_charts_are_valid_vega_lite_and_say_their_finding(
    answer: Evaluation, too_large: Evaluation, theme: Theme
) -> None:
    for evaluation in (answer, too_large):
        capacity = gib(evaluation.memory.total)
        drawn = [
            charts.time_split_chart(tables.time_split(evaluation), theme, titles.time_split(evaluation)),
            charts.memory_chart(tables.memory_parts(evaluation), theme, titles.memory_use(evaluation), capacity),
            *(
                charts.operators_chart(tables.operators(cost), theme, name, titles.operators(name, cost))
                for name, cost in tables.passes(evaluation).items()
            ),
        ]
        for chart in drawn:
            spec = chart.to_dict(validate=True)
            alt.Chart.from_dict(spec)
            assert spec["title"]["text"] in spec["description"]


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_every_concept_has_its_own_readable_colour(theme: Theme) -> None:
    colours = theme.colours(CONCEPTS)
    assert len(set(colours)) == len(CONCEPTS)
    for concept in (*CONCEPTS, "mixed", "other", "bad"):
        colour = getattr(theme, concept)
        assert _contrast(theme.on(concept), colour) >= 4.5
        assert theme.on(concept) == ink_on(colour)
    for text in (theme.ink, theme.muted, theme.bad):
        assert _contrast(text, theme.surface) >= 4.5


def test_a_pass_that_never_ran_is_left_out(answer: Evaluation) -> None:
    prefill_only = dataclasses.replace(answer, decode=None)
    assert list(tables.passes(prefill_only)) == ["Prefill"]
    assert not tables.time_split(prefill_only)["pass"].str.startswith("Decode").any()
    assert titles.time_split(prefill_only).startswith("Prefill is ")


def test_nothing_is_rounded_twice() -> None:
    assert words.assumptions(service.evaluate(Scenario(reserved_gib=2.5, batch=8)))[-1].startswith("2.50 GiB")
    assert gib(GIB) == 1
    assert math.isclose(ms(1.0), 1000.0)


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    linear = []
    for i in (1, 3, 5):
        channel = int(colour[i : i + 2], 16) / 255
        linear.append(channel / 12.92 if channel <= 0.03928 else ((channel + 0.055) / 1.055) ** 2.4)
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
