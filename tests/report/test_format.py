"""How numbers are written."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggsim.report.format import compared, count, duration, full, memory, number, percent
from aggsim.units import GIB


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (193, "193"),
        (3875.4, "3,875"),
        (1_000_000, "1,000,000"),
        (49.83, "49.8"),
        (49.98, "50.0"),
        (50.0, "50"),
        (0.021834, "0.0218"),
        (-3.2, "−3.20"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (math.nan, "–"),
    ],
)
def test_number(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value_s", "text"),
    [(0, "0 ms"), (0.04983, "49.8 ms"), (9.9994, "9,999 ms"), (10.04, "10.0 s"), (15.46, "15.5 s"), (math.inf, "∞")],
)
def test_duration_is_in_ms_below_ten_seconds(value_s: float, text: str) -> None:
    assert duration(value_s) == text


@pytest.mark.parametrize(
    ("value_s", "shown"), [(0.05002, "50.02 ms"), (0.0501, "50.1 ms"), (0.061, "61 ms"), (12.0, "12 s")]
)
def test_a_value_beside_its_limit_differs_from_it(value_s: float, shown: str) -> None:
    assert compared(value_s, 0.05) == (shown, "50 ms")


@given(st.floats(1e-6, 1e4), st.floats(1e-6, 1e4))
def test_compared_never_hides_a_difference_of_a_millionth(value_s: float, limit_s: float) -> None:
    value, limit = compared(value_s, limit_s)
    if abs(value_s / limit_s - 1) > 1e-6:
        assert value != limit


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0%"), (0.001, "<1%"), (0.864, "86%"), (0.999, ">99%"), (1, "100%"), (math.inf, "∞%")]
)
def test_percent_never_rounds_to_nothing_or_all(share: float, text: str) -> None:
    assert percent(share) == text


def test_units_and_nouns() -> None:
    assert memory(23.7 * GIB) == "23.7 GiB"
    assert count(1, "step") == "1 step"
    assert count(1502, "pass", "passes") == "1,502 passes"
    assert full(49.975123456, "ms") == "49.975123456 ms"
