"""Shares of measured time, by hand and as laws; the words and the chart that tell them."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggsim import service
from aggsim.engines.silicon_tables import availability
from aggsim.forward.cost import Bound, BoundTimes, ForwardCost, MemoryUse, OpCost, Source
from aggsim.planning.evaluation import Evaluation
from aggsim.report import charts, tables, titles
from aggsim.report.method_tables import operator_table, without_flops
from aggsim.report.provenance import MARKS, SEVERAL, SOURCE_HELP, SOURCES, evidence, shares, source_shades, source_words
from aggsim.report.theme import CONCEPTS, DARK, LIGHT, Theme
from aggsim.report.tiles import tiles
from aggsim.scenario import LinearLaw, Scenario

MEMORY = MemoryUse(weight=1.0, kv_cache=1.0, activation=1.0, reserved=1.0, available=1.0, total=5.0)


def op(name: str, seconds: float, source: Source, bound: Bound = "memory") -> OpCost:
    return OpCost(name=name, calls=1, total_s=seconds, bound=bound, source=source)


def cost(*ops: OpCost, source: Source = "measured") -> ForwardCost:
    total = sum(each.total_s for each in ops)
    return ForwardCost(latency_s=total, memory=MEMORY, bound_s=BoundTimes(memory=total), ops=ops, source=source)


MIXED = cost(op("a", 82.0, "measured"), op("b", 15.0, "interpolated"), op("c", 2.0, "analytic"), op("d", 1, "analytic"))


@pytest.fixture(scope="module")
def answer() -> Evaluation:
    return service.evaluate(Scenario(engine="analytic", batch=16))


def test_shares_by_hand() -> None:
    assert shares(MIXED) == pytest.approx({"measured": 0.82, "interpolated": 0.15, "computed": 0.03})
    assert source_words("decode", MIXED) == "82% of decode time is measured, 15% interpolated, 3% computed"


def test_one_source_is_all_of_it() -> None:
    assert source_words("prefill", cost(op("a", 1.0, "fitted"), source="fitted")) == "All prefill time is fitted"


@pytest.mark.parametrize("ops", [(), (op("a", 0.0, "measured"),)], ids=["no operators", "no time"])
def test_a_pass_without_operator_time_is_of_its_own_source(ops: tuple[OpCost, ...]) -> None:
    assert shares(cost(*ops, source="interpolated")) == {"interpolated": 1.0}


@given(st.lists(st.tuples(st.floats(0, 1e3), st.sampled_from(list(SOURCES))), max_size=30))
def test_shares_are_whole_and_best_first(drawn: list[tuple[float, Source]]) -> None:
    found = shares(cost(*(op(str(i), seconds, source) for i, (seconds, source) in enumerate(drawn))))
    assert sum(found.values()) == pytest.approx(1)
    assert all(share > 0 for share in found.values())
    assert list(found) == [word for word in SOURCES.values() if word in found]


def test_a_tiny_share_is_never_nothing() -> None:
    words = source_words("decode", cost(op("a", 1.0, "measured"), op("b", 1e-9, "analytic")))
    assert words == ">99% of decode time is measured, <1% computed"


def test_every_source_has_a_word_a_shape_a_meaning_and_two_shades() -> None:
    assert set(MARKS) == set(SOURCE_HELP) == set(SOURCES.values())
    assert len(set(MARKS.values())) == len(MARKS)
    for theme in (LIGHT, DARK):
        found = source_shades(theme)
        assert list(found) == [*SOURCES.values(), SEVERAL]
        assert len(set(found.values())) == len(found)
        # a source is never mistaken for a concept
        assert not {found[word] for word in SOURCES.values()} & set(theme.colours(CONCEPTS))


def test_evidence_of_an_answer(answer: Evaluation) -> None:
    told = evidence(answer)
    assert told.engine == f"analytic {answer.engine.version}"
    assert (told.chosen, told.fallback, told.is_warning) == ("", "", False)
    assert told.shares == ("All decode time is computed", "All prefill time is computed", "Memory is computed")


def test_evidence_of_a_law() -> None:
    law = LinearLaw(fixed_s=0.008, per_token_s=5e-6, memory_gib=20.0, gib_per_ctx=1e-5)
    told = evidence(service.evaluate(Scenario(engine="linear", law=law, batch=16)))
    assert told.shares == ("All decode time is fitted", "All prefill time is fitted", "Memory is by the law")


@pytest.mark.skipif(availability() is not None, reason=availability() or "")
def test_evidence_of_measured_tables_names_a_short_version_and_keeps_the_full_one() -> None:
    told = evidence(service.evaluate(Scenario(device="H100_SXM_80G", batch=16)))
    assert told.engine.startswith("silicon 0.")
    assert "," not in told.engine
    assert "vllm" in told.version
    assert "of decode time is measured" in told.shares[0]


def test_every_tile_of_a_computed_number_has_its_source(answer: Evaluation) -> None:
    sources = {tile.label.partition(" ")[0]: tile.source for tile in tiles(answer)}
    assert sources["TTFT"] == f"Engine analytic {answer.engine.version}. All prefill time is computed."
    assert "All decode time is computed. All prefill time is computed." in sources["TPOT"]
    assert sources["Memory"].endswith("Memory is computed.")
    assert sources["Concurrency"] == ""
    assert all(source for label, source in sources.items() if label != "Concurrency")


def test_tables_have_the_words_of_the_screen(answer: Evaluation) -> None:
    frame = tables.operators(MIXED, top=2)
    assert frame["source"].tolist() == ["measured", "interpolated", "computed"]
    assert tables.operators(MIXED, top=1)["source"].tolist() == ["measured", SEVERAL]
    assert operator_table(MIXED)["source"].tolist() == [SEVERAL, "measured", "interpolated", "computed", "computed"]
    assert without_flops(MIXED, top=1)["source"].tolist() == ["measured", SEVERAL]
    assert answer.decode is not None
    assert set(operator_table(answer.decode)["source"]) == {"computed"}


def test_titles_say_the_shares() -> None:
    assert titles.operators("Decode", MIXED, "source") == (
        "Decode: a takes 82%; 100 s per pass: 82% measured, 15% interpolated, 3% computed"
    )
    assert titles.operators("Decode", MIXED).endswith("coloured by what bounds each operator")


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
@pytest.mark.parametrize("by", ["bound", "source"])
def test_the_chart_tells_by_colour_and_by_shape(theme: Theme, by: charts.ColourBy) -> None:
    frame = tables.operators(dataclasses.replace(MIXED, ops=(*MIXED.ops, op("e", 3.0, "fitted", "mma"))))
    spec = charts.operators_chart(frame, theme, "Decode operators", "title", by).to_dict(validate=True)
    bars, marks, _ = spec["layer"]
    colour, shape = bars["encoding"]["color"], marks["encoding"]["shape"]
    assert colour["field"] == shape["field"] == by
    assert colour["scale"]["domain"] == shape["scale"]["domain"]
    assert len(set(shape["scale"]["range"])) == len(shape["scale"]["range"]) == len(shape["scale"]["domain"])
    present = {"source": ["measured", "interpolated", "computed", "fitted"], "bound": ["memory", "matrix"]}[by]
    assert colour["legend"]["values"] == shape["legend"]["values"] == present
