"""The frozen part of a link: it comes back as it was, and damage anywhere is one InputError."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggsim.errors import InputError
from aggsim.share_frozen import (
    NUMBERS,
    VERDICTS,
    Frozen,
    FrozenAnswer,
    decode_frozen,
    encode_frozen,
    inputs_digest,
)

PROPERTY = settings(max_examples=60, deadline=None, derandomize=True)
ANSWER = FrozenAnswer(
    engine="silicon",
    version="0.12.0, vllm 0.19",
    model="f7b15097",
    device="185e67dd",
    verdict="tpot",
    numbers={"ttft_ms": 15_453.765317, "tpot_ms": math.inf, "concurrency": 746.0},
)
FROZEN = Frozen(aggsim="0.1.0", inputs="60f86941", answers=(ANSWER, None))
TEXT = encode_frozen(FROZEN)

texts = st.text(st.characters(exclude_categories=("C",)), min_size=1, max_size=20)
numbers = st.floats(allow_nan=False).map(lambda value: float(f"{value:.12g}"))
answers = st.builds(
    FrozenAnswer,
    engine=texts,
    version=texts,
    model=texts,
    device=texts,
    verdict=st.sampled_from(VERDICTS),
    numbers=st.dictionaries(st.sampled_from(NUMBERS), numbers),
)
frozen = st.builds(
    Frozen,
    aggsim=texts,
    inputs=st.text("0123456789abcdef", min_size=8, max_size=8),
    answers=st.lists(st.none() | answers, min_size=1, max_size=6).map(tuple),
)


@PROPERTY
@given(frozen)
def test_it_comes_back_as_it_was(frozen: Frozen) -> None:
    text = encode_frozen(frozen)
    assert decode_frozen(text) == frozen
    assert text.isascii()
    assert not set(text) & set(" &=#?+")


def test_to_the_letter() -> None:
    """Changing this breaks frozen links that people hold: raise the version instead, and keep reading this one."""
    assert TEXT == (
        "1,aggsim:0.1.0,inputs:60f86941,sum:2b8e667b;engine:silicon,version:0.12.0%2C%20vllm%200.19,model:f7b15097,"
        "device:185e67dd,verdict:tpot,ttft_ms:15453.765317,tpot_ms:inf,concurrency:746;none"
    )


def test_damage_anywhere_is_told() -> None:
    chance = random.Random(7)
    for place in range(len(TEXT)):
        other = chance.choice([c for c in "0a:,;x%" if c != TEXT[place]])
        for damaged in (TEXT[:place], TEXT[:place] + other + TEXT[place + 1 :], TEXT[:place] + TEXT[place + 1 :]):
            with pytest.raises(InputError, match=r"^frozen: "):
                decode_frozen(damaged)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        ";",
        "nonsense",
        "1,aggsim:1,inputs:2,sum:3;none",
        TEXT * 50,
        f"{TEXT};none",
        "\x00",
        "1,sum:;",
        "🧊" * 9,
    ],
)
def test_what_never_was_one(text: str) -> None:
    with pytest.raises(InputError) as caught:
        decode_frozen(text)
    assert caught.value.field == "frozen"
    assert len(str(caught.value)) < 300


def test_a_later_version_is_named() -> None:
    with pytest.raises(InputError, match='"version 2" is not possible; allowed: version 1'):
        decode_frozen(f"2{TEXT[1:]}")


def test_the_digest_of_the_inputs_sees_the_inputs_and_nothing_else() -> None:
    link = "v=1&tp=4&input=2000&pin1=tp:2"
    digest = inputs_digest(link)
    assert inputs_digest("pin1=tp:2&input=2000&tp=4&v=1&frozen=whatever&baseline=2&utm_source=mail") == digest
    for edited in ("v=1&tp=8&input=2000&pin1=tp:2", "v=1&tp=4&input=2000", "v=1&tp=4&input=2000&pin1=tp:2&ep=1"):
        assert inputs_digest(edited) != digest
