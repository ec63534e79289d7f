"""Charts of the Timeline page. All share the same left margin, so that their time axes line up on screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from aggsim.report.charts import finished
from aggsim.report.theme import Theme
from aggsim.report.timeline_tables import KINDS, Window

SELECTION = "window"
"""Name of the overview's selection: a time interval in seconds."""
LANES = ("prefill", "decode")
QUEUES = ("pending", "waiting", "ready")
_MARGIN = 78
"""Pixels left of the y axes."""


def overview_chart(frame: pd.DataFrame, theme: Theme, title: str, window: Window, marks: Sequence[Any] = ()) -> Any:
    """Share of time in each kind of step over the whole run, with a window to drag.

    frame: timeline_tables.overview; window: where the selection starts; marks: further layers.
    """
    end = float(frame["end_s"].iloc[-1])
    drag = alt.selection_interval(
        encodings=["x"],
        name=SELECTION,
        value={"x": list(window)},
        mark=alt.BrushConfig(fill=theme.ink, fillOpacity=0.22, stroke=theme.ink, strokeWidth=1.5),
    )
    share = alt.Y(
        "share:Q",
        title="share of time",
        stack="zero",
        scale=alt.Scale(domain=[0, 1]),
        axis=left_axis(format=".0%", values=[0, 0.5, 1]),
    )
    legend = alt.Legend(orient="top", direction="horizontal", offset=2)
    kind = alt.Color("kind:N", scale=alt.Scale(domain=list(KINDS), range=theme.colours(KINDS)), legend=legend)
    areas = (
        alt.Chart(frame)
        .transform_fold(list(KINDS), as_=["kind", "share"])
        .transform_calculate(order=f"indexof({list(KINDS)}, datum.kind)")
        .mark_area(interpolate="step-after")
        .encode(
            time_axis("start_s", (0.0, end), title=None),
            share,
            kind,
            alt.Order("order:Q"),
            tooltip=[
                alt.Tooltip("start_s:Q", title="from (s)", format=",.4~f"),
                alt.Tooltip("kind:N"),
                alt.Tooltip("share:Q", format=".1%"),
            ],
        )
        .add_params(drag)
    )
    return finished([areas, *marks], theme, "Overview of the run", title, 175)


STEP_HOVER = (
    alt.Tooltip("lane:N", title="pass"),
    alt.Tooltip("step:Q", title="first step", format=","),
    alt.Tooltip("steps:Q", title="steps in this bar", format=","),
    alt.Tooltip("start_s:Q", title="start (s)", format=",.5~f"),
    alt.Tooltip("step_ms:Q", title="step length (ms)", format=",.4~f"),
)
BURST_HOVER = (
    alt.Tooltip("pass_ms:Q", title="this pass alone (ms)", format=",.4~f"),
    alt.Tooltip("requests:Q", format=","),
    alt.Tooltip("query_len:Q", title="new tokens per request", format=","),
    alt.Tooltip("pending:Q", title="pending (front group)", format=","),
    alt.Tooltip("waiting:Q", title="waiting for prefill", format=","),
    alt.Tooltip("ready:Q", title="ready to decode", format=","),
)


def lanes_chart(
    frame: pd.DataFrame, theme: Theme, title: str, window: Window, hover: Sequence[alt.Tooltip] = BURST_HOVER
) -> Any:
    """Prefill and decode steps of the window as bars with their request counts. frame: timeline_tables.lanes; hover:
    what a bar tells beside the step itself."""
    y = alt.Y(
        "lane:N",
        title="pass",
        sort=list(LANES),
        scale=alt.Scale(domain=list(LANES)),
        axis=left_axis(labelColor=theme.ink),
    )
    colour = alt.Color("lane:N", scale=alt.Scale(domain=list(LANES), range=theme.colours(LANES)), legend=None)
    tooltip = [*STEP_HOVER, *hover]
    bars = (
        alt.Chart(frame)
        .mark_bar(size=42, stroke=theme.surface, strokeWidth=0.6)
        .encode(y, time_axis("start_s", window, title=None), alt.X2("end_s:Q"), colour, tooltip=tooltip)
    )
    text = frame[frame["label"] != ""]
    text = text.assign(middle=(text["start_s"] + text["end_s"]) / 2, ink=text["lane"].map(theme.on))
    ink = alt.Color("ink:N", scale=None)
    labels = (
        alt.Chart(text).mark_text(fontSize=12, fontWeight=600).encode(y, alt.X("middle:Q"), alt.Text("label:N"), ink)
    )
    return finished([bars, labels], theme, "Steps of the window", title, 190)


def queues_chart(frame: pd.DataFrame, theme: Theme, title: str, window: Window) -> Any:
    """Requests in each queue over the window. frame: timeline_tables.queues."""
    domain = list(QUEUES)
    legend = alt.Legend(orient="top", direction="horizontal", symbolType="stroke", offset=2)
    lines = (
        alt.Chart(frame)
        .mark_line(interpolate="step-after", strokeWidth=2)
        .encode(
            time_axis("time_s", window, title="seconds since the burst arrived"),
            alt.Y("requests:Q", title="requests", axis=left_axis(tickCount=4, grid=True)),
            alt.Color(
                "queue:N",
                scale=alt.Scale(domain=domain, range=[theme.prefill, theme.other, theme.decode]),
                legend=legend,
            ),
            alt.StrokeDash("queue:N", scale=alt.Scale(domain=domain, range=[[1, 0], [6, 4], [1, 0]])),
            tooltip=[
                alt.Tooltip("time_s:Q", title="time (s)", format=",.5~f"),
                alt.Tooltip("queue:N"),
                alt.Tooltip("requests:Q", format=","),
            ],
        )
    )
    return finished([lines], theme, "Queues in the window", title, 210)


def time_axis(field: str, domain: Window, title: str | None) -> alt.X:
    """Seconds, the same on every chart below each other."""
    scale = alt.Scale(domain=list(domain), nice=False)
    return alt.X(f"{field}:Q", title=title, scale=scale, axis=alt.Axis(tickCount=10, grid=False))


def left_axis(**options: Any) -> alt.Axis:
    """Of one width, so that time axes line up."""
    return alt.Axis(minExtent=_MARGIN, maxExtent=_MARGIN, **options)
