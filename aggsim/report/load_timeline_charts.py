"""Charts of the Timeline page where requests arrive: queue, KV blocks and requests of the window, one time axis."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from aggsim.report.charts import finished
from aggsim.report.load_timeline_tables import PHASES
from aggsim.report.theme import Theme
from aggsim.report.timeline_charts import left_axis, time_axis
from aggsim.report.timeline_tables import Window

SINCE = "seconds since the simulation began"
LOAD_HOVER = (
    alt.Tooltip("requests:Q", format=","),
    alt.Tooltip("prefill_tokens:Q", title="new prompt tokens", format=","),
    alt.Tooltip("prompts:Q", title="prompts under way", format=","),
    alt.Tooltip("ready:Q", title="ready to decode", format=","),
    alt.Tooltip("kv_blocks:Q", title="KV blocks held", format=","),
    alt.Tooltip("is_blocked:N", title="queue waits for a seat or KV blocks"),
)
"""What a bar of the lanes tells beside its step."""
_THICKNESS = {"waiting": 0.2, "prefill": 0.9, "decode": 0.55}
"""Share of a request's row; colour is not the only thing that tells the phases apart."""
_ROW_PX = 6.5
_LEAST_PX = 150
"""Of all rows: the axis needs room for its title."""
_WORDS_SHARE = 0.2
"""Of a time axis: a shorter warm-up has its name beside it."""
_QUEUES = ("waiting", "served")


def warm_up_marks(theme: Theme, end_s: float, whole_s: float) -> list[Any]:
    """Layers that fade the warm-up on a time axis of whole_s; none without one."""
    if not end_s:
        return []
    frame = pd.DataFrame(
        {"start": [0.0], "end": [end_s], "words": ["warm-up" if end_s > _WORDS_SHARE * whole_s else "◂ warm-up"]}
    )
    band = (
        alt.Chart(frame)
        .mark_rect(color=theme.surface, opacity=0.6, tooltip=None)
        .encode(alt.X("start:Q"), alt.X2("end:Q"))
    )
    rule = alt.Chart(frame).mark_rule(color=theme.ink, strokeWidth=1.5, strokeDash=[4, 3]).encode(alt.X("end:Q"))
    side: dict[str, Any] = (
        {"align": "right", "dx": -5} if end_s > _WORDS_SHARE * whole_s else {"align": "left", "dx": 5}
    )
    words = alt.Chart(frame).mark_text(baseline="top", dy=4, color=theme.ink, fontSize=12, **side)
    return [band, rule, words.encode(alt.X("end:Q"), alt.Text("words:N"), y=alt.value(0))]


def queue_chart(frame: pd.DataFrame, theme: Theme, title: str, window: Window) -> Any:
    """Requests that wait and that are served. frame: load_timeline_tables.queue_frame."""
    return finished([queue_lines(frame, theme, window)], theme, "Queue in the window", title, 220)


def queue_lines(frame: pd.DataFrame, theme: Theme, window: Window) -> Any:
    """Two step lines told apart by colour and dash. frame: time_s, queue (waiting, served), requests."""
    legend = alt.Legend(orient="top", direction="horizontal", symbolType="stroke", offset=2)
    colour = alt.Scale(domain=list(_QUEUES), range=[theme.other, theme.decode])
    return (
        alt.Chart(frame)
        .mark_line(interpolate="step-after", strokeWidth=2)
        .encode(
            time_axis("time_s", window, title=SINCE),
            alt.Y("requests:Q", title="requests", axis=left_axis(tickCount=4, tickMinStep=1, grid=True)),
            alt.Color("queue:N", scale=colour, legend=legend),
            alt.StrokeDash("queue:N", scale=alt.Scale(domain=list(_QUEUES), range=[[6, 3], [1, 0]])),
            tooltip=[
                alt.Tooltip("time_s:Q", title="time (s)", format=",.5~f"),
                alt.Tooltip("queue:N"),
                alt.Tooltip("requests:Q", format=",.4~f"),
            ],
        )
    )


def kv_chart(frame: pd.DataFrame, theme: Theme, title: str, window: Window) -> Any:
    """Share of the KV blocks that is held. frame: load_timeline_tables.kv_frame."""
    return finished([kv_area(frame, theme, window)], theme, "KV cache in the window", title, 190)


def kv_area(frame: pd.DataFrame, theme: Theme, window: Window) -> Any:
    """frame: time_s, share, blocks."""
    line = {"color": theme.memory, "strokeWidth": 2}
    return (
        alt.Chart(frame)
        .mark_area(interpolate="step-after", color=theme.memory, opacity=0.35, line=line)
        .encode(
            time_axis("time_s", window, title=SINCE),
            alt.Y("share:Q", title="KV blocks held", scale=alt.Scale(domain=[0, 1]),
                  axis=left_axis(format=".0%", values=[0, 0.5, 1], grid=True)),
            tooltip=[
                alt.Tooltip("time_s:Q", title="time (s)", format=",.5~f"),
                alt.Tooltip("blocks:Q", title="KV blocks", format=",.0f"),
                alt.Tooltip("share:Q", title="of the capacity", format=".1%"),
            ],
        )
    )  # fmt: skip


def waterfall_chart(frame: pd.DataFrame, theme: Theme, title: str, window: Window) -> Any:
    """One row a request, a bar for each phase of its life. frame: load_timeline_tables.waterfall."""
    rows = max(1, frame["row"].nunique())
    y = alt.Y(
        "request:O", title="request, in order of arrival", scale=alt.Scale(paddingInner=0.0, paddingOuter=0.5),
        axis=left_axis(labelOverlap="greedy", labelColor=theme.ink, ticks=False),
    )  # fmt: skip
    scale = alt.Scale(domain=list(PHASES), range=[theme.other, theme.prefill, theme.decode])
    legend = alt.Legend(orient="top", direction="horizontal", offset=2)
    colour = alt.Color("phase:N", scale=scale, legend=legend)
    tooltip = [
        alt.Tooltip("request:Q", format=","),
        alt.Tooltip("phase:N"),
        alt.Tooltip("arrival_s:Q", title="arrival (s)", format=",.5~f"),
        alt.Tooltip("waiting_ms:Q", title="waiting (ms)", format=",.5~f"),
        alt.Tooltip("ttft_ms:Q", title="TTFT (ms)", format=",.5~f"),
        alt.Tooltip("end_to_end_ms:Q", title="end to end (ms)", format=",.5~f"),
        alt.Tooltip("input_tokens:Q", title="prompt tokens", format=","),
        alt.Tooltip("output_tokens:Q", title="output tokens", format=","),
        alt.Tooltip("preemptions:Q", format=","),
    ]
    layers: list[Any] = [
        alt.Chart(frame[frame["phase"] == phase])
        .mark_bar(size=max(1.5, share * _row_px(rows)))
        .encode(y, time_axis("start_s", window, title=SINCE), alt.X2("end_s:Q"), colour, tooltip=tooltip)
        for phase, share in _THICKNESS.items()
    ]
    preempted = frame[frame["preemptions"] > 0].drop_duplicates("request", keep="last")
    signs = alt.Chart(preempted).mark_text(text="↺", align="right", dx=-2, color=theme.ink, fontSize=9)
    layers.append(signs.encode(y, alt.X("end_s:Q"), tooltip=tooltip))
    return finished(layers, theme, "Requests in the window", title, 130 + max(_LEAST_PX, round(rows * _row_px(rows))))


def _row_px(rows: int) -> float:
    return max(_ROW_PX, min(34.0, _LEAST_PX / rows))
