"""What the scheduler did, as DataFrames for the Timeline page: seconds on axes, milliseconds in the step table."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from aggsim.forward.batch import FloatArray
from aggsim.serving.timeline import Timeline

NUM_BINS = 400
"""Of the overview: more would be thinner than a pixel."""
MAX_BARS = 600
"""Of the detail lanes: beyond that, entries shorter than a bar are drawn as one."""
FIRST_ENTRIES = 30
"""How much of a long run the detail shows before anyone has dragged a window."""
CHAR_SHARE = 0.0085
"""Width of a character in a label, as a share of the chart's: labels that would not fit are left to hover."""
KINDS = ("prefill", "mixed", "decode")

Window = tuple[float, float]


def steps_frame(timeline: Timeline) -> pd.DataFrame:
    """One row per run-length entry: the fields of Step, step (number of its first step, from 1) and kind."""
    steps = timeline.steps
    columns = {
        name: np.array([getattr(step, name) for step in steps])
        for name in (
            "start_s",
            "end_s",
            "repeat",
            "prefill_requests",
            "chunk",
            "query_len",
            "decode_requests",
            "pending",
            "waiting",
            "ready",
            "prefill_s",
            "decode_s",
        )
    }
    frame = pd.DataFrame(columns)
    frame.insert(0, "step", np.cumsum(frame["repeat"].to_numpy()) - frame["repeat"].to_numpy() + 1)
    prefill, decode = frame["prefill_requests"] > 0, frame["decode_requests"] > 0
    frame["kind"] = np.select([prefill & decode, prefill], ["mixed", "prefill"], "decode")
    return frame


def overview(frame: pd.DataFrame, num_bins: int = NUM_BINS) -> pd.DataFrame:
    """Share of time in each kind of step, per bin of equal length; the rest of a bin, where there is one, is idle.

    Columns: start_s, end_s, prefill, mixed, decode.
    """
    starts, ends = frame["start_s"].to_numpy(float), frame["end_s"].to_numpy(float)
    end = float(ends[-1]) if len(ends) and math.isfinite(ends[-1]) else 0.0
    if end <= 0:
        return pd.DataFrame(columns=["start_s", "end_s", *KINDS])
    edges = np.linspace(0.0, end, num_bins + 1)
    bins = {"start_s": edges[:-1], "end_s": edges[1:]}
    corners = np.stack([starts, ends], axis=1).ravel()
    for kind in KINDS:
        # Time spent in this kind up to t is piecewise linear in t: its differences at the edges are exact.
        length = np.where(frame["kind"] == kind, ends - starts, 0.0)
        spent = np.cumsum(length)
        between = np.stack([spent - length, spent], axis=1).ravel()
        bins[kind] = np.diff(np.interp(edges, corners, between)) / (end / num_bins)
    return pd.DataFrame(bins)


def default_window(frame: pd.DataFrame, blamed: int | None = None) -> Window:
    """The whole run when it is short, else the entries around `blamed`, an index into the timeline, or around the first
    decode step: where prefill and decode meet."""
    if frame.empty:
        return (0.0, 0.0)
    if len(frame) <= 2 * FIRST_ENTRIES:
        return (0.0, float(frame["end_s"].iloc[-1]))
    decodes = np.flatnonzero(frame["decode_requests"].to_numpy() > 0)
    middle = blamed if blamed is not None else int(decodes[0]) if len(decodes) else 0
    first = min(max(middle - FIRST_ENTRIES // 3, 0), len(frame) - FIRST_ENTRIES)
    return (float(frame["start_s"].iloc[first]), float(frame["end_s"].iloc[first + FIRST_ENTRIES - 1]))


def within(frame: pd.DataFrame, window: Window) -> pd.DataFrame:
    """The entries that overlap the window, whole."""
    return frame[(frame["end_s"] > window[0]) & (frame["start_s"] < window[1])]


def merged(frame: pd.DataFrame, max_bars: int = MAX_BARS) -> pd.DataFrame:
    """At most about max_bars rows: neighbours that fall into one slot of time become one row of their largest counts.

    Adds entries: how many run-length entries a row stands for. The counts of a row with more than one are maxima.
    """
    if len(frame) <= max_bars:
        return frame.assign(entries=1)
    begin, end = float(frame["start_s"].iloc[0]), float(frame["end_s"].iloc[-1])
    middle = ((frame["start_s"] + frame["end_s"]) / 2).to_numpy(float)
    slot = np.minimum((middle - begin) / (end - begin) * max_bars, max_bars - 1).astype(int)
    groups = frame.assign(entries=1).groupby(slot, sort=False)
    largest = [
        "prefill_requests",
        "chunk",
        "query_len",
        "decode_requests",
        "pending",
        "waiting",
        "ready",
        "prefill_s",
        "decode_s",
    ]
    rules = {"step": "first", "start_s": "first", "end_s": "last", "repeat": "sum", "entries": "sum"} | dict.fromkeys(
        largest, "max"
    )
    return groups.agg(rules).reset_index(drop=True)


def lanes(bars: pd.DataFrame, window: Window, decode_query_len: int = 1) -> pd.DataFrame:
    """Bars of both lanes, cut to the window. Columns: lane, start_s, end_s, requests, label, and what hover tells.

    decode_query_len: new tokens of one request in a decode pass.
    """
    parts = []
    for lane, requests, latency in (
        ("prefill", "prefill_requests", "prefill_s"),
        ("decode", "decode_requests", "decode_s"),
    ):
        part = bars[bars[requests] > 0]
        tokens = part["query_len"] if lane == "prefill" else decode_query_len
        parts.append(
            pd.DataFrame(
                {
                    "lane": lane,
                    "start_s": part["start_s"].clip(lower=window[0]),
                    "end_s": part["end_s"].clip(upper=window[1]),
                    "requests": part[requests],
                    "steps": part["repeat"],
                    "step": part["step"],
                    "step_ms": (part["end_s"] - part["start_s"]) / part["repeat"] * 1e3,
                    "pass_ms": part[latency] * 1e3,
                    "query_len": tokens,
                    "pending": part["pending"],
                    "waiting": part["waiting"],
                    "ready": part["ready"],
                    "entries": part["entries"],
                }
            )
        )
    frame = pd.concat(parts, ignore_index=True)
    counts = zip(frame["steps"], frame["requests"], strict=True)
    text = [f"{steps:,} × {requests:,}" if steps > 1 else f"{requests:,}" for steps, requests in counts]
    length = (frame["end_s"] - frame["start_s"]).to_numpy(float)
    fits = (length > room_for_label(text, window)) & (frame["entries"].to_numpy() == 1)
    frame["label"] = np.where(fits, text, "")
    return frame


def room_for_label(text: list[str], window: Window) -> FloatArray:
    """Seconds of the window that each label takes on screen."""
    return np.array([len(word) + 0.8 for word in text]) * CHAR_SHARE * (window[1] - window[0])


def queues(bars: pd.DataFrame, window: Window) -> pd.DataFrame:
    """Queue lengths as steps in time, long form. Columns: time_s, queue (pending, waiting, ready), requests."""
    frame = bars[["start_s", "pending", "waiting", "ready"]].rename(columns={"start_s": "time_s"})
    frame["time_s"] = frame["time_s"].clip(lower=window[0])
    if len(frame):
        # A step line needs the last value once more at the window's end.
        frame = pd.concat([frame, frame.tail(1).assign(time_s=min(window[1], float(bars["end_s"].iloc[-1])))])
    return frame.melt("time_s", ["pending", "waiting", "ready"], var_name="queue", value_name="requests")


def step_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The steps as people read and export them: one row per run-length entry, milliseconds."""
    repeat = frame["repeat"]
    return pd.DataFrame(
        {
            "step": frame["step"],
            "steps": repeat,
            "kind": frame["kind"],
            "start_ms": frame["start_s"] * 1e3,
            "end_ms": frame["end_s"] * 1e3,
            "step_ms": (frame["end_s"] - frame["start_s"]) / repeat * 1e3,
            "prefill_requests": frame["prefill_requests"],
            "chunk": frame["chunk"] + 1,
            "query_len": frame["query_len"],
            "decode_requests": frame["decode_requests"],
            "pending": frame["pending"],
            "waiting": frame["waiting"],
            "ready": frame["ready"],
            "prefill_ms": frame["prefill_s"] * 1e3,
            "decode_ms": frame["decode_s"] * 1e3,
        }
    )
