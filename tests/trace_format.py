"""A strict reading of the Trace Event Format (JSON object form), which Perfetto and chrome://tracing open.

Beyond the format's own rules: no unknown key, slices of a lane nest, and counters and slices come in time order.
"""

from __future__ import annotations

import json
import math
from typing import Any

TOP_KEYS = {"traceEvents", "displayTimeUnit", "otherData", "systemTraceEvents", "stackFrames", "samples"}
KEYS = {
    "M": ({"ph", "name", "pid", "args"}, {"tid", "ts", "cat"}),
    "X": ({"ph", "name", "pid", "tid", "ts", "dur"}, {"cat", "args", "tts", "tdur", "cname", "sf", "esf", "stack"}),
    "C": ({"ph", "name", "pid", "ts", "args"}, {"tid", "cat", "id", "cname"}),
    **dict.fromkeys(("b", "e"), ({"ph", "name", "cat", "id", "pid", "ts"}, {"tid", "args", "tts", "cname", "scope"})),
}
"""Phase → keys an event must have, keys it may have besides."""
META = {
    "process_name": ("name", str),
    "process_labels": ("labels", str),
    "process_sort_index": ("sort_index", int),
    "thread_name": ("name", str),
    "thread_sort_index": ("sort_index", int),
}
TOLERANCE_US = 1e-3


def problems(text: str) -> list[str]:
    """What is wrong with the text of a trace; empty: nothing."""
    try:
        trace = json.loads(text, parse_constant=lambda word: (_ for _ in ()).throw(ValueError(word)))
    except ValueError as error:
        return [f"not JSON: {error}"]
    if not isinstance(trace, dict):
        return ["not an object"]
    found = [f"unknown key {key}" for key in trace.keys() - TOP_KEYS]
    if trace.get("displayTimeUnit", "ms") not in ("ms", "ns"):
        found.append("displayTimeUnit is neither ms nor ns")
    if not isinstance(trace.get("otherData", {}), dict):
        found.append("otherData is not an object")
    events = trace.get("traceEvents")
    if not isinstance(events, list) or not events:
        return [*found, "traceEvents is not a list of events"]
    for i, event in enumerate(events):
        found += [f"event {i}: {problem}" for problem in event_problems(event)]
    return found or [*order_problems(events), *nesting_problems(events), *async_problems(events)]


def event_problems(event: Any) -> list[str]:
    if not isinstance(event, dict):
        return ["not an object"]
    phase = event.get("ph")
    if phase not in KEYS:
        return [f"phase {phase!r}"]
    needed, optional = KEYS[phase]
    found = [f"lacks {key}" for key in needed - event.keys()]
    found += [f"has {key}" for key in event.keys() - needed - optional]
    found += [f"{key} is not text" for key in ("name", "cat") if key in event and not is_text(event[key])]
    found += [f"{key} is not a whole number" for key in ("pid", "tid") if key in event and not is_whole(event[key])]
    found += [f"{key} is not a time" for key in ("ts", "dur") if key in event and not is_time(event[key])]
    args = event.get("args", {})
    if not isinstance(args, dict):
        return [*found, "args is not an object"]
    if phase == "M" and "name" in event:
        key, kind = META.get(event["name"], ("", object))
        if not key:
            found.append(f"metadata {event['name']!r}")
        elif args.keys() != {key} or not isinstance(args[key], kind) or args[key] == "":
            found.append(f"args of {event['name']}")
    if phase == "C" and (not args or not all(is_number(value) for value in args.values())):
        found.append("a counter whose args are not numbers")
    return found


def order_problems(events: list[dict[str, Any]]) -> list[str]:
    """Slices and counters in time order; every lane with slices has a name."""
    timed = [event["ts"] for event in events if event["ph"] != "M"]
    found = [] if timed == sorted(timed) else ["events are not in time order"]
    lanes = {(event["pid"], event["tid"]) for event in events if event["ph"] == "X"}
    named = {(event["pid"], event.get("tid")) for event in events if event["name"] == "thread_name"}
    return found + [f"lane {lane} has no name" for lane in lanes - named]


def nesting_problems(events: list[dict[str, Any]]) -> list[str]:
    """Slices of one lane follow each other or contain one another."""
    found, ends = [], {}
    for event in events:
        if event["ph"] != "X":
            continue
        stack = ends.setdefault((event["pid"], event["tid"]), [])
        start, end = event["ts"], event["ts"] + event["dur"]
        while stack and stack[-1] <= start + TOLERANCE_US:
            stack.pop()
        if stack and end > stack[-1] + TOLERANCE_US:
            found.append(f"{event['name']} overlaps the slice before it")
        stack.append(end)
    return found


def async_problems(events: list[dict[str, Any]]) -> list[str]:
    """What begins ends: the spans of one id follow each other or contain one another, by category."""
    found, open_spans = [], {}
    for event in events:
        if event["ph"] not in ("b", "e"):
            continue
        stack = open_spans.setdefault((event["cat"], event["id"]), [])
        if event["ph"] == "b":
            stack.append(event["name"])
        elif not stack or stack.pop() != event["name"]:
            found.append(f"{event['name']} of {event['id']} ends without a beginning")
    return found + [f"{stack[-1]} of {id_} does not end" for (_, id_), stack in open_spans.items() if stack]


def is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_time(value: Any) -> bool:
    return is_number(value) and value >= 0
