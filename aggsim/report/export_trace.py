"""The timeline as a Chrome trace (Trace Event Format, JSON object form): opens in Perfetto and chrome://tracing.

One slice per run-length entry and lane, as on the Timeline page: equal steps in a row are one slice that says how many.
"""

from __future__ import annotations

import json
import math
from typing import Any

from aggsim import __version__
from aggsim.planning.evaluation import Evaluation
from aggsim.report.words import scenario_words, timing_words
from aggsim.serving.timeline import Step
from aggsim.share import encode
from aggsim.units import US_PER_S, ms

__all__ = ["names", "trace", "trace_json"]

PROCESS = 1
STEPS, PREFILL, DECODE = 1, 2, 3
LANES = {STEPS: "scheduler steps", PREFILL: "prefill", DECODE: "decode"}
LOAD_NOTE = "of a burst of about as many requests as were in flight on average; the load itself is not drawn"
QUEUES = ("pending", "waiting", "ready")

Json = dict[str, Any]


def trace_json(evaluation: Evaluation) -> str:
    """The file's text; the same answer always gives the same text."""
    return json.dumps(trace(evaluation), allow_nan=False, ensure_ascii=False, separators=(",", ":")) + "\n"


def trace(evaluation: Evaluation) -> Json:
    """traceEvents in time order (ts and dur in microseconds), and in otherData what the trace is of."""
    steps = [step for step in evaluation.run.timeline.steps if math.isfinite(step.end_s)]
    events = names(scenario_words(evaluation))
    first = 1
    for step in steps:
        events += _slices(step, first, evaluation.scenario.mtp + 1)
        events.append(_queues(step.start_s, {name: getattr(step, name) for name in QUEUES}))
        first += step.repeat
    if steps:
        events.append(_queues(steps[-1].end_s, dict.fromkeys(QUEUES, 0)))
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {
            "title": scenario_words(evaluation),
            "timing": timing_words(evaluation),
            **({"steps": LOAD_NOTE} if evaluation.scenario.is_load else {}),
            "scenario": encode(evaluation.scenario),
            "engine": f"{evaluation.engine.name} {evaluation.engine.version}",
            "aggsim": __version__,
        },
    }


def names(title: str) -> list[Json]:
    """What the process and its lanes are called, and their order."""
    events: list[Json] = [_meta("process_name", STEPS, name=title)]
    for lane, name in LANES.items():
        events += [_meta("thread_name", lane, name=name), _meta("thread_sort_index", lane, sort_index=lane)]
    return events


def _meta(name: str, lane: int, /, **args: str | int) -> Json:
    return {"ph": "M", "name": name, "pid": PROCESS, "tid": lane, "ts": 0, "args": args}


def _slices(step: Step, first: int, decode_query_len: int) -> list[Json]:
    steps = f"step {first:,}" if step.repeat == 1 else f"steps {first:,}–{first + step.repeat - 1:,}"
    kinds = [name for name, some in (("prefill", step.prefill_requests), ("decode", step.decode_requests)) if some]
    common = {"first_step": first, "steps": step.repeat, "step_ms": ms(step.step_s)}
    slices = [_slice(STEPS, steps, " + ".join(kinds) or "idle", step, common)]
    if step.prefill_requests:
        args = common | {
            "requests": step.prefill_requests,
            "chunk": step.chunk + 1,
            "new_tokens_per_request": step.query_len,
            "pass_ms": ms(step.prefill_s),
        }
        slices.append(_slice(PREFILL, f"prefill {step.prefill_requests:,}", "prefill", step, args))
    if step.decode_requests:
        args = common | {
            "requests": step.decode_requests,
            "new_tokens_per_request": decode_query_len,
            "pass_ms": ms(step.decode_s),
        }
        slices.append(_slice(DECODE, f"decode {step.decode_requests:,}", "decode", step, args))
    return slices


def _slice(lane: int, name: str, category: str, step: Step, args: Json) -> Json:
    start = step.start_s * US_PER_S
    return {
        "ph": "X",
        "name": name,
        "cat": category,
        "pid": PROCESS,
        "tid": lane,
        "ts": start,
        "dur": step.end_s * US_PER_S - start,
        "args": args,
    }


def _queues(time_s: float, requests: dict[str, int]) -> Json:
    """A counter track: how many requests are in each queue from here on."""
    return {"ph": "C", "name": "queues", "pid": PROCESS, "tid": STEPS, "ts": time_s * US_PER_S, "args": requests}
