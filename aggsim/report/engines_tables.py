"""Engines side by side as DataFrames and JSON; milliseconds and GiB from here on."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pandas as pd

from aggsim.planning.compare_engines import (
    FIGURES,
    EngineComparison,
    Phase,
    differences,
    gap,
    large_gaps,
    memory_used,
    pass_of,
)
from aggsim.planning.evaluation import Evaluation
from aggsim.planning.operator_kinds import KINDS, operators_by_kind
from aggsim.report.engines_words import agreement, gap_words, signed, verdict_cell
from aggsim.report.format import MISSING, duration, memory, number, percent
from aggsim.report.json_form import finite, verdict_json
from aggsim.share import to_json
from aggsim.units import gib, ms

__all__ = ["comparison_json", "difference_frame", "engine_frame", "engine_rows", "mapping_frame", "source_shares"]

DELTAS = {"ttft": "ttft_delta", "tpot": "tpot_delta", "throughput": "tokens_delta", "memory": "memory_delta"}
"""Figure → its column of differences, a share of the first row's figure."""
MAX_NAMES = 5
"""Operators named in one cell."""


def engine_frame(comparison: EngineComparison) -> pd.DataFrame:
    """One row an engine, the one on screen first; then those that have no answer.

    Columns: engine, answer (verdict, or why there is none), ttft_ms, tpot_ms, tokens_per_s, memory_gib (weights, KV
    cache and activations per device of the tightest pass), memory_left_gib, each figure's *_delta (share of the first
    row's), measured (share of decode time), version.
    """
    base = comparison.base
    rows = [_row(base, None), *(_row(answer, base) for answer in comparison.answered)]
    rows += [
        {"engine": entry.engine, "answer": f"– {entry.reason}", "version": entry.version}
        for entry in comparison.unanswered
    ]
    columns = ["engine", "answer", "ttft_ms", "ttft_delta", "tpot_ms", "tpot_delta", "tokens_per_s", "tokens_delta",
               "memory_gib", "memory_delta", "memory_left_gib", "measured", "version"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _row(answer: Evaluation, base: Evaluation | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "engine": answer.engine.name,
        "answer": verdict_cell(answer),
        "ttft_ms": ms(answer.ttft_s),
        "tpot_ms": ms(answer.tpot_s),
        "tokens_per_s": answer.output_tokens_per_s,
        "memory_gib": gib(memory_used(answer.memory)),
        "memory_left_gib": gib(answer.run.memory_left_bytes),
        "measured": source_shares(answer, "decode").get("measured", 0.0),
        "version": answer.engine.version,
    }
    if base is not None:
        row |= {DELTAS[figure]: gap(base, answer, figure).share for figure in FIGURES}
    return row


def engine_rows(comparison: EngineComparison) -> list[dict[str, tuple[str, str]]]:
    """As text, by column: a figure, and how far it is from the first row's. Only engines that have an answer."""
    base = comparison.base
    return [_texts(base, None), *(_texts(answer, base) for answer in comparison.answered)]


def _texts(answer: Evaluation, base: Evaluation | None) -> dict[str, tuple[str, str]]:
    apart = dict.fromkeys(FIGURES, "")
    for figure in FIGURES if base else ():
        share = gap(base, answer, figure).share if base else None
        apart[figure] = signed(share, percent(abs(share))) if share is not None else ""
    measured = source_shares(answer, "decode")
    return {
        "engine": (answer.engine.name, ""),
        "TTFT": (duration(answer.ttft_s), apart["ttft"]),
        "TPOT": (duration(answer.tpot_s), apart["tpot"]),
        "output tokens/s": (number(answer.output_tokens_per_s), apart["throughput"]),
        "memory used": (memory(memory_used(answer.memory)), apart["memory"]),
        "memory left": (memory(answer.run.memory_left_bytes), ""),
        "decode measured": (percent(measured.get("measured", 0.0)) if measured else MISSING, ""),
        "verdict": (verdict_cell(answer), ""),
    }


def source_shares(answer: Evaluation, phase: Phase) -> dict[str, float]:
    """Share of a pass's operator time by where the number is from; empty where no such pass was priced."""
    cost = pass_of(answer, phase)
    total = sum(op.total_s for op in cost.ops) if cost else 0.0
    spent: dict[str, float] = {}
    for op in cost.ops if cost and total > 0 else ():
        spent[op.source] = spent.get(op.source, 0.0) + op.total_s / total
    return spent


def difference_frame(base: Evaluation, other: Evaluation, phase: Phase) -> pd.DataFrame:
    """Kinds of operators, the largest disagreement first. Columns: kind, base_ms, other_ms, difference_ms,
    share (of base), label."""
    rows = []
    for entry in differences(base, other, phase):
        change = signed(entry.difference_s, duration(abs(entry.difference_s)))
        share = entry.difference_s / entry.base_s if entry.base_s else float("nan")
        rows.append((entry.kind, ms(entry.base_s), ms(entry.other_s), ms(entry.difference_s), share, change))
    return pd.DataFrame(rows, columns=["kind", "base_ms", "other_ms", "difference_ms", "share", "label"])


def mapping_frame(base: Evaluation, other: Evaluation, phase: Phase) -> pd.DataFrame:
    """Which operators of each engine were put under which kind. Columns: kind, one column an engine, what counts."""
    named = {}
    for answer in (base, other):
        cost = pass_of(answer, phase)
        named[answer.engine.name] = operators_by_kind(cost) if cost else {}
    rows = [
        {"kind": kind}
        | {engine: _names(found.get(kind, ())) for engine, found in named.items()}
        | {"what counts": KINDS[kind]}
        for kind in KINDS
        if any(kind in found for found in named.values())
    ]
    return pd.DataFrame(rows, columns=["kind", *named, "what counts"])


def _names(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:MAX_NAMES])
    return f"{shown} and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else shown or "–"


def comparison_json(comparison: EngineComparison) -> dict[str, Any]:
    """For scripts: figures of every engine, differences by kind of operator in seconds, what is far apart."""
    base = comparison.base
    return {
        "scenario": to_json(base.scenario),
        "engine": _engine_json(base, None),
        "others": [_engine_json(answer, base) for answer in comparison.answered],
        "unanswered": [
            {"engine": entry.engine, "version": entry.version, "reason": entry.reason}
            for entry in comparison.unanswered
        ],
        "words": agreement(comparison),
    }


def _engine_json(answer: Evaluation, base: Evaluation | None) -> dict[str, Any]:
    engine = answer.engine
    found: dict[str, Any] = {
        "name": engine.name,
        "version": engine.version,
        "source": engine.source,
        "ttft_ms": finite(ms(answer.ttft_s)),
        "tpot_ms": finite(ms(answer.tpot_s)),
        "output_tokens_per_s": finite(answer.output_tokens_per_s),
        "memory_used_gib": gib(memory_used(answer.memory)),
        "memory_left_gib": finite(gib(answer.run.memory_left_bytes)),
        "verdict": verdict_json(answer.verdict),
        "source_shares": {phase: source_shares(answer, phase) for phase in ("prefill", "decode")},
        "warnings": list(answer.warnings),
    }
    if base is not None:
        found["deltas"] = {figure: gap(base, answer, figure).share for figure in FIGURES}
        found["far_apart"] = [
            {"figure": entry.figure, "words": gap_words(base, answer, entry)} for entry in large_gaps(base, answer)
        ]
        found["differences_s"] = {
            phase: [asdict(entry) | {"difference_s": entry.difference_s} for entry in differences(base, answer, phase)]
            for phase in ("prefill", "decode")
        }
    return found
