"""python -m aggsim compare-engines"""

from __future__ import annotations

import argparse
import sys
from typing import Any, get_args

from aggsim import service
from aggsim.cli.jsonl import dump, model_at
from aggsim.cli.listing import table
from aggsim.planning.compare_engines import EngineComparison, Phase, differences
from aggsim.planning.evaluation import Evaluation
from aggsim.report.engines_tables import comparison_json, engine_rows
from aggsim.report.engines_words import agreement, headline, left_out, signed
from aggsim.report.format import duration
from aggsim.report.words import scenario_words
from aggsim.service_engines import compare_engines
from aggsim.share import decode

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """The query's answer beside those of the other engines, as text or JSON."""
    decoded = decode(options.query)
    for note in (*decoded.notes, *(f"{key} is not a known parameter: ignored" for key in decoded.unknown_keys)):
        print(f"aggsim: {note}", file=sys.stderr)
    model = model_at(decoded.scenario.model)
    base = service.evaluate(decoded.scenario, model=model)
    names = options.engines.split(",") if options.engines else None
    comparison = compare_engines(base, names, model=model)
    print(dump(comparison_json(comparison), indent=2) if options.json else _text(comparison))
    return 0


def _text(comparison: EngineComparison) -> str:
    base = comparison.base
    blocks = [
        f"{scenario_words(base)}\n{headline(comparison)}",
        table([{name: _cell(*cell) for name, cell in row.items()} for row in engine_rows(comparison)]),
    ]
    blocks += ["\n".join(lines) for lines in (agreement(comparison), left_out(comparison)) if lines]
    for answer in comparison.answered:
        for phase in get_args(Phase):
            if rows := _differences(base, answer, phase):
                blocks.append(f"{phase}, {answer.engine.name} minus {base.engine.name}\n{table(rows)}")
    return "\n\n".join(blocks)


def _cell(text: str, apart: str) -> str:
    return f"{text} ({apart})" if apart else text


def _differences(base: Evaluation, answer: Evaluation, phase: Phase) -> list[dict[str, Any]]:
    return [
        {
            "kind": entry.kind,
            base.engine.name: duration(entry.base_s),
            answer.engine.name: duration(entry.other_s),
            "difference": signed(entry.difference_s, duration(abs(entry.difference_s))),
        }
        for entry in differences(base, answer, phase)
    ]
