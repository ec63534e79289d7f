"""Charts of the Search page: frames of search_tables.py and a Theme in, an Altair chart out. Titles say the finding.

A layout is told by colour and by mark; what breaks a limit is a cross, whatever its colour.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from aggsim.report.charts import finished, mixed
from aggsim.report.format import number
from aggsim.report.search_tables import NUM_SERIES, OTHERS
from aggsim.report.theme import Theme, ink_on

SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "triangle-right")
CROSS = "M-1,-1L1,1M-1,1L1,-1"
"""A vector path: Vega's own "cross" is a plus sign, and filled."""
SERIES = {
    "light": ("#332288", "#C2410C", "#117733", "#AA3377", "#0E7490", "#8A6D00"),
    "dark": ("#A79BFF", "#FF9A62", "#6FCF97", "#F29BCB", "#6CC7E0", "#E2C85A"),
}
"""Not the colours of the concepts (prefill, memory, …): these are layouts, or devices."""


def pareto_chart(
    points: pd.DataFrame, edge: pd.DataFrame, series: Sequence[str], theme: Theme, title: str, limit_ms: float | None
) -> Any:
    """tokens/s per device over tokens/s per user. points, edge: points_frame and frontier_frame; limit_ms: TPOT's."""
    fastest = 1.04 * float(points["per_user"].max())
    x = alt.X("per_user:Q", title="tokens/s per user (1 ÷ TPOT)", axis=alt.Axis(tickCount=8),
              scale=alt.Scale(nice=False, domain=[0, fastest]))  # fmt: skip
    y = alt.Y("per_device:Q", title="output tokens/s per device", axis=alt.Axis(grid=True, tickCount=6),
              scale=alt.Scale(nice=False, clamp=True, domain=[0, _top(points)]))  # fmt: skip
    named = points["series"] != OTHERS
    layers = _region(0.0, min(1e3 / limit_ms, fastest), f"◂ TPOT above {number(limit_ms)} ms", theme,
                     is_all=1e3 / limit_ms > fastest) if limit_ms else []  # fmt: skip
    layers += [
        _crosses(points[~points["ok"]], theme, x, y),
        _marks(points[points["ok"] & ~named], series, theme, x, y, size=22),
        alt.Chart(edge).mark_line(color=theme.ink, strokeWidth=1.5, opacity=0.75).encode(x, y, alt.Order("per_user:Q")),
        _marks(points[points["ok"] & named], series, theme, x, y),
    ]
    layers += _winner(points[points["is_best"]].head(1), theme, x, y)
    return finished(layers, theme, "Pareto chart", title, 430)


def batch_chart(
    points: pd.DataFrame,
    stops: pd.DataFrame,
    series: Sequence[str],
    theme: Theme,
    title: str,
    *,
    per_device: bool,
    of_load: bool = False,
) -> Any:
    """Output tokens/s over batch size, one line a layout, dotted beyond the stop. stops: stops_frame.

    of_load: requests arrive, and what is called a batch size is how many are served at once.
    """
    rate = "per_device" if per_device else "tokens_per_s"
    last, top = (float(stops[name].max()) if len(stops) else 1.0 for name in ("batch", "rate"))
    end = max(4.0, 1.6 * last) ** 1.4  # what comes after the data is room for the labels
    named = points[points["series"].isin(stops["series"])]
    near = named[named["batch"] <= 1.6 * last]
    sizes = [1 << i for i in range(20) if 1 << i <= 1.6 * last]
    axis = alt.Axis(values=sizes, format=",d", grid=False)
    x = alt.X("batch:Q", title=_size_title(of_load=of_load), axis=axis,
              scale=alt.Scale(type="log", base=2, nice=False, domain=[1, end]))  # fmt: skip
    unit = "output tokens/s per device" if per_device else "output tokens/s"
    scale = alt.Scale(nice=False, clamp=True, domain=[0, top * 1.15 or 1])
    y = alt.Y(f"{rate}:Q", title=unit, axis=alt.Axis(grid=True, tickCount=6), scale=scale)
    colour, shape = _colour(series, theme, legend=True), _shape(series)
    beyond = near.merge(stops[["series", "batch"]].rename(columns={"batch": "best"}), on="series")
    beyond = beyond[(beyond["batch"] >= beyond["best"]) & (beyond[rate] <= 1.15 * top)]
    within = near[near["ok"]]
    dotted = alt.Chart(beyond).mark_line(strokeWidth=1.4, strokeDash=[2, 4], opacity=0.8)
    lines = alt.Chart(within).mark_line(strokeWidth=2.2)
    dots = alt.Chart(near).mark_point(size=70, opacity=0).encode(x, y, tooltip=_hover())
    told = [alt.Tooltip("series:N", title="layout"), alt.Tooltip("at:N"), alt.Tooltip("reason:N")]
    ends = alt.Chart(stops).mark_point(filled=True, size=90, opacity=1)
    spread = stops.assign(at=_spread(list(stops["rate"]), 0.055 * top), gutter=1.75 * last)
    words = alt.Chart(spread).mark_text(align="left", fontSize=12)
    layers = [
        dotted.encode(x, y, colour, alt.Detail("series:N")),
        lines.encode(x, y, colour, alt.Detail("series:N")),
        dots,
        ends.encode(x, alt.Y("rate:Q"), colour, shape, tooltip=told),
        words.encode(alt.X("gutter:Q"), alt.Y("at:Q"), alt.Text("label:N"), colour, tooltip=told),
    ]
    name = "requests served at once" if of_load else "batch size"
    return finished(layers, theme, f"Throughput over {name}", title, 430)


def _size_title(*, of_load: bool) -> str:
    return "requests served at once per replica (mean)" if of_load else "batch size (requests per replica)"


def heat_chart(frame: pd.DataFrame, theme: Theme, title: str, *, of_load: bool = False) -> Any:
    """Best output tokens/s per device by tp and batch size; a cell without an answer names its limit. heat_frame."""
    last = frame.loc[frame["per_device"] > 0, "first"].max() if (frame["per_device"] > 0).any() else 1
    frame = frame[frame["first"] <= 2 * last]
    sizes = list(dict.fromkeys(frame.sort_values("first")["sizes"]))
    rows = sorted(frame["tp"].unique(), key=lambda name: int(name.removeprefix("TP ")))
    x = alt.X("sizes:O", sort=sizes, title=_size_title(of_load=of_load), axis=alt.Axis(labelAngle=0, labelOverlap=True))
    y = alt.Y("tp:O", sort=rows, title=None)
    tooltip = [
        alt.Tooltip("layout:N"),
        alt.Tooltip("at:N"),
        alt.Tooltip("per_device:Q", title="output tokens/s per device", format=",.5~f"),
        alt.Tooltip("outcome:N"),
    ]
    answered, stopped = frame[frame["per_device"] > 0], frame[frame["per_device"] == 0]
    most = float(frame["per_device"].max()) or 1.0
    fills = [mixed(theme.memory, theme.surface, 0.1 + 0.9 * rate / most) for rate in answered["per_device"]]
    answered = answered.assign(fill=fills, ink=[ink_on(fill) for fill in fills])
    fill = alt.Color("fill:N", scale=None)
    cells = alt.Chart(answered).mark_rect(stroke=theme.surface, strokeWidth=2).encode(x, y, fill, tooltip=tooltip)
    text = alt.Chart(answered).mark_text(fontSize=12, fontWeight=600)
    text = text.encode(x, y, alt.Text("text:N"), alt.Color("ink:N", scale=None), tooltip=tooltip)
    empty = alt.Chart(stopped).mark_rect(fill="transparent", stroke=theme.grid, strokeDash=[3, 3])
    why = alt.Chart(stopped).mark_text(fontSize=11, color=theme.muted).encode(x, y, alt.Text("text:N"), tooltip=tooltip)
    layers = [empty.encode(x, y, tooltip=tooltip), cells, text, why]
    return finished(layers, theme, "Heat map", title, 110 + 36 * len(rows))


def device_chart(
    points: pd.DataFrame, edges: pd.DataFrame, devices: Sequence[str], theme: Theme, title: str, limit_ms: float | None
) -> Any:
    """tokens/s per device over TPOT, one colour a device. points: points_frame; edges: frontier_frame per device."""
    far = 1.5 * limit_ms if limit_ms else float(points.loc[points["ok"], "tpot_ms"].max()) * 1.1
    shown = points[points["tpot_ms"] <= far].assign(series=lambda frame: frame["device"])
    x = alt.X("tpot_ms:Q", title="TPOT (ms)", scale=alt.Scale(domain=[0, far], nice=False), axis=alt.Axis(tickCount=8))
    y = alt.Y("per_device:Q", title="output tokens/s per device", axis=alt.Axis(grid=True, tickCount=6),
              scale=alt.Scale(nice=False, clamp=True, domain=[0, _top(shown)]))  # fmt: skip
    layers = _region(limit_ms, far, f"TPOT above {number(limit_ms)} ms", theme) if limit_ms else []
    colour = _colour(devices, theme, legend=False)
    layers += [
        _crosses(shown[~shown["ok"]], theme, x, y),
        _marks(shown[shown["ok"]], devices, theme, x, y, size=34),
        alt.Chart(edges.assign(series=edges["device"]))
        .mark_line(strokeWidth=2.2)
        .encode(x, y, colour, alt.Detail("device:N")),
    ]
    return finished(layers, theme, "Devices", title, 400)


def _region(start: float, end: float, words: str, theme: Theme, *, is_all: bool = False) -> list[Any]:
    """What a limit rules out, as a band along x; x of the layers it goes with decides the scale.

    is_all: nothing is left beside it, so the words go inside.
    """
    edge = end if start == 0 else start
    frame = pd.DataFrame({"start": [start], "end": [end], "edge": [edge], "words": [words]})
    ends = alt.X("start:Q"), alt.X2("end:Q")
    band = alt.Chart(frame).mark_rect(fill=theme.bad, opacity=0.09, tooltip=None).encode(*ends)
    rule = alt.Chart(frame).mark_rule(color=theme.bad, strokeDash=[5, 3], opacity=0.8).encode(alt.X("edge:Q"))
    side: dict[str, Any] = {"align": "right", "dx": -6} if is_all else {"align": "left", "dx": 6}
    text = alt.Chart(frame).mark_text(dy=4, baseline="top", color=theme.bad, fontSize=12, **side)
    return [band, rule, text.encode(alt.X("edge:Q"), alt.Text("words:N"), y=alt.value(0))]


def _marks(frame: pd.DataFrame, series: Sequence[str], theme: Theme, x: alt.X, y: alt.Y, size: int = 55) -> Any:
    """Points within the limits: filled, in the colour and shape of their series."""
    marks = alt.Chart(frame).mark_point(filled=True, size=size, opacity=0.9)
    return marks.encode(x, y, _colour(series, theme, legend=True), _shape(series), tooltip=_hover())


def _crosses(frame: pd.DataFrame, theme: Theme, x: alt.X, y: alt.Y) -> Any:
    """Points that break a limit."""
    marks = alt.Chart(frame).mark_point(shape=CROSS, size=16, strokeWidth=1.3, color=theme.muted, opacity=0.75)
    return marks.encode(x, y, tooltip=_hover())


def _winner(frame: pd.DataFrame, theme: Theme, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """A ring around the best point, and its name."""
    words = [
        f"{layout}, {at}: {number(rate)}"
        for layout, at, rate in zip(frame["layout"], frame["at"], frame["per_device"], strict=True)
    ]
    frame = frame.assign(words=words)
    ring = alt.Chart(frame).mark_point(size=230, color=theme.ink, strokeWidth=2, filled=False).encode(x, y)
    text = alt.Chart(frame).mark_text(align="left", dx=13, dy=-10, fontSize=13, fontWeight=600, color=theme.ink)
    return [ring, text.encode(x, y, alt.Text("words:N"))]


def _hover() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("layout:N"),
        alt.Tooltip("at:N"),
        alt.Tooltip("concurrency:Q", format=","),
        alt.Tooltip("ttft_ms:Q", title="TTFT (ms)", format=",.5~f"),
        alt.Tooltip("tpot_ms:Q", title="TPOT (ms)", format=",.5~f"),
        alt.Tooltip("tokens_per_s:Q", title="output tokens/s", format=",.5~f"),
        alt.Tooltip("per_device:Q", title="per device", format=",.5~f"),
        alt.Tooltip("per_user:Q", title="tokens/s per user", format=",.4~f"),
        alt.Tooltip("memory_left_gib:Q", title="memory left (GiB)", format=",.4~f"),
        alt.Tooltip("outcome:N"),
    ]


def _colour(series: Sequence[str], theme: Theme, *, legend: bool) -> alt.Color:
    colours = [SERIES[theme.name][i % NUM_SERIES] for i in range(len(series))]
    scale = alt.Scale(domain=[*series, OTHERS], range=[*colours, theme.other])
    return alt.Color("series:N", scale=scale, legend=_legend(series) if legend else None)


def _shape(series: Sequence[str]) -> alt.Shape:
    shapes = [SHAPES[i % NUM_SERIES] for i in range(len(series))]
    scale = alt.Scale(domain=[*series, OTHERS], range=[*shapes, "circle"])
    return alt.Shape("series:N", scale=scale, legend=_legend(series))


def _legend(series: Sequence[str]) -> alt.Legend:
    """One for colour and shape: both channels must be given the same."""
    columns = 3 if max(map(len, series), default=0) < 18 else 2
    return alt.Legend(columns=columns, symbolType="circle", labelLimit=320, values=list(series))


def _top(points: pd.DataFrame) -> float:
    """Of the y axis: the answers decide; what breaks a limit sits on the edge where it is far above them."""
    answers, every = points.loc[points["ok"], "per_device"].max(), points["per_device"].max()
    return float(min(1.3 * answers, 1.12 * every) if answers > 0 else 1.12 * every)


def _spread(values: list[float], least: float) -> list[float]:
    """The values, moved apart downwards until neighbours are `least` apart, so that labels can be read."""
    order = sorted(range(len(values)), key=lambda i: -values[i])
    placed = values[:]
    for above, below in itertools.pairwise(order):
        placed[below] = min(placed[below], placed[above] - least)
    return placed
