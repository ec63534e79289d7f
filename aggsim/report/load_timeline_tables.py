"""One simulated replica as DataFrames for the Timeline page: steps, queue, KV blocks and requests, seconds on axes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from aggsim.forward.batch import FloatArray, IntArray
from aggsim.planning.load_runs import Measured
from aggsim.report.timeline_tables import MAX_BARS, Window, room_for_label, within
from aggsim.serving.request_times import RequestTimes, mean_in_bins

MAX_REQUESTS = 80
"""Bars of the waterfall: more would be thinner than can be read."""
FIRST_STARTS = 40
"""So many requests are begun at most in the window before anyone has dragged one."""
FIRST_LIVES = 1.5
"""And it is at most so many times as long as a request is served."""
WHOLE_RUNS = 60
"""A run with no more entries is shown whole at first."""
MAX_ROWS = 100_000
"""Of the table of requests and of the queue in a trace: of a queue that grows without end there may be millions."""
PHASES = ("waiting", "prefill", "decode")


def runs_frame(measured: Measured) -> pd.DataFrame:
    """One row per entry of the log: the fields of RunColumns, step (number of its first step, from 1), kind (prefill,
    mixed, decode) and step_s, the mean length of one of its steps."""
    runs = measured.served.runs
    names = ("start_s", "end_s", "repeat", "prefill_requests", "prefill_tokens", "decode_requests", "prompts", "ready",
             "kv_blocks", "is_blocked")  # fmt: skip
    frame = pd.DataFrame({name: getattr(runs, name) for name in names})
    frame.insert(0, "step", np.cumsum(runs.repeat) - runs.repeat + 1)
    prefill, decode = frame["prefill_requests"] > 0, frame["decode_requests"] > 0
    frame["kind"] = np.select([prefill & decode, prefill], ["mixed", "prefill"], "decode")
    frame["step_s"] = (frame["end_s"] - frame["start_s"]) / frame["repeat"]
    return frame


def requests_frame(measured: Measured, which: IntArray | None = None) -> pd.DataFrame:
    """One row per request in order of arrival, numbered from 1; milliseconds, nan: not yet when the simulation ended.

    which: their places in that order, by default the first MAX_ROWS. measured: whether it counts, which those of the
    warm-up and those that had not ended do not.
    """
    times = measured.times
    rows = np.arange(min(len(times.arrival_s), MAX_ROWS)) if which is None else which
    arrival = times.arrival_s[rows]
    return pd.DataFrame(
        {
            "request": rows + 1,
            "arrival_s": arrival,
            "waiting_ms": _between(arrival, times.start_s[rows]),
            "ttft_ms": _between(arrival, times.first_s[rows]),
            "end_to_end_ms": _between(arrival, times.end_s[rows]),
            "input_tokens": times.input_tokens[rows],
            "output_tokens": times.output_tokens[rows],
            "preemptions": times.preemptions[rows],
            "measured": measured.ended[rows],
        }
    )


def _between(start_s: FloatArray, end_s: FloatArray) -> FloatArray:
    known = np.isfinite(start_s) & np.isfinite(end_s)
    return np.where(known, np.where(known, end_s, 0.0) - np.where(known, start_s, 0.0), np.nan) * 1e3


def warm_up_s(measured: Measured) -> float:
    """What comes before is not measured; 0: everything is."""
    return measured.span.start_s if measured.warm_up else 0.0


def default_window(measured: Measured) -> Window:
    """The first moments that are measured: some requests are begun in it; a short run whole."""
    runs, times = measured.served.runs, measured.times
    end = float(runs.end_s[-1])
    if len(runs) <= WHOLE_RUNS:
        return (0.0, end)
    start = warm_up_s(measured)
    later = np.sort(times.start_s[(times.start_s > start) & (times.start_s < end)])
    begun = float(later[FIRST_STARTS - 1]) if len(later) >= FIRST_STARTS else end
    served = times.end_s[measured.ended] - times.start_s[measured.ended]
    life = float(served.mean()) if len(served) else end
    return (start, min(end, max(begun, start + 0.1 * life), start + FIRST_LIVES * life))


def merged(frame: pd.DataFrame, max_bars: int = MAX_BARS) -> pd.DataFrame:
    """At most about max_bars rows: neighbours that fall into one slot of time become one row of their largest counts.

    Adds entries: how many a row stands for. frame: runs_frame, or a part of it.
    """
    if len(frame) <= max_bars:
        return frame.assign(entries=1)
    begin, end = float(frame["start_s"].iloc[0]), float(frame["end_s"].iloc[-1])
    middle = ((frame["start_s"] + frame["end_s"]) / 2).to_numpy(float)
    slot = np.minimum((middle - begin) / (end - begin) * max_bars, max_bars - 1).astype(int)
    rules = dict.fromkeys(frame.columns.drop("kind"), "max")
    rules |= {"step": "first", "start_s": "first", "repeat": "sum", "entries": "sum"}
    return frame.assign(entries=1).groupby(slot, sort=False).agg(rules).reset_index(drop=True)


def lanes(bars: pd.DataFrame, window: Window) -> pd.DataFrame:
    """Bars of both lanes, cut to the window. bars: merged. Columns: lane, requests, label, steps, and those of bars."""
    parts = [
        bars[bars[requests] > 0].assign(lane=lane, requests=bars[requests])
        for lane, requests in (("prefill", "prefill_requests"), ("decode", "decode_requests"))
    ]
    frame = pd.concat(parts, ignore_index=True).rename(columns={"repeat": "steps"})
    frame["start_s"], frame["end_s"] = frame["start_s"].clip(lower=window[0]), frame["end_s"].clip(upper=window[1])
    frame["step_ms"] = frame.pop("step_s") * 1e3
    pairs = zip(frame["steps"], frame["requests"], strict=True)
    text = [f"{steps:,} × {requests:,}" if steps > 1 else f"{requests:,}" for steps, requests in pairs]
    length = (frame["end_s"] - frame["start_s"]).to_numpy(float)
    frame["label"] = np.where((length > room_for_label(text, window)) & (frame["entries"] == 1), text, "")
    return frame


def queue_frame(times: RequestTimes, window: Window, max_points: int = MAX_BARS) -> pd.DataFrame:
    """Requests that wait (nothing was computed for them yet) and that are served, over the window, long form.

    Columns: time_s, queue (waiting, served), requests; exact steps, or means over max_points bins where there are more.
    """
    parts = [
        _level(name, *pair, window, max_points)
        for name, pair in {
            "waiting": (times.arrival_s, times.start_s),
            "served": (times.start_s, times.end_s),
        }.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _level(name: str, begin_s: FloatArray, end_s: FloatArray, window: Window, max_points: int) -> pd.DataFrame:
    up, down = begin_s[np.isfinite(begin_s)], end_s[np.isfinite(end_s)]
    when, by = np.concatenate([up, down]), np.concatenate([np.ones(len(up)), -np.ones(len(down))])
    order = np.argsort(when, kind="stable")
    when, by = when[order], by[order]
    inside = (when > window[0]) & (when < window[1])
    if inside.sum() > max_points:
        edges = np.linspace(*window, max_points + 1)
        times, level = edges[:-1], np.maximum(mean_in_bins(when, by, edges), 0.0)
    else:
        times = np.concatenate([[window[0]], when[inside]])
        level = np.cumsum(by)[np.searchsorted(when, times, side="right") - 1]
        level = np.where(times < when[0], 0.0, level) if len(when) else np.zeros(len(times))
    # A step line needs the last value once more at the window's end.
    return pd.DataFrame({"time_s": [*times, window[1]], "queue": name, "requests": [*level, level[-1]]})


def kv_frame(bars: pd.DataFrame, window: Window, capacity_blocks: int) -> pd.DataFrame:
    """KV blocks held over the window. bars: merged; between two of them that do not touch nothing is held.

    Columns: time_s, blocks, share (of the capacity).
    """
    starts, ends = (bars[name].to_numpy(float) for name in ("start_s", "end_s"))
    idle = ends[:-1] < starts[1:] - 1e-12
    time = np.concatenate([starts, ends[:-1][idle], ends[-1:]])
    held = bars["kv_blocks"].to_numpy(float)
    blocks = np.concatenate([held, np.zeros(int(idle.sum())), held[-1:] if ends[-1] >= window[1] else np.zeros(1)])
    order = np.argsort(time, kind="stable")
    frame = pd.DataFrame({"time_s": time[order].clip(*window), "blocks": blocks[order]})
    return frame.assign(share=frame["blocks"] / capacity_blocks)


def waterfall(measured: Measured, window: Window, max_requests: int = MAX_REQUESTS) -> tuple[pd.DataFrame, int]:
    """The requests that are there in the window, one bar for each phase, cut to the window; and how many there are.

    Where there are more than max_requests, those come first to which something happens in the window.

    Columns: request, phase, start_s, end_s (cut), row (place from the top), and of the whole request waiting_ms,
    ttft_ms, end_to_end_ms, input_tokens, output_tokens, preemptions.
    """
    times = measured.times
    there = np.flatnonzero((times.arrival_s < window[1]) & (times.end_s > window[0]))
    corners = [times.arrival_s, times.start_s, times.first_s, times.end_s]
    happens = np.any([(corner[there] > window[0]) & (corner[there] < window[1]) for corner in corners], axis=0)
    busy = _evenly(there[happens], max_requests)
    shown = np.sort(np.concatenate([busy, _evenly(there[~happens], max_requests - len(busy))]))
    table = requests_frame(measured, shown).assign(row=np.arange(len(shown)))
    parts = []
    for phase, begin, end in zip(PHASES, corners[:-1], corners[1:], strict=True):
        start_s, end_s = begin[shown].clip(*window), end[shown].clip(*window)
        parts.append(table.assign(phase=phase, start_s=start_s, end_s=end_s))
    frame = pd.concat(parts, ignore_index=True)
    return frame[frame["end_s"] > frame["start_s"]].sort_values(["row", "start_s"], ignore_index=True), len(there)


def _evenly(numbers: IntArray, most: int) -> IntArray:
    """At most so many of them, from the first to the last."""
    if len(numbers) <= most:
        return numbers
    return np.asarray(numbers[np.linspace(0, len(numbers) - 1, most).round().astype(int)])


def step_table(frame: pd.DataFrame, window: Window) -> pd.DataFrame:
    """The steps of the window as people read and export them: one row per entry, milliseconds. frame: runs_frame."""
    part = within(frame, window)
    return pd.DataFrame(
        {
            "step": part["step"],
            "steps": part["repeat"],
            "kind": part["kind"],
            "start_ms": part["start_s"] * 1e3,
            "end_ms": part["end_s"] * 1e3,
            "step_ms": part["step_s"] * 1e3,
            "prefill_requests": part["prefill_requests"],
            "prefill_tokens": part["prefill_tokens"],
            "decode_requests": part["decode_requests"],
            "prompts": part["prompts"],
            "ready": part["ready"],
            "kv_blocks": part["kv_blocks"],
            "queue_blocked": np.where(part["is_blocked"], "waits", ""),
        }
    )
