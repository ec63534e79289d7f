"""How a number is written on screen: one way everywhere.

Three significant digits, but the integer part is never rounded away (3,875); commas for thousands; milliseconds below
10 s, seconds from there on; a real minus sign; ∞ where the rules say so. Full precision belongs in hover and exports.
"""

from __future__ import annotations

import math

from aggsim.units import gib as to_gib
from aggsim.units import ms as to_ms

MISSING = "–"
"""Shown where there is no number."""
LONG_S = 10.0
"""From here on a duration is written in seconds."""


def number(value: float, digits: int = 3) -> str:
    """`digits` significant digits, more where the integer part has more; thousands separated by commas.

    Whole numbers have no decimals: a limit of 50.0 is 50, a result of 49.98 is 50.0.
    """
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    whole = value == int(value)
    decimals = 0 if whole else max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{abs(value):,.{decimals}f}"
    return f"−{text}" if value < 0 else text


def split_duration(seconds: float, digits: int = 3) -> tuple[str, str]:
    """Number and unit of a duration, for tiles that set the unit smaller; what is not finite has none."""
    if not math.isfinite(seconds):
        return number(seconds), ""
    if abs(seconds) < LONG_S:
        return number(to_ms(seconds), digits), "ms"
    return number(seconds, digits), "s"


def duration(seconds: float, digits: int = 3) -> str:
    """A duration with its unit; an infinite one is just ∞."""
    value, unit = split_duration(seconds, digits)
    return f"{value} {unit}".rstrip()


def compared(value_s: float, limit_s: float) -> tuple[str, str]:
    """A duration and its limit, the first with as many digits as it takes to differ (50.02 ms beside 50 ms)."""
    limit, limit_unit = split_duration(limit_s)
    for digits in range(3, 9):
        value, unit = split_duration(value_s, digits)
        if unit != limit_unit or value.rstrip("0").rstrip(".") != limit:
            break
    return duration(value_s, digits), duration(limit_s)


def memory(num_bytes: float) -> str:
    """Bytes as GiB."""
    return f"{number(to_gib(num_bytes))} GiB"


def percent(share: float) -> str:
    """A share in [0, 1] as whole percent; never 0% for something, never 100% for less than all."""
    if math.isnan(share) or math.isinf(share):
        return MISSING if math.isnan(share) else "∞%"
    if 0 < share < 0.005:
        return "<1%"
    if 0.995 <= share < 1:
        return ">99%"
    return f"{number(round(share * 100), 3)}%"


def full(value: float, unit: str = "") -> str:
    """Every digit a float has, for hover text."""
    text = "∞" if math.isinf(value) else f"{value:,.12g}"
    return f"{text} {unit}".rstrip()


def count(value: float, noun: str, plural: str = "") -> str:
    """A number with its noun in the right form: 1 step, 3 steps, 2 passes."""
    return f"{number(value)} {noun if value == 1 else plural or noun + 's'}"
