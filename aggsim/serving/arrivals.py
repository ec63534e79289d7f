"""When requests arrive and how long they are. Everything is drawn from the seed: the same question, the same requests.

A deployment of dp replicas deals its requests round robin, so one replica gets every dp-th of them. Arrivals and
lengths are drawn from two streams, so that requests keep their lengths when only the rate changes.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import NamedTuple, TypeVar

import numpy as np

from aggsim.errors import InputError
from aggsim.forward.batch import IntArray
from aggsim.parameters_arrivals import MAX_ARRIVAL_S, MAX_TOKENS, LengthSpread, TraceRow, spell_number

__all__ = [
    "MAX_TRACE_CHARS",
    "MAX_TRACE_ROWS",
    "Lengths",
    "Traffic",
    "closed_traffic",
    "draw_lengths",
    "open_traffic",
    "parse_trace_csv",
    "trace_traffic",
    "write_trace",
]

MAX_TRACE_ROWS = 100_000
MAX_TRACE_CHARS = 10_000_000
LONGEST = 8
"""A lognormal length is cut at so many times the asked one."""
_AT_ONCE = 1024
Lengths = tuple[int, int]
"""(input tokens, output tokens) of one request."""
_Number = TypeVar("_Number", int, float)
_COLUMNS = ("arrival_s", "input", "output")


class Traffic(NamedTuple):
    """What one replica is asked. rows: requests in order of arrival, endless or not.

    users > 0: so many requests come at the start, and one more whenever one ends; arrival_s is not looked at.
    """

    rows: Iterator[TraceRow]
    users: int = 0


def closed_traffic(users: int, lengths: Iterator[Lengths]) -> Traffic:
    """So many users of this replica, each of whom sends the next request when the last one ends."""
    return Traffic((TraceRow(0.0, *pair) for pair in lengths), users)


def open_traffic(rate_per_s: float, cv: float, lengths: Iterator[Lengths], *, replicas: int, seed: int) -> Traffic:
    """Requests that come by themselves: rate_per_s to all replicas together, dealt round robin.

    cv = standard deviation ÷ mean of the time between two arrivals: 1 is a Poisson process, 0 a metronome, more
    comes in bursts (a gamma distribution).
    """
    times = _open_arrivals(rate_per_s, cv, replicas, seed)
    return Traffic(TraceRow(now, *pair) for now, pair in zip(times, lengths, strict=False))


def trace_traffic(rows: Sequence[TraceRow], *, replicas: int) -> Traffic:
    """What the first replica gets of a trace."""
    return Traffic(iter(rows[::replicas]))


def draw_lengths(spread: LengthSpread, input_tokens: int, output_tokens: int, seed: int) -> Iterator[Lengths]:
    """Endless: the lengths of one request after another."""
    if not spread.is_random:
        return repeat((input_tokens, output_tokens))
    rng = np.random.Generator(np.random.PCG64([seed, 1]))
    draw = {"uniform": _uniform, "lognormal": _lognormal}.get(spread.kind, _from_table)
    asked = np.array([input_tokens, output_tokens])
    batches = (draw(rng, spread, asked) for _ in repeat(None))
    return ((int(prompt), int(output)) for batch in batches for prompt, output in batch.tolist())


def _uniform(rng: np.random.Generator, spread: LengthSpread, asked: IntArray) -> IntArray:
    lowest = np.maximum(1, np.ceil(asked * (1 - spread.amount) - 1e-9).astype(np.int64))
    return rng.integers(lowest, asked, size=(_AT_ONCE, 2), endpoint=True)


def _lognormal(rng: np.random.Generator, spread: LengthSpread, asked: IntArray) -> IntArray:
    sigma2 = math.log1p(spread.amount**2)
    drawn = asked * np.exp(math.sqrt(sigma2) * rng.standard_normal((_AT_ONCE, 2)) - sigma2 / 2)
    longest = np.minimum(LONGEST * asked, MAX_TOKENS)
    return np.clip(np.rint(drawn), 1, longest).astype(np.int64)


def _from_table(rng: np.random.Generator, spread: LengthSpread, asked: IntArray) -> IntArray:  # noqa: ARG001
    weights = np.array([b.weight for b in spread.bins])
    ends = np.array([[b.input_tokens, b.output_tokens] for b in spread.bins])  # (bins, input or output, low or high)
    chosen = ends[rng.choice(len(weights), size=_AT_ONCE, p=weights / weights.sum())]
    return rng.integers(chosen[:, :, 0], chosen[:, :, 1], endpoint=True)


def _open_arrivals(rate_per_s: float, cv: float, replicas: int, seed: int) -> Iterator[float]:
    rng = np.random.Generator(np.random.PCG64([seed, 2]))
    now = 0.0
    while True:
        # Drawn at rate 1: other rates see the same pattern, faster or slower.
        unit = rng.gamma(1 / cv**2, cv**2, (_AT_ONCE, replicas)) if cv else np.ones((_AT_ONCE, replicas))
        for gap in (unit.sum(axis=1) / rate_per_s).tolist():
            now += gap
            yield now


def parse_trace_csv(text: str) -> tuple[TraceRow, ...]:
    """Requests of a CSV with a header line arrival_s,input,output (in any order, further columns are not looked at),
    in order of arrival. Raises InputError that names line and column."""
    if len(text) > MAX_TRACE_CHARS:
        raise InputError("trace", f"{len(text):,} characters", f"at most {MAX_TRACE_CHARS:,} characters")
    lines = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    rows: list[TraceRow] = []
    try:
        names = [cell.strip().lower() for cell in next(lines, [])]
        missing = [name for name in _COLUMNS if name not in names]
        if missing:
            raise InputError("trace", f"line 1 without a column {missing[0]}", f"a header line {','.join(_COLUMNS)}")
        places = [names.index(name) for name in _COLUMNS]
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            if len(rows) == MAX_TRACE_ROWS:
                raise InputError("trace", f"more than {MAX_TRACE_ROWS:,} requests", f"at most {MAX_TRACE_ROWS:,}")
            arrival, prompt, output = (cells[place] if place < len(cells) else "" for place in places)
            number = lines.line_num
            rows.append(
                TraceRow(
                    _cell(arrival, number, "arrival_s", float, 0, MAX_ARRIVAL_S),
                    _cell(prompt, number, "input", int, 1, MAX_TOKENS),
                    _cell(output, number, "output", int, 1, MAX_TOKENS),
                )
            )
    except csv.Error as error:
        raise InputError("trace", f"line {lines.line_num}: {error}", "a CSV file") from error
    if not rows:
        raise InputError("trace", "no requests", "one line for each request, after the header")
    return tuple(sorted(rows, key=lambda row: row.arrival_s))


def write_trace(rows: Sequence[TraceRow]) -> str:
    """The one CSV of these requests; parse_trace_csv reads it back."""
    body = (f"{spell_number(row.arrival_s)},{row.input_tokens},{row.output_tokens}" for row in rows)
    return "\n".join([",".join(_COLUMNS), *body]) + "\n"


def _cell(text: str, line: int, column: str, kind: Callable[[str], _Number], low: float, high: float) -> _Number:
    allowed = f"{'a whole number' if kind is int else 'seconds'} from {low} to {high:,.0f}"
    plain = text.strip()
    try:
        if len(plain) > 40 or "_" in plain or not plain.isascii():
            raise ValueError(plain)
        number = kind(plain)
    except ValueError:
        raise InputError("trace", f"line {line}, column {column}: {plain or 'nothing'}", allowed) from None
    if not low <= number <= high:
        raise InputError("trace", f"line {line}, column {column}: {plain or 'nothing'}", allowed)
    return number
