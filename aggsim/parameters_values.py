"""Single values: what is a number, how one is spelled, how a bad one is shown."""

from __future__ import annotations

import math
import numbers

__all__ = ["finite", "shown", "spell"]


def shown(value: object) -> object:
    """A value fit for an error message: scalars as they are, a container or a giant by what it is."""
    if isinstance(value, str):
        return value if value.isprintable() else value.encode("unicode_escape", "backslashreplace").decode()
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "nothing"
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 10**40):
        return value
    return "a number beyond 10^40" if isinstance(value, int) else f"a {type(value).__name__}"


def finite(value: object) -> float | None:
    """A finite float without a negative zero; None for anything else (a bool is not a number)."""
    if isinstance(value, bool) or not isinstance(value, int | float | numbers.Real):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number + 0.0 if math.isfinite(number) else None


def spell(number: float) -> str:
    """Shortest digits that read back as the same float: 50, 0.9, 1e-06, 1e22."""
    return repr(number).removesuffix(".0").replace("e+", "e")
