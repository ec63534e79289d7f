"""A search as DataFrames: one function per chart or table of the Search page. Milliseconds and GiB."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import pandas as pd

from aggsim.planning.evaluation import TriedBatch
from aggsim.planning.pareto import frontier
from aggsim.planning.search_result import Candidate, SearchPoint, SearchResult
from aggsim.report.format import number
from aggsim.report.load_words import load_name
from aggsim.report.rows import Row, point_row
from aggsim.report.search_words import (
    candidate_words,
    device_words,
    layout_words,
    point_words,
    rejected_layout,
    rejection_words,
)
from aggsim.report.words import LIMIT_NAMES, stop_words
from aggsim.scenario_own import named
from aggsim.units import gib, ms

NUM_SERIES = 6
"""Layouts with a colour and a mark of their own; the others share a quiet one."""
OTHERS = "other layouts"
FITS = "meets the limits"
_POINT_COLUMNS = [
    *("layout", "series", "device", "batch", "concurrency", "ttft_ms", "tpot_ms", "tokens_per_s", "per_device"),
    *("per_user", "memory_left_gib", "outcome", "ok", "at", "is_best"),
]


def named_candidates(result: SearchResult) -> tuple[Candidate, ...]:
    """The layouts that charts tell apart: the best of each device, then the next best ones.

    More replicas of the same thing draw the same line per device: only the first is named.
    """
    first = {candidate.scenario.device_name: candidate for candidate in reversed(result.candidates)}
    leaders = [candidate for candidate in result.candidates if first[candidate.scenario.device_name] is candidate]
    chosen: dict[tuple[object, ...], Candidate] = {}
    for candidate in (*leaders, *result.candidates):
        layout, scenario = candidate.layout, candidate.scenario
        rate = float(f"{candidate.output_tokens_per_s_per_device:.6g}")
        chosen.setdefault((scenario.device_name, layout.tp, layout.pp, scenario.batch, rate), candidate)
        if len(chosen) == NUM_SERIES:
            break
    kept = {id(candidate) for candidate in chosen.values()}
    return tuple(candidate for candidate in result.candidates if id(candidate) in kept)


def series_names(result: SearchResult) -> tuple[str, ...]:
    """Their names, best first."""
    return tuple(candidate_words(candidate, result.question) for candidate in named_candidates(result))


def points_frame(result: SearchResult) -> pd.DataFrame:
    """Every evaluated point with a finite price. Columns: _POINT_COLUMNS; outcome: a limit by name, or FITS."""
    return _frame(result, (point for point in result.points() if 0 < point.tried.tpot_s < math.inf))


def frontier_frame(result: SearchResult, device: str | None = None) -> pd.DataFrame:
    """The points that nothing beats, among those of one device where it is named; columns as points_frame."""
    return _frame(result, frontier(p for p in result.points() if device in (None, p.candidate.scenario.device_name)))


def stops_frame(result: SearchResult, *, per_device: bool) -> pd.DataFrame:
    """Where each named layout ends: its best point and why the next batch size is stopped.

    Columns: series, batch, rate (tokens/s), reason (a sentence), label (short), at.
    """
    rows = []
    for candidate in named_candidates(result):
        best, stop = candidate.best, candidate.next_stop
        if best is None:
            continue
        share = candidate.layout.num_devices if per_device else 1
        name = candidate_words(candidate, result.question)
        limit = LIMIT_NAMES[stop.verdict.limit] if stop and stop.verdict.limit else ""
        reason = stop_words(candidate.scenario, stop) if stop else "Nothing stopped it."
        label = "nothing stops it"
        if stop and candidate.scenario.is_load:
            where = load_name(candidate.scenario, stop)
            label = f"{limit} stops {where}" if stop.verdict.limit != "rate" else f"{where} are too many"
        elif stop:
            label = f"{limit[:1].upper()}{limit[1:]} stops {number(stop.batch_size)}"
        at = point_words(candidate.scenario, best)
        rows.append((name, best.batch_size, best.output_tokens_per_s / share, reason, label, at))
    return pd.DataFrame(rows, columns=["series", "batch", "rate", "reason", "label", "at"])


def heat_frame(result: SearchResult) -> pd.DataFrame:
    """The best output tokens/s per device of every tp and batch size, sizes in doublings.

    Columns: tp, sizes ("8+": 8 to 15), first, per_device (0: nothing meets the limits), batch, layout, outcome, text,
    at.
    """
    cells: dict[tuple[int, int], SearchPoint] = {}
    for point in result.points():
        key = (point.candidate.layout.tp, 1 << (point.tried.batch_size.bit_length() - 1))
        if key not in cells or _merit(point) > _merit(cells[key]):
            cells[key] = point
    rows = []
    for (tp, first), point in sorted(cells.items()):
        ok = point.tried.verdict.ok
        outcome = FITS if ok else LIMIT_NAMES[point.tried.verdict.limit or "memory"]
        rate = point.output_tokens_per_s_per_device if ok else 0.0
        sizes = str(first) if first < 4 else f"{first}+"
        layout = candidate_words(point.candidate, result.question)
        rows.append((f"TP {tp}", sizes, first, rate, point.tried.batch_size, layout, outcome,
                     number(rate) if ok else outcome, point_words(point.candidate.scenario, point.tried)))  # fmt: skip
    columns = ["tp", "sizes", "first", "per_device", "batch", "layout", "outcome", "text", "at"]
    return pd.DataFrame(rows, columns=columns)


def top_table(candidates: Sequence[Candidate], result: SearchResult) -> pd.DataFrame:
    """One row a layout as people read it, in the order given; times in ms."""
    leader = result.rate_of(result.candidates[0]) if result.candidates else 0.0
    rows = []
    for rank, candidate in enumerate(candidates, 1):
        best = candidate.best or candidate.tried[0]
        stop = candidate.next_stop
        rows.append(
            {
                "rank": rank,
                "layout": candidate_words(candidate, result.question),
                "tokens_per_s": best.output_tokens_per_s,
                "per_device": candidate.output_tokens_per_s_per_device,
                "behind": 100 * (result.rate_of(candidate) / leader - 1) if leader else 0.0,
                **({"load": load_name(candidate.scenario, best)} if candidate.scenario.is_load else {}),
                "batch": best.batch_size,
                "tpot_ms": ms(best.tpot_s),
                "ttft_ms": ms(best.ttft_s),
                "stopped_by": stop_words(candidate.scenario, stop) if stop else "",
                "concurrency": best.concurrency,
                "requests_per_s": candidate.requests_per_s,
                "prompt_tokens_per_s": candidate.prompt_tokens_per_s,
                "memory_left_gib": gib(best.memory_left_bytes),
            }
        )
    return pd.DataFrame(rows)


def rejected_table(result: SearchResult) -> pd.DataFrame:
    """What has no answer, and why. Columns: layout, stopped_by, reason."""
    rows = [
        {
            "layout": _rejected_name(rejected.asked, rejected_layout(rejected), result),
            "stopped_by": LIMIT_NAMES[rejected.limit] if rejected.limit else "impossible",
            "reason": rejection_words(rejected),
        }
        for rejected in result.rejected
    ]
    return pd.DataFrame(rows, columns=["layout", "stopped_by", "reason"])


def all_points_table(result: SearchResult) -> pd.DataFrame:
    """Every evaluated point under the exported column names, then what stops it and whether nothing beats it."""
    kept = {(id(point.candidate), id(point.tried)) for point in frontier(result.points())}
    rows = [
        point_row(point)
        | {
            "requests_per_s": (requests := point.tried.output_tokens_per_s / point.candidate.scenario.output),
            "prompt_tokens_per_s": requests * point.candidate.scenario.input,
            "memory_left_gib": gib(point.tried.memory_left_bytes),
            "stopped_by": LIMIT_NAMES[point.tried.verdict.limit] if point.tried.verdict.limit else "",
            "pareto": (id(point.candidate), id(point.tried)) in kept,
        }
        | _load_of(point.tried)
        for point in result.points()
    ]
    return pd.DataFrame(rows)


def _load_of(point: TriedBatch) -> Row:
    """Of a load: what was asked, users or requests per second."""
    asked = {"users": point.users, "asked_requests_per_s": point.rate}
    return {name: value for name, value in asked.items() if value is not None}


def device_table(result: SearchResult) -> pd.DataFrame:
    """The best layout of every kind and number of devices, most tokens/s per device first."""
    best: dict[tuple[str, int], Candidate] = {}
    for candidate in result.candidates:
        best.setdefault((candidate.scenario.device_name, candidate.scenario.devices), candidate)
    rows = []
    for (device, devices), candidate in best.items():
        point = candidate.best or candidate.tried[0]
        rows.append(
            {
                "deployment": device_words(device, devices),
                "device": device,
                "layout": layout_words(candidate),
                "batch": point.batch_size,
                "tpot_ms": ms(point.tpot_s),
                "per_device": candidate.output_tokens_per_s_per_device,
                "tokens_per_s": point.output_tokens_per_s,
                "prompt_tokens_per_s": candidate.prompt_tokens_per_s,
                "requests_per_s": candidate.requests_per_s,
            }
        )
    return pd.DataFrame(rows)


def _frame(result: SearchResult, points: Iterable[SearchPoint]) -> pd.DataFrame:
    """One row a point, by _POINT_COLUMNS."""
    shown, names, rows = set(series_names(result)), _Names(result), []
    for candidate, tried in points:
        layout = names.of(candidate)
        series = layout if layout in shown else OTHERS
        rows.append(
            (layout, series, candidate.scenario.device_name, *_point(candidate, tried), tried is candidate.best)
        )
    return pd.DataFrame(rows, columns=_POINT_COLUMNS)


class _Names:
    """candidate_words, each candidate spelled once."""

    def __init__(self, result: SearchResult) -> None:
        self._result = result
        self._known: dict[int, str] = {}

    def of(self, candidate: Candidate) -> str:
        key = id(candidate)
        if key not in self._known:
            self._known[key] = candidate_words(candidate, self._result.question)
        return self._known[key]


def _point(candidate: Candidate, tried: TriedBatch) -> tuple[object, ...]:
    """batch to at of _POINT_COLUMNS."""
    point, limit = SearchPoint(candidate, tried), tried.verdict.limit
    return (
        tried.batch_size,
        tried.concurrency,
        ms(tried.ttft_s),
        ms(tried.tpot_s),
        tried.output_tokens_per_s,
        point.output_tokens_per_s_per_device,
        point.output_tokens_per_s_per_user,
        gib(tried.memory_left_bytes),
        f"over the {LIMIT_NAMES[limit]} limit" if limit else FITS,
        tried.verdict.ok,
        point_words(candidate.scenario, tried),
    )


def _merit(point: SearchPoint) -> tuple[bool, float]:
    return point.tried.verdict.ok, point.output_tokens_per_s_per_device


def _rejected_name(asked: dict[str, str | int], layout: str, result: SearchResult) -> str:
    """The layout, and what else varies of the devices and formats."""
    others = [key for key in ("device", "linear", "experts", "attention") if key in result.question.varied]
    return " | ".join([layout, *(named(str(asked[key])) for key in others if key in asked)])
