"""Answers as DataFrames: milliseconds and GiB from here on. One function per table or chart of the Plan page."""

from __future__ import annotations

import pandas as pd

from aggsim.forward.cost import ForwardCost, MemoryUse
from aggsim.planning.evaluation import Evaluation
from aggsim.report.format import duration, percent
from aggsim.report.provenance import SOURCES, one_source
from aggsim.report.rows import result_row, tried_rows
from aggsim.report.theme import BOUND_CONCEPT
from aggsim.report.words import LIMIT_NAMES
from aggsim.units import gib, ms

PRICED = "Tightest pass"
AT_THE_END = "At the last token"


def passes(evaluation: Evaluation) -> dict[str, ForwardCost]:
    """The passes the breakdown is reported for, by name; those that never ran are missing."""
    both = {"Prefill": evaluation.prefill, "Decode": evaluation.decode}
    return {name: cost for name, cost in both.items() if cost is not None}


def time_split(evaluation: Evaluation) -> pd.DataFrame:
    """Each pass by what bounds its operators. Columns: pass, bound (a concept), ms, share of the four, start, end."""
    rows = []
    for name, cost in passes(evaluation).items():
        total, start = cost.bound_s.total, 0.0
        for bound in ("memory", "communication", "mma", "gp"):
            spent = getattr(cost.bound_s, bound)
            share = spent / total if total > 0 else 0.0
            rows.append(
                (f"{name} {duration(cost.latency_s)}", BOUND_CONCEPT[bound], ms(spent), share, start, start + share)
            )
            start += share
    return pd.DataFrame(rows, columns=["pass", "bound", "ms", "share", "start", "end"])


def main_bound(cost: ForwardCost) -> tuple[str, float]:
    """The concept that bounds most of a pass's operator time, and its share."""
    times = cost.bound_s
    spent = {"memory": times.memory, "communication": times.communication, "matrix": times.mma, "vector": times.gp}
    concept = max(spent, key=spent.__getitem__)
    return concept, spent[concept] / times.total if times.total > 0 else 0.0


def memory_parts(evaluation: Evaluation) -> pd.DataFrame:
    """GiB per device: the tightest priced pass, and the same device when every request holds its full context.

    Columns: when, part, gib, start, end. What is missing (not fitting) reaches beyond the capacity as part "missing".
    """
    rows = []
    for when, use, growth in _moments(evaluation):
        parts = {
            "weights": use.weight,
            "KV cache": use.kv_cache + growth,
            "activations": use.activation,
            "reserved": use.reserved,
        }
        start = 0.0
        for part, size in parts.items():
            rows.append((when, part, gib(size), start, start + gib(size)))
            start += gib(size)
        left = gib(use.total) - start
        ends = sorted((start, gib(use.total)))
        rows.append((when, "free" if left >= 0 else "missing", abs(left), ends[0], ends[1]))
    return pd.DataFrame(rows, columns=["when", "part", "gib", "start", "end"])


def _moments(evaluation: Evaluation) -> list[tuple[str, MemoryUse, float]]:
    """When, the memory then, and the bytes its KV cache has grown by."""
    decode = evaluation.decode.memory if evaluation.decode else evaluation.memory
    growth = decode.available - evaluation.memory_left_at_last_token_bytes
    return [(PRICED, evaluation.memory, 0.0), (AT_THE_END, decode, growth)]


def operators(cost: ForwardCost, top: int = 8) -> pd.DataFrame:
    """The operators that take most of a pass, longest first; the rest as one row.

    Columns: operator, ms, share (of the pass's operator time), bound (a concept), calls, source (its word on screen),
    label.
    """
    total = sum(op.total_s for op in cost.ops)
    ranked = sorted(cost.ops, key=lambda op: (-op.total_s, op.name))
    shown, rest = ranked[:top], ranked[top:]
    rows = [(op.name, op.total_s, BOUND_CONCEPT[op.bound], op.calls, SOURCES[op.source]) for op in shown]
    if rest:
        calls = sum(op.calls for op in rest)
        rows.append((f"{len(rest)} more", sum(op.total_s for op in rest), "other", calls, one_source(rest)))
    frame = pd.DataFrame(rows, columns=["operator", "seconds", "bound", "calls", "source"])
    frame["share"] = frame["seconds"] / total if total > 0 else 0.0
    frame["ms"] = frame["seconds"] * 1e3
    frame["label"] = [f"{duration(s)} · {percent(p)}" for s, p in zip(frame["seconds"], frame["share"], strict=True)]
    return frame.drop(columns="seconds")


def result_table(evaluation: Evaluation) -> pd.DataFrame:
    """One row per batch size or load tried, with the exported column names, then requests and prompt tokens
    per second, `chosen`, and what `stopped_by` says; first the rate that was asked for, of requests that come by
    themselves."""
    rows = tried_rows(evaluation) or [result_row(evaluation)]
    frame = pd.DataFrame(rows)
    # Lengths may vary from request to request: theirs are those of the answer's requests.
    carried = evaluation.requests_per_s
    outputs = evaluation.output_tokens_per_s / carried if carried > 0 else evaluation.scenario.output
    inputs = evaluation.prompt_tokens_per_s / carried if carried > 0 else evaluation.scenario.input
    frame["requests/s"] = frame["token/s"] / outputs
    frame["prompt tokens/s"] = frame["requests/s"] * inputs
    answer = evaluation.answer_point if evaluation.tried else None
    verdicts = [evaluation.verdict if tried is answer else tried.verdict for tried in evaluation.tried]
    frame["chosen"] = [tried is answer for tried in evaluation.tried] or [True]
    frame["stopped_by"] = [LIMIT_NAMES.get(v.limit or "", "") for v in verdicts or [evaluation.verdict]]
    if evaluation.load is not None and evaluation.scenario.arrival == "open":
        frame.insert(0, "asked requests/s", [tried.rate for tried in evaluation.tried])
    return frame
