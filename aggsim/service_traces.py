"""Traces of requests that people upload: kept by the hash of what they say, which is how a link names them."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from aggsim.errors import InputError
from aggsim.parameters_arrivals import TraceRow, trace_digest
from aggsim.scenario import Scenario
from aggsim.serving.arrivals import parse_trace_csv, write_trace
from aggsim.store import cache_key, default_store

__all__ = ["keep_trace", "trace_extent", "trace_rows"]

REMEMBERED_TRACES = 8
_remembered: OrderedDict[str, tuple[TraceRow, ...]] = OrderedDict()
"""The store may be switched off."""


def keep_trace(csv_text: str) -> str:
    """Checks a CSV of arrival_s,input,output and keeps it. Returns the value of `trace` that names it, sha256:….

    Raises InputError naming line and column. Order and spelling of the rows do not matter to the name.
    """
    rows = parse_trace_csv(csv_text)
    text = write_trace(rows)
    digest = hashlib.sha256(text.encode()).hexdigest()
    _remember(digest, rows)
    default_store().put(_key(digest), text)
    return f"sha256:{digest}"


def trace_rows(scenario: Scenario) -> tuple[TraceRow, ...]:
    """The requests of an uploaded trace; none where the scenario names none. Raises InputError for one that is not
    here."""
    digest = trace_digest(scenario.trace or "") if scenario.arrival == "trace" else None
    return () if digest is None else _rows(digest)


def trace_extent(name: str) -> tuple[int, float]:
    """Requests of an uploaded trace, by the name that keep_trace gave it, and seconds from the first to the last."""
    rows = _rows(trace_digest(name) or "")
    return len(rows), rows[-1].arrival_s - rows[0].arrival_s


def _rows(digest: str) -> tuple[TraceRow, ...]:
    if digest not in _remembered:
        text = default_store().get(_key(digest))
        if not isinstance(text, str):
            allowed = "a trace that was uploaded here and is still kept: upload its CSV once more"
            raise InputError("trace", f"sha256:{digest[:12]}…", allowed)
        _remember(digest, parse_trace_csv(text))
    return _remembered[digest]


def _remember(digest: str, rows: tuple[TraceRow, ...]) -> None:
    _remembered[digest] = rows
    _remembered.move_to_end(digest)
    while len(_remembered) > REMEMBERED_TRACES:
        _remembered.popitem(last=False)


def _key(digest: str) -> str:
    return cache_key("trace", digest=digest)
