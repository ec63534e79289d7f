"""Charts of the Compare page. A scenario is its letter and its name everywhere; colour only helps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from aggsim.forward.cost import ForwardCost
from aggsim.report.charts import BOUNDS_AND_REST, finished, memory_shades, stacked
from aggsim.report.comparison import METRICS, Delta, Entry, delta, value_of
from aggsim.report.format import MISSING, duration, full, number
from aggsim.report.search_charts import SERIES
from aggsim.report.tables import PRICED, memory_parts
from aggsim.report.theme import BOUND_CONCEPT, Theme
from aggsim.report.timeline_tables import KINDS, overview, steps_frame
from aggsim.units import gib, ms

TIMES = ("ttft_ms", "tpot_{timing}_ms", "end_to_end_ms")
RATES = ("output_tokens_per_s", "output_tokens_per_s_per_device", "memory_left_gib")
NUM_BINS = 240
"""Of the common time axis."""
_ROOM = 2.2
"""The longest bar is 1: what comes after it is room for the labels."""
_LABEL_SHARE = 0.11
"""Of the axis: narrower parts of a stacked bar are left to hover."""


def bars_frame(entries: Sequence[Entry], names: Sequence[str], baseline: int, keys: Sequence[str]) -> pd.DataFrame:
    """Some metrics, each scaled to its own largest value.

    Columns: metric, letter, name, share, text, exact.
    """
    metrics = [metric for key in keys for metric in METRICS if metric.key == key]
    rows = []
    for metric in metrics:
        values = [value_of(metric, entry) for entry in entries]
        largest = max((abs(v) for v in values if v is not None and np.isfinite(v)), default=0.0)
        for index, (entry, value) in enumerate(zip(entries, values, strict=True)):
            against = Delta(text="baseline") if index == baseline else delta(metric, value, values[baseline])
            words = MISSING if value is None else metric.words(value)
            share = value / largest if value is not None and np.isfinite(value) and largest else 0.0
            text = " · ".join(part for part in (words, against.words) if part)
            exact = "" if value is None else full(value, metric.unit)
            rows.append((metric.label, entry.letter, names[index], max(share, 0.0), text, exact))
    return pd.DataFrame(rows, columns=["metric", "letter", "name", "share", "text", "exact"])


def time_keys(entries: Sequence[Entry], baseline: int) -> list[str]:
    """TIMES with the TPOT by the baseline's own definition."""
    answer = entries[baseline].evaluation or next((e.evaluation for e in entries if e.evaluation), None)
    timing = answer.run.timing if answer else "wave"
    return [key.format(timing=timing) for key in TIMES]


def bars_chart(frame: pd.DataFrame, theme: Theme, name: str, title: str) -> Any:
    """Grouped bars: a group a metric, a bar a scenario. frame: bars_frame."""
    letters = list(dict.fromkeys(frame["letter"]))
    metrics = list(dict.fromkeys(frame["metric"]))
    axis = alt.Axis(labelColor=theme.ink, labelPadding=24, labelFontSize=13, labelLimit=150)
    y = alt.Y("metric:N", title=None, sort=metrics, axis=axis, scale=alt.Scale(paddingInner=0.22, paddingOuter=0.08))
    offset = alt.YOffset("letter:N", sort=letters, scale=alt.Scale(paddingInner=0.16))
    x = alt.X("share:Q", scale=alt.Scale(domain=[0, _ROOM], nice=False), axis=None)
    colours = SERIES[theme.name][: len(letters)]
    colour = alt.Color("letter:N", scale=alt.Scale(domain=letters, range=list(colours)), legend=None)
    tooltip = [alt.Tooltip("metric:N"), alt.Tooltip("letter:N", title="scenario"), alt.Tooltip("name:N", title="what"),
               alt.Tooltip("exact:N", title="value"), alt.Tooltip("text:N", title="against the baseline")]  # fmt: skip
    bars = alt.Chart(frame).mark_bar().encode(y, offset, x, colour, tooltip=tooltip)
    labels = alt.Chart(frame).mark_text(align="left", dx=6, color=theme.ink, fontSize=12)
    heads = alt.Chart(frame).mark_text(align="right", dx=-6, color=theme.ink, fontSize=12, fontWeight=600)
    at_zero = alt.X(datum=0, type="quantitative")
    layers = [
        bars,
        labels.encode(y, offset, x, alt.Text("text:N")),
        heads.encode(y, offset, at_zero, alt.Text("letter:N")),
    ]
    return finished(layers, theme, name, title, 58 + len(metrics) * (20 * len(letters) + 14))


def passes_frame(entries: Sequence[Entry], names: Sequence[str], which: str) -> pd.DataFrame:
    """One pass of each scenario ("prefill" or "decode") by what bounds its operators, in ms.

    Columns: row, part (a concept), ms, share, start, end, text.
    """
    rows = []
    for entry, name in zip(entries, names, strict=True):
        cost = getattr(entry.evaluation, which) if entry.evaluation else None
        if cost is None:
            continue
        parts, start = _bounds(cost), 0.0
        total = sum(parts.values())
        for part, spent in parts.items():
            row = f"{entry.letter}  {name}: {duration(cost.latency_s)}"
            rows.append((row, part, ms(spent), spent / total if total else 0.0, start, start + ms(spent)))
            start += ms(spent)
    frame = pd.DataFrame(rows, columns=["row", "part", "ms", "share", "start", "end"])
    return _labelled(frame, frame["ms"])


def passes_chart(frame: pd.DataFrame, theme: Theme, name: str, title: str) -> Any:
    """The passes on one axis. frame: passes_frame, not empty."""
    end = float(frame["end"].max())
    tooltip = [
        alt.Tooltip("row:N", title="scenario"),
        alt.Tooltip("part:N", title="bound by"),
        alt.Tooltip("ms:Q", title="time (ms)", format=",.4~f"),
        alt.Tooltip("share:Q", format=".1%"),
    ]
    shades = dict(zip(BOUNDS_AND_REST, theme.colours(BOUNDS_AND_REST), strict=True))
    return _rows_chart(frame, theme, shades, "operator time of one pass (ms)", tooltip, end, name, title)


def memory_frame(entries: Sequence[Entry], names: Sequence[str]) -> pd.DataFrame:
    """GiB per device in the tightest pass. Columns: row, part, gib, start, end, text."""
    frames = []
    for entry, name in zip(entries, names, strict=True):
        if entry.evaluation is None:
            continue
        parts = memory_parts(entry.evaluation)
        row = f"{entry.letter}  {name}: {number(gib(entry.evaluation.memory.available))} GiB left"
        parts = parts[parts["when"] == PRICED].assign(row=row)
        frames.append(parts)
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["gib", "start", "end"])
    return _labelled(frame, frame["gib"])


def memory_chart(frame: pd.DataFrame, theme: Theme, title: str) -> Any:
    """Stacked to each device's own capacity. frame: memory_frame, not empty."""
    tooltip = [alt.Tooltip("row:N", title="scenario"), alt.Tooltip("part:N"),
               alt.Tooltip("gib:Q", title="GiB", format=",.4~f")]  # fmt: skip
    end = float(frame["end"].max())
    return _rows_chart(frame, theme, memory_shades(theme), "GiB per device", tooltip, end, "Memory compared", title)


def timelines_frame(entries: Sequence[Entry], names: Sequence[str]) -> pd.DataFrame:
    """Share of time in each kind of step, every scenario on the same time axis; neighbours that are alike merged.

    Columns: place (0 is the top row), letter, name, kind, start_s, end_s, low, high (shares, stacked), share.
    """
    answered = [(e, name) for e, name in zip(entries, names, strict=True) if e.evaluation]
    timelines = [entry.evaluation.run.timeline for entry, _ in answered if entry.evaluation]
    longest = max((timeline.end_s for timeline in timelines), default=0.0)
    parts = []
    for place, ((entry, name), timeline) in enumerate(zip(answered, timelines, strict=True)):
        steps = steps_frame(timeline)
        if not len(steps) or not 0 < timeline.end_s <= longest:
            continue
        bins = overview(steps, max(8, round(NUM_BINS * timeline.end_s / longest)))
        parts.append(_strips(bins).assign(place=place, letter=entry.letter, name=name))
    columns = ["place", "letter", "name", "kind", "start_s", "end_s", "low", "high", "share"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def timelines_chart(frame: pd.DataFrame, ends: pd.DataFrame, theme: Theme, title: str) -> Any:
    """frame: timelines_frame, not empty; ends: ends_frame."""
    end = float(ends["end_s"].max())
    top, height = 0.4, 0.52  # of a row: its name stands above the strip
    frame = frame.assign(y=frame["place"] + top + height * (1 - frame["high"]),
                         y2=frame["place"] + top + height * (1 - frame["low"]))  # fmt: skip
    rows = len(ends)
    scale = alt.Scale(domain=[0, rows + 0.05], nice=False, reverse=True)
    x = alt.X("start_s:Q", title="seconds since the burst arrived", axis=alt.Axis(tickCount=10),
              scale=alt.Scale(domain=[0, end * 1.002], nice=False))  # fmt: skip
    y = alt.Y("y:Q", axis=None, scale=scale)
    legend = alt.Legend(values=list(dict.fromkeys(kind for kind in KINDS if kind in set(frame["kind"]))))
    kind = alt.Color("kind:N", scale=alt.Scale(domain=list(KINDS), range=theme.colours(KINDS)), legend=legend)
    tooltip = [alt.Tooltip("letter:N", title="scenario"), alt.Tooltip("name:N", title="what"),
               alt.Tooltip("kind:N", title="steps"), alt.Tooltip("share:Q", title="share of time", format=".0%"),
               alt.Tooltip("start_s:Q", title="from (s)", format=",.4~f"),
               alt.Tooltip("end_s:Q", title="to (s)", format=",.4~f")]  # fmt: skip
    strips = alt.Chart(frame).mark_rect().encode(x, alt.X2("end_s:Q"), y, alt.Y2("y2:Q"), kind, tooltip=tooltip)
    ends = ends.assign(y=ends["place"] + 0.2, zero=0.0, low=ends["place"] + top, high=ends["place"] + top + height)
    names = alt.Chart(ends).mark_text(align="left", fontSize=13, color=theme.ink)
    marks = alt.Chart(ends).mark_rule(strokeWidth=2, color=theme.ink)
    hover = [alt.Tooltip("letter:N", title="scenario"), alt.Tooltip("ttft_s:Q", title="mean TTFT (s)", format=",.4~f")]
    layers = [
        strips,
        names.encode(alt.X("zero:Q"), y, alt.Text("words:N")),
        marks.encode(alt.X("ttft_s:Q"), alt.Y("low:Q"), alt.Y2("high:Q"), tooltip=hover),
    ]
    return finished(layers, theme, "Timelines compared", title, 104 + 58 * rows)


def ends_frame(entries: Sequence[Entry], names: Sequence[str]) -> pd.DataFrame:
    """Where each timeline ends. Columns: place, letter, name, end_s, ttft_s (empty where it is infinite), words."""
    rows = []
    for place, (entry, name) in enumerate((e, n) for e, n in zip(entries, names, strict=True) if e.evaluation):
        answer = entry.evaluation
        if answer is None:
            continue
        end_s, ttft_s = answer.run.timeline.end_s, answer.ttft_s
        said = f"{duration(end_s)}, first token after {duration(ttft_s)} on average" if end_s > 0 else "no step ran"
        words = f"{entry.letter}  {name}: {said}"
        within = ttft_s if np.isfinite(ttft_s) and ttft_s <= end_s else None
        rows.append((place, entry.letter, name, end_s, within, words))
    return pd.DataFrame(rows, columns=["place", "letter", "name", "end_s", "ttft_s", "words"])


def _rows_chart(
    frame: pd.DataFrame, theme: Theme, shades: dict[str, str], unit: str, tooltip: list[alt.Tooltip], end: float,
    name: str, title: str,
) -> Any:  # fmt: skip
    """Stacked bars under one another, the name of each row above it, on one axis from 0 to end."""
    scale = alt.Scale(domain=[0, end or 1.0], nice=False)
    x = alt.X("start:Q", title=unit, scale=scale, axis=alt.Axis(tickCount=6))
    layers = stacked(frame, theme, shades, x=x, tooltip=tooltip, width=end or 1.0)
    return finished(layers, theme, name, title, 120 + 52 * frame["row"].nunique())


def _bounds(cost: ForwardCost) -> dict[str, float]:
    """Concept → seconds; what an engine says nothing about is "other"."""
    bound = cost.bound_s
    parts = {BOUND_CONCEPT[name]: getattr(bound, name) for name in ("memory", "communication", "mma", "gp")}
    known = {part: spent for part, spent in parts.items() if spent > 0}
    return known or {"other": cost.latency_s}


def _labelled(frame: pd.DataFrame, values: pd.Series) -> pd.DataFrame:
    """With the text of each part: its number, where the part is wide enough for it."""
    widths = (frame["end"] - frame["start"]) / (frame["end"].max() or 1.0)
    texts = [number(value) if width >= _LABEL_SHARE else "" for value, width in zip(values, widths, strict=True)]
    return frame.assign(text=texts)


def _strips(bins: pd.DataFrame) -> pd.DataFrame:
    """Stacked rectangles of timeline_tables.overview: kind, start_s, end_s, low, high, share."""
    rounded = bins[list(KINDS)].round(2).to_numpy()
    new = np.r_[True, (rounded[1:] != rounded[:-1]).any(axis=1)]
    first = np.flatnonzero(new)
    last = np.r_[first[1:], len(bins)] - 1
    rows = []
    for i, j in zip(first, last, strict=True):
        shares, low = bins[list(KINDS)].iloc[i : j + 1].mean(), 0.0
        for kind in KINDS:
            share = float(shares[kind])
            if share > 0:
                rows.append((kind, bins["start_s"].iloc[i], bins["end_s"].iloc[j], low, low + share, share))
            low += share
    return pd.DataFrame(rows, columns=["kind", "start_s", "end_s", "low", "high", "share"])
