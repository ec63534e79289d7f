"""Comparison ↔ link: the link of the form's scenario, and beside it what each pinned one has different.

    v=1&model=…&tp=4&…&pin1=current&pin2=tp:8;ep:8&pin3=device:H100_SXM_80G&current=hidden&baseline=2

A pin is written as key:value pairs, joined by semicolons, of the fields in which it differs from the form's scenario;
in values % and ; are percent-encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote, urlencode

from aggsim.errors import InputError
from aggsim.scenario import PARAMETER, PARAMETERS, Scenario, shown
from aggsim.share import Query, decode_lenient, encode, encode_short, fields_of

__all__ = [
    "COMPARE_KEYS",
    "MAX_SCENARIOS",
    "PIN_KEYS",
    "Comparison",
    "DecodedComparison",
    "decode_comparison_lenient",
    "encode_comparison",
    "encode_comparison_short",
]

MAX_SCENARIOS = 6
PIN_KEYS = tuple(f"pin{n}" for n in range(1, MAX_SCENARIOS + 1))
CURRENT, BASELINE = "current", "baseline"
COMPARE_KEYS = (*PIN_KEYS, CURRENT, BASELINE)
HIDDEN = "hidden"
_SAFE = "/:,"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Scenarios side by side: the pinned ones in the order they were pinned, then the form's where it is not pinned."""

    current: Scenario
    pins: tuple[Scenario, ...] = ()
    """At most MAX_SCENARIOS; equal ones count once."""
    is_current_hidden: bool = False
    baseline: Scenario | None = None
    """One of `shown`; None, or one that is not shown: the first."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "pins", tuple(dict.fromkeys(self.pins))[:MAX_SCENARIOS])

    @property
    def shown(self) -> tuple[Scenario, ...]:
        """What is compared: 1 to MAX_SCENARIOS. A full set of pins leaves no room for the form's scenario."""
        fits = len(self.pins) < MAX_SCENARIOS and not (self.is_current_hidden and self.pins)
        return (*self.pins, self.current) if fits and self.current not in self.pins else self.pins

    @property
    def baseline_index(self) -> int:
        """Of the scenario in `shown` that the others are measured against."""
        return self.shown.index(self.baseline) if self.baseline in self.shown else 0

    def mapped(self, change: Callable[[Scenario], Scenario]) -> Comparison:
        """Every scenario changed, the baseline's too."""
        return replace(
            self,
            current=change(self.current),
            pins=tuple(change(pin) for pin in self.pins),
            baseline=change(self.shown[self.baseline_index]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedComparison:
    """What a link says; fields as in share.Decoded."""

    comparison: Comparison
    unknown_keys: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    errors: tuple[InputError, ...] = ()


def encode_comparison(comparison: Comparison) -> str:
    """The complete, versioned query; the same comparison always gives the same string."""
    return _spelled(comparison, encode)


def encode_comparison_short(comparison: Comparison) -> str:
    """As encode_comparison, the form's scenario without what is at its default: for the address bar."""
    return _spelled(comparison, encode_short)


def decode_comparison_lenient(query: Query) -> DecodedComparison:
    """Never raises: a bad field of the form's scenario takes its default, one of a pin the form's value."""
    try:
        given = fields_of(query)
    except InputError as error:
        return DecodedComparison(comparison=Comparison(current=Scenario()), errors=(error,))
    own = {key: given.pop(key)[-1].strip() for key in COMPARE_KEYS if key in given}
    decoded = decode_lenient(given)
    errors = list(decoded.errors)
    pins = [_pin(key, own[key], decoded.scenario, errors) for key in PIN_KEYS if own.get(key)]
    if own.get(CURRENT, HIDDEN) != HIDDEN:
        errors.append(InputError(CURRENT, shown(own[CURRENT]), f"{HIDDEN}, or no such key"))
    comparison = Comparison(
        current=decoded.scenario, pins=tuple(pins), is_current_hidden=own.get(CURRENT) == HIDDEN and bool(pins)
    )
    index = _baseline(own.get(BASELINE, "1"), comparison.shown, errors)
    return DecodedComparison(
        comparison=replace(comparison, baseline=comparison.shown[index]),
        unknown_keys=decoded.unknown_keys,
        notes=decoded.notes,
        errors=tuple(errors),
    )


def _spelled(comparison: Comparison, spell: Callable[[Scenario], str]) -> str:
    current = comparison.current
    pairs = [(key, _difference(pin, current)) for key, pin in zip(PIN_KEYS, comparison.pins, strict=False)]
    if comparison.is_current_hidden and comparison.pins:
        pairs.append((CURRENT, HIDDEN))
    if comparison.baseline_index:
        pairs.append((BASELINE, str(comparison.baseline_index + 1)))
    own = urlencode(pairs, quote_via=quote, safe=f"{_SAFE};")
    return "&".join(part for part in (spell(current), own) if part)


def _difference(pin: Scenario, base: Scenario) -> str:
    differing = (p for p in PARAMETERS if getattr(pin, p.key) != getattr(base, p.key))
    texts = (f"{p.key}:{quote(p.format(getattr(pin, p.key)), safe=_SAFE)}" for p in differing)
    return ";".join(texts) or CURRENT


def _pin(key: str, text: str, base: Scenario, errors: list[InputError]) -> Scenario:
    """base with the fields of this text; what is wrong with it is added to errors, its field as pin2.tp."""
    values = {p.key: p.format(getattr(base, p.key)) for p in PARAMETERS}
    for part in text.split(";") if text != CURRENT else ():
        name, colon, value = part.partition(":")
        if not colon or name not in PARAMETER:
            allowed = "fields of a scenario as key:value pairs joined by semicolons"
            errors.append(InputError(key, shown(part), allowed))
        else:
            values[name] = unquote(value)
    decoded = decode_lenient(values, base)
    errors += [InputError(f"{key}.{error.field}", error.value, error.allowed) for error in decoded.errors]
    return decoded.scenario


def _baseline(text: str, scenarios: Sequence[Scenario], errors: list[InputError]) -> int:
    """Index of the baseline; the first where the text names none."""
    if text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= len(scenarios):
        return int(text[:4]) - 1
    errors.append(InputError(BASELINE, shown(text), f"a whole number from 1 to {len(scenarios)}, the place in the row"))
    return 0
