"""Charts of the Plan page: a DataFrame of tables.py and a Theme in, an Altair chart out. Titles say the finding.

Channels are written as objects (alt.X("end:Q"), not x="end:Q") and properties are set once: Altair is several times
faster that way, and every change of a field builds all charts of a page.
"""

from __future__ import annotations

from typing import Any, Literal

import altair as alt
import pandas as pd

from aggsim.report.format import number, percent
from aggsim.report.provenance import source_shades
from aggsim.report.theme import Theme, chart_config, ink_on

BOUNDS = ("memory", "communication", "matrix", "vector")
BOUNDS_AND_REST = (*BOUNDS, "other")
ColourBy = Literal["bound", "source"]
SHAPES = ("circle", "diamond", "triangle-up", "square", "cross")
"""Of the parts that bars are coloured by, in their order: colour is never the only carrier."""
MEMORY_PARTS = ("weights", "KV cache", "activations", "reserved")
LABEL_SHARE = 0.07
"""Narrower segments are left to hover: their label would not fit."""
NAME_SHARE = 0.3
"""From here on the segment's name fits beside its number."""


class _Chart(alt.LayerChart):
    """A chart whose specification is not checked against Vega-Lite's schema whenever it is drawn: tests do that."""

    def to_dict(self, validate: bool = False, **options: Any) -> dict[str, Any]:
        spec: dict[str, Any] = super().to_dict(validate=validate, **options)
        return spec


def finished(layers: list[alt.Chart], theme: Theme, name: str, title: str, height: int) -> Any:
    """One chart of the layers: title, height (axes included on screen), common look, and a description to read aloud.

    title: the finding; what follows a semicolon goes below it, smaller.
    """
    finding, _, more = title.partition("; ")
    return _Chart(
        layer=layers,
        title=alt.TitleParams(finding, subtitle=more[:1].upper() + more[1:]),
        description=f"{name}: {title}",
        height=height,
        width="container",
        config=chart_config(theme),
    )


def time_split_chart(frame: pd.DataFrame, theme: Theme, title: str) -> Any:
    """Prefill and decode as 100% bars of what bounds the time. frame: tables.time_split."""
    bars = stacked(
        frame.assign(row=frame["pass"], part=frame["bound"], text=[percent(share) for share in frame["share"]]),
        theme,
        dict(zip(BOUNDS, theme.colours(BOUNDS), strict=True)),
        x=alt.X(
            "start:Q",
            title="share of operator time",
            scale=alt.Scale(domain=[0, 1], nice=False),
            axis=alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1]),
        ),
        tooltip=[
            alt.Tooltip("pass:N"),
            alt.Tooltip("bound:N", title="bound by"),
            alt.Tooltip("ms:Q", title="time (ms)", format=",.4~f"),
            alt.Tooltip("share:Q", format=".2%"),
        ],
        width=1.0,
    )
    return finished(bars, theme, "Where the time goes", title, 240)


def memory_chart(frame: pd.DataFrame, theme: Theme, title: str, capacity_gib: float) -> Any:
    """Two stacked bars to the device's capacity. frame: tables.memory_parts."""
    end = max(capacity_gib, float(frame["end"].max()))
    bars = stacked(
        frame.assign(row=frame["when"], text=[number(size) for size in frame["gib"]]),
        theme,
        memory_shades(theme),
        x=alt.X(
            "start:Q",
            title="GiB per device",
            scale=alt.Scale(domain=[0, end], nice=False),
            axis=alt.Axis(tickCount=8),
        ),
        tooltip=[
            alt.Tooltip("when:N", title="pass"),
            alt.Tooltip("part:N"),
            alt.Tooltip("gib:Q", title="GiB", format=",.4~f"),
        ],
        width=end,
        outline=theme.memory,
    )
    capacity = pd.DataFrame({"capacity": [capacity_gib]})
    limit = alt.Chart(capacity).mark_rule(strokeWidth=2, color=theme.ink).encode(alt.X("capacity:Q"))
    return finished([*bars, limit], theme, "Memory of a device", title, 240)


def operators_chart(frame: pd.DataFrame, theme: Theme, name: str, title: str, by: ColourBy = "bound") -> Any:
    """The longest operators as horizontal bars; what bounds them, or where their time is from, as a colour and as a
    shape. frame: tables.operators."""
    y = alt.Y("operator:N", title=None, sort=None, axis=alt.Axis(labelColor=theme.ink, labelLimit=170))
    # The label needs room to the right of the longest bar.
    longest = float(frame["ms"].max()) if len(frame) else 0.0
    scale = alt.Scale(domain=[0, longest * 1.5 or 1], nice=False)
    x = alt.X("ms:Q", title="ms per pass", axis=alt.Axis(tickCount=5), scale=scale)
    tooltip = [
        alt.Tooltip("operator:N"),
        alt.Tooltip("ms:Q", title="time (ms)", format=",.5~f"),
        alt.Tooltip("share:Q", format=".2%"),
        alt.Tooltip("calls:Q", format=","),
        alt.Tooltip("bound:N", title="bound by"),
        alt.Tooltip("source:N"),
    ]
    shades = (
        source_shades(theme)
        if by == "source"
        else dict(zip(BOUNDS_AND_REST, theme.colours(BOUNDS_AND_REST), strict=True))
    )
    found = [part for part in shades if part in set(frame[by])]
    legend = alt.Legend(columns=len(found), values=found)
    colour = _colour(by, tuple(shades), list(shades.values()), legend)
    shape = alt.Shape(f"{by}:N", scale=alt.Scale(domain=list(shades), range=list(SHAPES)), legend=legend)
    bars = alt.Chart(frame).mark_bar(size=15).encode(y, x, colour, tooltip=tooltip)
    marks = alt.Chart(frame).mark_point(filled=True, size=55, opacity=1, xOffset=10).encode(y, x, colour, shape)
    labels = alt.Chart(frame).mark_text(align="left", dx=19, color=theme.muted).encode(y, x, alt.Text("label:N"))
    return finished([bars, marks, labels], theme, name, title, 120 + 24 * max(len(frame), 1))


def stacked(
    frame: pd.DataFrame,
    theme: Theme,
    shades: dict[str, str],
    *,
    x: alt.X,
    tooltip: list[alt.Tooltip],
    width: float,
    outline: str | None = None,
) -> list[alt.Chart]:
    """Bars of parts, the name of each row above it and the text of each part inside where it fits.

    frame: row, part, start, end, text, and what tooltip names; width: of the whole axis, in its own unit;
    outline: around the parts, where their shades alone do not stand out from the ground.
    """
    rows = list(dict.fromkeys(frame["row"]))
    y = alt.Y("row:N", sort=rows, axis=None, scale=alt.Scale(paddingInner=0.4, paddingOuter=0.3))
    parts = [part for part in shades if part in set(frame["part"]) and part != "free"]
    legend = alt.Legend(columns=len(parts), values=parts)
    colour = _colour("part", tuple(shades), list(shades.values()), legend)
    look: dict[str, Any] = {"stroke": outline, "strokeWidth": 1} if outline else {}
    bars = alt.Chart(frame).mark_bar(size=26, **look).encode(y, x, alt.X2("end:Q"), colour, tooltip=tooltip)
    size = (frame["end"] - frame["start"]) / width
    inside = frame[size >= LABEL_SHARE]
    named = inside["part"] + " " + inside["text"]
    inside = inside.assign(
        middle=(inside["start"] + inside["end"]) / 2,
        text=inside["text"].where(size[inside.index] < NAME_SHARE, named),
        ink=[ink_on(shades[part]) for part in inside["part"]],
    )
    ink = alt.Color("ink:N", scale=None)
    labels = (
        alt.Chart(inside).mark_text(fontSize=13, fontWeight=600).encode(alt.X("middle:Q"), y, alt.Text("text:N"), ink)
    )
    heads = pd.DataFrame({"row": rows, "start": 0.0})
    above: dict[str, Any] = {"align": "left", "baseline": "bottom", "fontSize": 13, "color": theme.ink, "yOffset": -17}
    names = alt.Chart(heads).mark_text(**above).encode(alt.X("start:Q"), y, alt.Text("row:N"))
    return [bars, labels, names]


def _colour(field: str, domain: tuple[str, ...], colours: list[str], legend: alt.Legend | None) -> alt.Color:
    return alt.Color(f"{field}:N", scale=alt.Scale(domain=list(domain), range=colours), legend=legend)


def memory_shades(theme: Theme) -> dict[str, str]:
    """Parts of memory are shades of the one memory colour; free space is a quiet grey, what is missing red."""
    steps = dict(zip(MEMORY_PARTS, (1.0, 0.72, 0.48, 0.28), strict=True))
    shades = {part: mixed(theme.memory, theme.surface, weight) for part, weight in steps.items()}
    return shades | {"free": theme.grid, "missing": theme.bad}


def mixed(colour: str, ground: str, weight: float) -> str:
    """`weight` of a hex colour on a ground."""
    pairs = ((int(colour[i : i + 2], 16), int(ground[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(weight * a + (1 - weight) * b):02X}" for a, b in pairs)
