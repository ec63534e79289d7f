"""Charts of the Timeline page. All share the same left margin, so that their time axes line up on screen."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from aggsim.report.charts import finished
from aggsim.report.theme import Theme
from aggsim.report.timeline_tables import KINDS, Window

SELECTION = "window"
"""Name of the overview's selection: a time interval in seconds."""
_MARGIN = 78
_QUEUES = ("pending", "waiting", "ready")


def overview_chart(frame: pd.DataFrame, theme: Theme, title: str, window: Window) -> Any:
    """Share of time in each kind of step over the whole run, with a window to drag.

    frame: timeline_tables.overview; window: where the selection starts.
    """
    end = float(frame["end_s"].iloc[-1])
    drag = alt.selection_interval(
        encodings=["x"],
        name=SELECTION,
        value={"x": list(window)},
        mark=alt.BrushConfig(fill=theme.ink, fillOpacity=0.22, stroke=theme.ink, strokeWidth=1.5),
    )
    areas = (
        alt.Chart(frame)
        .transform_fold(list(KINDS), as_=["kind", "share"])
        .transform_calculate(order=f"indexof({list(KINDS)}, datum.kind)")
        .mark_area(interpolate="step-after")
        .encode(
            x=_time("start_s", (0.0, end), title=None),
            y=alt.Y(
                "share:Q",
                title="share of time",
                stack="zero",
                scale=alt.Scale(domain=[0, 1]),
                axis=_left_axis(format=".0%", values=[0, 0.5, 1]),
            ),
            color=alt.Color(
                "kind:N",
                scale=alt.Scale(domain=list(KINDS), range=theme.colours(KINDS)),
                legend=alt.Legend(orient="top", direction="horizontal", offset=2),
            ),
            order="order:Q",
            tooltip=[
                alt.Tooltip("start_s:Q", title="from (s)", format=",.4~f"),
                alt.Tooltip("kind:N"),
                alt.Tooltip("share:Q", format=".1%"),
            ],
        )
        .add_params(drag)
    )
    return finished(areas, theme, "Overview of the run", title, 175)


def lanes_chart(frame: pd.DataFrame, theme: Theme, title: str, window: Window) -> Any:
    """Prefill and decode steps of the window as bars with their request counts. frame: timeline_tables.lanes."""
    lanes = ("prefill", "decode")
    base = alt.Chart(frame).encode(
        y=alt.Y(
            "lane:N",
            title="pass",
            sort=list(lanes),
            scale=alt.Scale(domain=list(lanes)),
            axis=_left_axis(labelColor=theme.ink),
        ),
    )
    bars = base.mark_bar(size=42, stroke=theme.surface, strokeWidth=0.6).encode(
        x=_time("start_s", window, title=None),
        x2="end_s:Q",
        color=alt.Color("lane:N", scale=alt.Scale(domain=list(lanes), range=theme.colours(lanes)), legend=None),
        tooltip=[
            alt.Tooltip("lane:N"),
            alt.Tooltip("step:Q", title="first step", format=","),
            alt.Tooltip("steps:Q", title="steps in this bar", format=","),
            alt.Tooltip("start_s:Q", title="start (s)", format=",.5~f"),
            alt.Tooltip("step_ms:Q", title="step length (ms)", format=",.4~f"),
            alt.Tooltip("pass_ms:Q", title="this pass alone (ms)", format=",.4~f"),
            alt.Tooltip("requests:Q", format=","),
            alt.Tooltip("query_len:Q", title="new tokens per request", format=","),
            alt.Tooltip("pending:Q", title="pending (front group)", format=","),
            alt.Tooltip("waiting:Q", title="waiting for prefill", format=","),
            alt.Tooltip("ready:Q", title="ready to decode", format=","),
        ],
    )
    labelled = frame[frame["label"] != ""]
    labels = (
        alt.Chart(
            labelled.assign(middle=(labelled["start_s"] + labelled["end_s"]) / 2, ink=labelled["lane"].map(theme.on))
        )
        .mark_text(fontSize=12, fontWeight=600)
        .encode(
            x="middle:Q",
            y=alt.Y("lane:N", sort=list(lanes)),
            text="label:N",
            color=alt.Color("ink:N", scale=None),
        )
    )
    return finished(bars + labels, theme, "Steps of the window", title, 190)


def queues_chart(frame: pd.DataFrame, theme: Theme, title: str, window: Window) -> Any:
    """Requests in each queue over the window. frame: timeline_tables.queues."""
    colours = [theme.prefill, theme.other, theme.decode]
    chart = (
        alt.Chart(frame)
        .mark_line(interpolate="step-after", strokeWidth=2)
        .encode(
            x=_time("time_s", window, title="seconds since the burst arrived"),
            y=alt.Y("requests:Q", title="requests", axis=_left_axis(tickCount=4, grid=True)),
            color=alt.Color(
                "queue:N",
                scale=alt.Scale(domain=list(_QUEUES), range=colours),
                legend=alt.Legend(orient="top", direction="horizontal", symbolType="stroke", offset=2),
            ),
            strokeDash=alt.StrokeDash("queue:N", scale=alt.Scale(domain=list(_QUEUES), range=[[1, 0], [6, 4], [1, 0]])),
            tooltip=[
                alt.Tooltip("time_s:Q", title="time (s)", format=",.5~f"),
                alt.Tooltip("queue:N"),
                alt.Tooltip("requests:Q", format=","),
            ],
        )
    )
    return finished(chart, theme, "Queues in the window", title, 210)


def _time(field: str, domain: Window, title: str | None) -> alt.X:
    scale = alt.Scale(domain=list(domain), nice=False)
    return alt.X(f"{field}:Q", title=title, scale=scale, axis=alt.Axis(tickCount=10, grid=False))


def _left_axis(**options: Any) -> alt.Axis:
    return alt.Axis(minExtent=_MARGIN, maxExtent=_MARGIN, **options)
