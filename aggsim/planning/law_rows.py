"""Somebody's own measurements of single passes, read from CSV: good rows and, named, the bad ones."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from aggsim.errors import InputError
from aggsim.forward.batch import Batches
from aggsim.parameters import Kind, Parameter
from aggsim.units import seconds

__all__ = ["COLUMNS", "Measured", "Measurements", "read_measurements"]

MAX_ROWS = 100_000
MAX_CHARS = 10_000_000
DELIMITERS = (",", ";", "\t")


def _column(key: str, kind: Kind, unit: str = "", **rest: object) -> Parameter:
    return Parameter(key=key, kind=kind, group="Advanced", label=key, help="", default=None, unit=unit, **rest)  # type: ignore[arg-type]


COLUMNS = {
    column.key: column
    for column in (
        _column("phase", "choice", choices=("prefill", "decode")),
        _column("requests", "whole", "requests of one replica in the pass", minimum=1, maximum=1_000_000),
        _column("query_len", "whole", "new tokens of each request", minimum=1, maximum=10_000_000),
        _column("seq_len", "whole", "tokens of context of each request, the new ones included", minimum=1,
                maximum=10_000_000),
        _column("latency_ms", "number", "ms of the pass", maximum=1e9, above_minimum=True),
    )
}  # fmt: skip
"""The columns of the file; others are not looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One pass that somebody timed: `requests` equal requests of one replica."""

    line: int
    """Of the file, from 1."""
    phase: str
    requests: int
    query_len: int
    seq_len: int
    latency_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """A file of measurements."""

    rows: tuple[Measured, ...]
    problems: tuple[InputError, ...]
    """One for each row that is left out: line and column, value, what is allowed."""

    def batches(self) -> Batches:
        """The passes, one replica's."""
        rows = self.rows
        return Batches.uniform(
            [row.requests for row in rows],
            [row.query_len for row in rows],
            [row.seq_len for row in rows],
            is_decode=[row.phase == "decode" for row in rows],
        )


def read_measurements(text: str) -> Measurements:
    """Rows of CSV with a header that names COLUMNS, in any order, separated by comma, semicolon or tab.

    Raises InputError where there is nothing to read as a whole: no header, too long.
    """
    if len(text) > MAX_CHARS:
        raise InputError("file", f"{len(text):,} characters", f"at most {MAX_CHARS:,} characters")
    text = text.removeprefix("\ufeff")
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(DELIMITERS, key=first.count)
    rows: list[Measured] = []
    problems: list[InputError] = []
    places: dict[str, int] | None = None
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        if not line.strip():
            continue
        if len(rows) == MAX_ROWS:
            raise InputError("file", f"more than {MAX_ROWS:,} rows", f"at most {MAX_ROWS:,} rows")
        try:
            cells = _cells(number, line, delimiter)
        except InputError as error:
            problems.append(error)
            continue
        if places is None:
            places = _places(cells)
            continue
        try:
            rows.append(_row(number, cells, places))
        except InputError as error:
            problems.append(error)
    if places is None:
        _places([])
    return Measurements(rows=tuple(rows), problems=tuple(problems))


def _cells(number: int, line: str, delimiter: str) -> list[str]:
    """Every line is a row: an open quote spoils one, not the rest of the file."""
    try:
        (cells,) = csv.reader([line.rstrip("\n")], delimiter=delimiter, strict=True)
    except csv.Error as error:
        raise InputError(f"line {number}", line.strip(), f"a row of CSV ({error})") from None
    return [cell.strip() for cell in cells]


def _places(header: list[str]) -> dict[str, int]:
    """Column → its place. Raises InputError where one is missing or there twice."""
    names = [name.lower() for name in header]
    for column in COLUMNS:
        if names.count(column) != 1:
            found = "twice" if column in names else "missing"
            raise InputError("header", ", ".join(header) or "nothing", f"{', '.join(COLUMNS)} ({column} is {found})")
    return {column: names.index(column) for column in COLUMNS}


def _row(line: int, cells: list[str], places: dict[str, int]) -> Measured:
    found = {}
    for key, column in COLUMNS.items():
        text = cells[places[key]] if places[key] < len(cells) else ""
        try:
            found[key] = column.parse(text.lower() if column.kind == "choice" else text)
        except InputError as error:
            raise InputError(f"line {line}, {key}", text or "nothing", error.allowed) from None
    if found["seq_len"] < found["query_len"]:
        allowed = f"at least query_len, {found['query_len']}: the context includes the new tokens"
        raise InputError(f"line {line}, seq_len", found["seq_len"], allowed)
    return Measured(line=line, latency_s=seconds(found.pop("latency_ms")), **found)
