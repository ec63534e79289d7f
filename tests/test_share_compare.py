"""A comparison in a link: it comes back as it was, and what is wrong with it is told by field."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggsim.scenario import LinearLaw, Scenario
from aggsim.share import decode
from aggsim.share_compare import (
    MAX_SCENARIOS,
    Comparison,
    DecodedComparison,
    decode_comparison_lenient,
    encode_comparison,
    encode_comparison_short,
)
from tests.factories import scenarios

PROPERTY = settings(max_examples=60, deadline=None, derandomize=True)
LAW = LinearLaw(fixed_s=0.0089, per_token_s=1e-6, memory_gib=20)


@st.composite
def comparisons(draw: st.DrawFn) -> Comparison:
    current = draw(scenarios())
    pins = draw(st.lists(st.one_of(scenarios(), st.just(current)), max_size=MAX_SCENARIOS))
    comparison = Comparison(current=current, pins=tuple(pins), is_current_hidden=bool(pins) and draw(st.booleans()))
    baseline = draw(st.sampled_from(comparison.shown))
    return Comparison(
        current=current, pins=comparison.pins, is_current_hidden=comparison.is_current_hidden, baseline=baseline
    )


@PROPERTY
@given(comparisons())
def test_a_link_gives_the_comparison_back(comparison: Comparison) -> None:
    for link in (encode_comparison(comparison), encode_comparison_short(comparison)):
        assert decode_comparison_lenient(link) == DecodedComparison(comparison=comparison)
        assert decode_comparison_lenient(parse_qs(link, keep_blank_values=True)).comparison == comparison
        assert link.isascii()
        assert " " not in link
    assert encode_comparison(decode_comparison_lenient(encode_comparison(comparison)).comparison) == encode_comparison(
        comparison
    )


@PROPERTY
@given(comparisons())
def test_the_current_scenario_is_in_it_for_every_other_page(comparison: Comparison) -> None:
    assert decode(encode_comparison(comparison)).scenario == comparison.current


def test_a_link_to_the_letter() -> None:
    """Changing this string breaks links that people hold."""
    pins = (Scenario(tp=4), Scenario(tp=2, ttft=900.5), Scenario(device="H100_SXM_80G", engine="linear", law=LAW))
    comparison = Comparison(current=Scenario(tp=4), pins=pins, is_current_hidden=True, baseline=pins[2])
    assert encode_comparison_short(comparison) == (
        "tp=4&pin1=current&pin2=tp:2;ttft:900.5&pin3=device:H100_SXM_80G;tp:auto;engine:linear;"
        "law:fixed_s:0.0089,per_token_s:1e-06,per_token_ctx_s:0,per_ctx_s:0,memory_gib:20,gib_per_ctx:0"
        "&current=hidden&baseline=3"
    )


def test_what_is_shown() -> None:
    a, b, c = (Scenario(tp=tp) for tp in (1, 2, 4))
    assert Comparison(current=a).shown == (a,)
    assert Comparison(current=c, pins=(a, b)).shown == (a, b, c)
    assert Comparison(current=a, pins=(a, b)).shown == (a, b)
    assert Comparison(current=c, pins=(a, b), is_current_hidden=True).shown == (a, b)
    assert Comparison(current=c, is_current_hidden=True).shown == (c,)
    full = Comparison(current=c, pins=tuple(Scenario(input=n) for n in range(1, 9)))
    assert len(full.pins) == len(full.shown) == MAX_SCENARIOS
    assert c not in full.shown
    assert Comparison(current=c, pins=(a, b), baseline=b).baseline_index == 1
    assert Comparison(current=c, pins=(a, b), baseline=Scenario(tp=8)).baseline_index == 0
    assert Comparison(current=c, pins=(a, a, b)).pins == (a, b)


def test_every_scenario_of_it_can_be_changed_at_once() -> None:
    comparison = Comparison(current=Scenario(tp=1), pins=(Scenario(tp=2), Scenario(tp=4)), baseline=Scenario(tp=1))
    changed = comparison.mapped(lambda scenario: scenario.replace(output=7))
    assert [s.output for s in changed.shown] == [7, 7, 7]
    assert changed.baseline_index == comparison.baseline_index == 2


@pytest.mark.parametrize(
    ("query", "fields", "pins"),
    [
        ("tp=4&pin1=tp:x;input:77", ["pin1.tp"], [Scenario(tp=4, input=77)]),
        ("pin1=tp:3;input:77", ["pin1.tp"], [Scenario(input=77)]),
        ("pin1=colour:red;input:77", ["pin1"], [Scenario(input=77)]),
        ("pin1=nonsense&pin2=tp:2", ["pin1"], [Scenario(), Scenario(tp=2)]),
        ("pin2=tp:2&baseline=3", ["baseline"], [Scenario(tp=2)]),
        ("pin2=tp:2&baseline=x", ["baseline"], [Scenario(tp=2)]),
        ("pin2=tp:2&baseline=0", ["baseline"], [Scenario(tp=2)]),
        ("pin2=tp:2&current=shown", ["current"], [Scenario(tp=2)]),
        ("devices=8.5&pin1=tp:2", ["devices"], [Scenario(tp=2)]),
        ("devices=8.5&pin1=tp:2;ep:x&baseline=9", ["devices", "pin1.ep", "baseline"], [Scenario(tp=2)]),
    ],
)
def test_what_is_wrong_is_told_and_the_rest_kept(query: str, fields: list[str], pins: list[Scenario]) -> None:
    decoded = decode_comparison_lenient(query)
    assert [error.field for error in decoded.errors] == fields
    assert list(decoded.comparison.pins) == pins


def test_a_seventh_pin_is_an_unknown_key() -> None:
    assert decode_comparison_lenient("pin7=tp:2").unknown_keys == ("pin7",)


@PROPERTY
@given(st.dictionaries(st.sampled_from(["pin1", "pin3", "current", "baseline", "tp", "v"]), st.text(max_size=30)))
def test_garbage_is_an_error_never_anything_else(query: dict[str, str]) -> None:
    decoded = decode_comparison_lenient(query)
    assert 1 <= len(decoded.comparison.shown) <= MAX_SCENARIOS
