"""What a search asks: a Scenario, and the fields of it that take several values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aggsim.errors import InputError
from aggsim.scenario import PARAMETER, Scenario

__all__ = ["ALL", "AXES", "COUNTS", "LAYOUT_AXES", "MAX_VALUES", "OPEN", "WITHOUT_ALL", "SearchQuestion", "Value"]

Value = str | int

ALL = "all"
LAYOUT_AXES = ("tp", "pp", "dp", "ep", "moe_dp")
"""Cut the devices: what they allow depends on how many there are."""
AXES = ("device", "devices", *LAYOUT_AXES, "linear", "experts", "attention", "mtp")
"""Fields that may take several values, in the order they are varied, the last one fastest."""
COUNTS = ("devices", "pp")
"""Settle how many devices the other cuts have to share: where one varies, those become axes of one value."""
OPEN = ("tp", "ep", "moe_dp")
"""A search tries every value where these are auto."""
WITHOUT_ALL = ("devices", "dp")
"""Nothing says where to stop (devices), or it follows from the rest (dp)."""
MAX_VALUES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchQuestion:
    """Which devices, layouts and formats to try: tp, ep and moe_dp in every way where base leaves them auto, and the
    axes. Raises InputError for a value that is not allowed whatever the others are."""

    base: Scenario = field(default_factory=Scenario)
    """Everything that does not vary. A field that varies is at its default here, or at the first value of its axis."""
    axes: tuple[tuple[str, tuple[Value, ...]], ...] = ()
    """(key, values) in the order of AXES; the one value ALL stands for every sensible one (planning/layouts.py)."""

    def __post_init__(self) -> None:
        checked = {key: _checked(key, values) for key, values in self.axes}
        opened = {key: None for key, values in checked.items() if key in OPEN and values == (ALL,)}
        base = self.base.replace(**opened)
        given = {key: values for key, values in checked.items() if key not in opened}
        varied = {key for key, values in given.items() if len(values) > 1 or values == (ALL,)}
        if varied & set(COUNTS):
            # What does not divide one of the counts is no error: it is a layout that is rejected.
            fixed = {key: getattr(base, key) for key in LAYOUT_AXES if key not in given}
            given |= {key: (value,) for key, value in fixed.items() if value != PARAMETER[key].default}
            varied |= given.keys() & set(LAYOUT_AXES)
        defaults = {key for key in varied if key in LAYOUT_AXES or given[key] == (ALL,)}
        changes = {key: PARAMETER[key].default if key in defaults else values[0] for key, values in given.items()}
        object.__setattr__(self, "base", base.replace(**changes))
        object.__setattr__(self, "axes", tuple((key, given[key]) for key in AXES if key in varied))

    @classmethod
    def of(cls, base: Scenario | None = None, **axes: Value | Iterable[Value]) -> SearchQuestion:
        """E.g. of(scenario, tp="all", devices=[4, 8, 16]); a single value is a fixed field like any other."""
        listed = ((key, (v,) if isinstance(v, str | int) else tuple(v)) for key, v in axes.items())
        return cls(base=base or Scenario(), axes=tuple(listed))

    @property
    def varied(self) -> Mapping[str, tuple[Value, ...]]:
        """The axes as a mapping."""
        return dict(self.axes)


def _checked(key: str, values: tuple[Value, ...]) -> tuple[Value, ...]:
    """Each value once, in normal form and in the order given."""
    if key not in AXES:
        raise InputError(key, "several values", f"one value; several may have: {', '.join(AXES)}")
    parameter = PARAMETER[key]
    if values == (ALL,) and key not in WITHOUT_ALL:
        return values
    if not 0 < len(values) <= MAX_VALUES:
        raise InputError(key, f"{len(values)} values", f"1 to {MAX_VALUES} values, each {parameter.allowed}")
    checked: dict[Value, None] = {}
    for value in values:
        if value is None or value == ALL:
            raise parameter.error(value)
        checked[parameter.check(value)] = None
    return tuple(checked)
