"""A simulated replica as a Chrome trace (Trace Event Format): its steps as slices, its requests as async spans, queue
and KV blocks as counters."""

from __future__ import annotations

import json
from operator import itemgetter
from typing import Any

import numpy as np

from aggsim import __version__
from aggsim.planning.evaluation import Evaluation
from aggsim.planning.load_runs import Measured
from aggsim.report.export_trace import DECODE, PREFILL, PROCESS, STEPS, names
from aggsim.report.load_timeline_tables import MAX_ROWS, PHASES, runs_frame
from aggsim.report.load_timeline_words import run_words
from aggsim.report.words import scenario_words
from aggsim.share import encode
from aggsim.units import US_PER_S

__all__ = ["load_trace", "load_trace_json"]

Json = dict[str, Any]
_LANES = {"prefill": (PREFILL, "prefill_requests"), "decode": (DECODE, "decode_requests")}


def load_trace_json(evaluation: Evaluation, measured: Measured) -> str:
    """The file's text; the same answer always gives the same text."""
    trace = load_trace(evaluation, measured)
    return json.dumps(trace, allow_nan=False, ensure_ascii=False, separators=(",", ":")) + "\n"


def load_trace(evaluation: Evaluation, measured: Measured) -> Json:
    """traceEvents in time order (ts and dur in microseconds), and in otherData what the trace is of."""
    events = sorted([*_steps(measured), *_queue(measured), *_requests(measured)], key=itemgetter("ts"))
    return {
        "traceEvents": [*names(scenario_words(evaluation)), *events],
        "displayTimeUnit": "ms",
        "otherData": {
            "title": scenario_words(evaluation),
            "timing": run_words(evaluation, measured),
            "scenario": encode(evaluation.scenario),
            "engine": f"{evaluation.engine.name} {evaluation.engine.version}",
            "aggsim": __version__,
        },
    }


def _steps(measured: Measured) -> list[Json]:
    events: list[Json] = []
    for row in runs_frame(measured).to_dict("records"):
        ts, end = row["start_s"] * US_PER_S, row["end_s"] * US_PER_S
        first, repeat = row["step"], row["repeat"]
        name = f"step {first:,}" if repeat == 1 else f"steps {first:,}–{first + repeat - 1:,}"
        common = {"first_step": first, "steps": repeat, "step_ms": row["step_s"] * 1e3}
        where: Json = {"ph": "X", "pid": PROCESS, "ts": ts, "dur": end - ts}
        events.append(where | {"name": name, "cat": row["kind"], "tid": STEPS, "args": common})
        for lane, (thread, requests) in _LANES.items():
            if row[requests]:
                args = common | {"requests": row[requests]}
                if lane == "prefill":
                    args["new_tokens"] = row["prefill_tokens"]
                events.append(where | {"name": f"{lane} {row[requests]:,}", "cat": lane, "tid": thread, "args": args})
        if measured.kv.blocks:
            events.append(_counter("KV blocks", ts, {"held": row["kv_blocks"]}))
    return events


def _queue(measured: Measured) -> list[Json]:
    """How many requests wait and are served, at every change; of very many changes at every so many-th."""
    times = measured.times
    changes = []
    for column, waiting, served in ((times.arrival_s, 1, 0), (times.start_s, -1, 1), (times.end_s, 0, -1)):
        known = column[np.isfinite(column)]
        changes.append(np.stack([known, np.full(len(known), waiting), np.full(len(known), served)], axis=1))
    together = np.concatenate(changes)
    together = together[np.argsort(together[:, 0], kind="stable")]
    levels = np.cumsum(together[:, 1:], axis=0).astype(int)
    last = np.flatnonzero(np.append(np.diff(together[:, 0]) > 0, [True]))  # at one moment only what comes of all
    last = last[:: 1 + len(last) // MAX_ROWS]
    return [
        _counter("queue", float(time_s) * US_PER_S, {"waiting": int(waiting), "served": int(served)})
        for time_s, (waiting, served) in zip(together[last, 0], levels[last], strict=True)
    ]


def _counter(name: str, ts: float, args: Json) -> Json:
    return {"ph": "C", "name": name, "pid": PROCESS, "tid": STEPS, "ts": ts, "args": args}


def _requests(measured: Measured) -> list[Json]:
    """Begin and end of each phase that has ended, on a track for each request."""
    times = measured.times
    corners = np.stack([times.arrival_s, times.start_s, times.first_s, times.end_s], axis=1)
    events: list[Json] = []
    for number, row in enumerate(corners, 1):
        sizes = {
            "input_tokens": int(times.input_tokens[number - 1]),
            "output_tokens": int(times.output_tokens[number - 1]),
        }
        for phase, begin, end in zip(PHASES, row[:-1], row[1:], strict=True):
            if np.isfinite(end) and end > begin:
                span: Json = {"cat": "request", "id": number, "pid": PROCESS, "tid": STEPS, "name": phase}
                events.append(span | {"ph": "b", "ts": float(begin) * US_PER_S, "args": {"request": number} | sizes})
                events.append(span | {"ph": "e", "ts": float(end) * US_PER_S})
    return events
