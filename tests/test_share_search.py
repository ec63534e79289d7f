"""A search in a link: what varies, what does not, and what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggsim.errors import InputError
from aggsim.scenario import Scenario
from aggsim.scenario_search import ALL, AXES, WITHOUT_ALL, SearchQuestion
from aggsim.share import encode
from aggsim.share_search import (
    decode_search,
    decode_search_lenient,
    encode_search,
    encode_search_short,
    question_json,
)
from tests.factories import scenarios, valid_values

VALUES: dict[str, Any] = {key: st.lists(valid_values(key), min_size=2, max_size=3, unique=True) for key in AXES}
VALUES["device"] = st.lists(st.sampled_from(["A", "B", "C"]), min_size=2, max_size=3, unique=True)
VALUES["mtp"] = st.lists(st.integers(0, 2), min_size=2, max_size=3, unique=True)


@st.composite
def questions(draw: st.DrawFn) -> SearchQuestion:
    keys = draw(st.lists(st.sampled_from(AXES), max_size=4, unique=True))
    axes = {}
    for key in keys:
        every = key not in WITHOUT_ALL and draw(st.booleans())
        axes[key] = ALL if every else draw(VALUES[key])
    base = draw(scenarios()).replace(model="m", device="D", mtp_rates=(0.5, 0.5), mtp=0)
    return SearchQuestion.of(base, **axes)


@given(questions())
def test_a_link_gives_the_question_back(question: SearchQuestion) -> None:
    assert decode_search(encode_search(question)).question == question
    assert decode_search(encode_search_short(question)).question == question
    assert encode_search(decode_search(encode_search(question)).question) == encode_search(question)


@given(scenarios())
def test_a_scenarios_own_link_is_a_search_over_what_it_leaves_open(scenario: Scenario) -> None:
    scenario = scenario.replace(device="D")  # a comma in a device's id would be a list
    assert decode_search(encode(scenario)).question == SearchQuestion(base=scenario)


def test_all_of_an_open_field_is_auto() -> None:
    assert SearchQuestion.of(Scenario(tp=4), tp=ALL) == SearchQuestion(base=Scenario())
    assert decode_search("tp=all&ep=all&pp=all").question.axes == (("pp", (ALL,)),)


def test_a_single_value_is_a_fixed_field() -> None:
    assert SearchQuestion.of(tp=[4], mtp=1) == SearchQuestion(base=Scenario(tp=4, mtp=1))


def test_several_numbers_of_devices_leave_every_cut_possible() -> None:
    question = decode_search("devices=4,6,16&tp=8").question
    assert question.varied == {"devices": (4, 6, 16), "tp": (8,)}
    assert question.base == Scenario(devices=4)
    assert SearchQuestion.of(Scenario(tp=8), devices=[4, 6, 16]) == question


def test_what_varies_is_a_list_in_json() -> None:
    values = question_json(SearchQuestion.of(tp=[1, 2], linear=ALL))
    assert (values["tp"], values["linear"], values["pp"]) == ([1, 2], "all", 1)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("tp=1,x", "tp"),
        ("tp=1,auto", "tp"),
        ("devices=all", "devices"),
        ("dp=all", "dp"),
        ("linear=fp8,fp9", "linear"),
        ("mtp=0,10", "mtp"),
        ("input=100,200", "input"),
        ("tp=" + ",".join(map(str, range(1, 100))), "tp"),
        ("tp=1,2&pp=3", "pp"),
    ],
)
def test_a_bad_value_names_its_field_and_the_rest_stays(query: str, field: str) -> None:
    decoded = decode_search_lenient(f"output=77&{query}")
    assert [error.field for error in decoded.errors] == [field]
    assert decoded.question.base.output == 77
    with pytest.raises(InputError) as caught:
        decode_search(query)
    assert caught.value.field == field


def test_only_some_fields_may_vary() -> None:
    with pytest.raises(InputError, match="several may have"):
        SearchQuestion.of(input=[100, 200])
    with pytest.raises(InputError):
        SearchQuestion.of(tp=[])
