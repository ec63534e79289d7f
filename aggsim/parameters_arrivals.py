"""How a link spells lengths that vary and short traces of requests. One spelling for each meaning.

length_spread   fixed | uniform:0.2 | lognormal:0.5 | table:200-800/50-150/0.7,2000/300/0.3
trace           none | 0/512/128,0.25/300/40 (arrival_s/input/output) | sha256:… (an uploaded one, by its content)
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

__all__ = [
    "MAX_SPELLED_CHARS",
    "SPREAD_WORDS",
    "TRACE_WORDS",
    "LengthBin",
    "LengthSpread",
    "TraceRow",
    "normal_spread",
    "normal_trace",
    "parse_spread",
    "parse_trace",
    "spell_number",
    "spell_trace",
    "trace_digest",
]

MAX_SPELLED_CHARS = 2048
MAX_BINS = 32
MAX_INLINE_ROWS = 64
MAX_TOKENS = 1_000_000
MAX_ARRIVAL_S = 1e9
MAX_LOGNORMAL_CV = 5.0

SPREAD_WORDS = (
    "fixed, uniform:x (lengths from 1−x to 1 times the asked ones, x from 0 to 1), lognormal:cv (the asked ones on "
    f"average, cv from 0 to {MAX_LOGNORMAL_CV:g}), or table: and up to {MAX_BINS} bins input/output/weight joined by "
    "commas, a length being a number of tokens or a range such as 200-800"
)
TRACE_WORDS = (
    f"up to {MAX_INLINE_ROWS} requests arrival_s/input/output joined by commas, or sha256: and the 64 digits "
    "that name an uploaded trace"
)
_NUMBER = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]{1,3})?")
_RANGE = re.compile(r"([0-9]{1,7})(?:-([0-9]{1,7}))?")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class TraceRow(NamedTuple):
    """One request of a trace."""

    arrival_s: float
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthBin:
    """Requests whose lengths are drawn evenly from two ranges, both ends included."""

    input_tokens: tuple[int, int]
    output_tokens: tuple[int, int]
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthSpread:
    """How lengths vary around those asked for; input and output independently, except in a table."""

    kind: str
    """fixed, uniform, lognormal or table."""
    amount: float = 0.0
    """uniform: the lengths go down to 1 − amount times the asked ones; lognormal: standard deviation ÷ mean."""
    bins: tuple[LengthBin, ...] = ()

    @property
    def is_random(self) -> bool:
        return self.kind != "fixed"

    def mean_tokens(self, input_tokens: int, output_tokens: int) -> tuple[float, float]:
        """Mean lengths where these are asked for. A lognormal one is a little below, for it is cut at its long end."""
        if self.kind == "table":
            total = sum(b.weight for b in self.bins)
            sums = [sum(b.weight * sum(ends) / 2 for b, ends in pairs) for pairs in self._ends()]
            return sums[0] / total, sums[1] / total
        if self.kind == "uniform":
            lowest = [max(1, math.ceil(n * (1 - self.amount) - 1e-9)) for n in (input_tokens, output_tokens)]
            return (lowest[0] + input_tokens) / 2, (lowest[1] + output_tokens) / 2
        return float(input_tokens), float(output_tokens)

    def _ends(self) -> tuple[list[tuple[LengthBin, tuple[int, int]]], list[tuple[LengthBin, tuple[int, int]]]]:
        return [(b, b.input_tokens) for b in self.bins], [(b, b.output_tokens) for b in self.bins]

    def spell(self) -> str:
        """Its one spelling; inverse of parse_spread()."""
        if self.kind == "table":
            cells = (
                f"{_spell_range(b.input_tokens)}/{_spell_range(b.output_tokens)}/{spell_number(b.weight)}"
                for b in self.bins
            )
            return "table:" + ",".join(cells)
        return self.kind if self.kind == "fixed" else f"{self.kind}:{spell_number(self.amount)}"


def parse_spread(text: str) -> LengthSpread | None:
    """What a text spells; None: nothing that is allowed (SPREAD_WORDS)."""
    kind, _, rest = text.partition(":")
    if text == "fixed":
        return LengthSpread(kind="fixed")
    if kind in ("uniform", "lognormal"):
        amount = _number(rest)
        limit = 1.0 if kind == "uniform" else MAX_LOGNORMAL_CV
        return LengthSpread(kind=kind, amount=amount) if amount is not None and amount <= limit else None
    cells = rest.split(",")
    if kind != "table" or len(cells) > MAX_BINS or len(text) > MAX_SPELLED_CHARS:
        return None
    bins = [_bin(cell) for cell in cells]
    known = tuple(found for found in bins if found is not None)
    return LengthSpread(kind="table", bins=known) if len(known) == len(bins) else None


def normal_spread(text: str) -> str | None:
    """The one spelling of what a text spells; a number alone is uniform. None: nothing that is allowed."""
    found = parse_spread(f"uniform:{text}" if _NUMBER.fullmatch(text) else text)
    return found.spell() if found else None


def normal_trace(text: str) -> str | None:
    """The one spelling of a trace, or None."""
    rows = parse_trace(text)
    return spell_trace(rows) if rows else (text if rows is not None and trace_digest(text) else None)


def parse_trace(text: str) -> tuple[TraceRow, ...] | None:
    """The requests that a text spells, in order of arrival; None: nothing that is allowed (TRACE_WORDS).

    Empty for the name of an uploaded trace (see trace_digest).
    """
    if _DIGEST.fullmatch(text):
        return ()
    cells = text.split(",")
    if len(cells) > MAX_INLINE_ROWS or len(text) > MAX_SPELLED_CHARS:
        return None
    rows = [_row(cell) for cell in cells]
    known = [row for row in rows if row is not None]
    return tuple(sorted(known, key=lambda row: row.arrival_s)) if len(known) == len(rows) else None


def spell_trace(rows: Sequence[TraceRow]) -> str:
    """The one spelling of an inline trace."""
    return ",".join(f"{spell_number(row.arrival_s)}/{row.input_tokens}/{row.output_tokens}" for row in rows)


def trace_digest(text: str) -> str | None:
    """The content hash by which a text names an uploaded trace, or None."""
    match = _DIGEST.fullmatch(text)
    return match[1] if match else None


def spell_number(number: float) -> str:
    """Shortest digits that read back as the same float: 50, 0.9, 1e-06, 1e22."""
    return repr(float(number)).removesuffix(".0").replace("e+", "e")


def _number(text: str) -> float | None:
    number = float(text) if len(text) <= 40 and _NUMBER.fullmatch(text) else math.inf
    return number if math.isfinite(number) else None


def _spell_range(ends: tuple[int, int]) -> str:
    return str(ends[0]) if ends[0] == ends[1] else f"{ends[0]}-{ends[1]}"


def _range(text: str) -> tuple[int, int] | None:
    match = _RANGE.fullmatch(text)
    if match is None:
        return None
    low = int(match[1])
    high = int(match[2]) if match[2] else low
    return (low, high) if 1 <= low <= high <= MAX_TOKENS else None


def _bin(cell: str) -> LengthBin | None:
    parts = cell.split("/")
    if len(parts) != 3:
        return None
    lengths, outputs, weight = _range(parts[0]), _range(parts[1]), _number(parts[2])
    if lengths is None or outputs is None or not weight or weight > 1e9:
        return None
    return LengthBin(input_tokens=lengths, output_tokens=outputs, weight=weight)


def _row(cell: str) -> TraceRow | None:
    parts = cell.split("/")
    if len(parts) != 3 or "-" in parts[1] + parts[2]:
        return None
    arrival_s, lengths, outputs = _number(parts[0]), _range(parts[1]), _range(parts[2])
    if arrival_s is None or arrival_s > MAX_ARRIVAL_S or lengths is None or outputs is None:
        return None
    return TraceRow(arrival_s, lengths[0], outputs[0])
