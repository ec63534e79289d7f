"""python -m aggsim search"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from aggsim import service
from aggsim.cli.jsonl import dump, model_at, tell_notes
from aggsim.cli.listing import table
from aggsim.errors import EngineError, InputError
from aggsim.models.spec import ModelSpec
from aggsim.planning.deployment import Load, SizingResult
from aggsim.planning.search_result import Candidate, SearchResult
from aggsim.report.format import count, duration, number
from aggsim.report.search_json import search_json, sizing_json
from aggsim.report.search_words import (
    candidate_words,
    load_words,
    rejected_words,
    search_headline,
    sizing_words,
    spare_words,
)
from aggsim.report.words import stop_words
from aggsim.scenario import PARAMETER
from aggsim.scenario_own import named
from aggsim.scenario_search import SearchQuestion
from aggsim.service_search import is_slow, takes_long
from aggsim.share_search import decode_search
from aggsim.units import ms

__all__ = ["run"]

TOP_OF_TABLE = 10
PROGRESS_S = 1.0


def run(options: argparse.Namespace) -> int:
    """One search as text or JSON, with the smallest deployment for a load where one is given."""
    if options.top is not None and options.top < 1:
        raise InputError("top", options.top, "a whole number from 1")
    decoded = decode_search(options.query)
    tell_notes(decoded)
    question, model = _question(decoded.question, options.devices_list), model_at(decoded.question.base.model)
    load = _load(options)
    result = _searched(question, model)
    sizing = service.size(question, load, model=model) if load else None
    if options.json:
        shown = result.candidates[: options.top] if not is_slow(question.base) else ()
        evaluations = {c.scenario: service.evaluate(c.scenario, model=model) for c in shown}
        form: dict[str, Any] = search_json(result, evaluations, options.top)
        print(dump(form | ({"deployment": sizing_json(sizing)} if sizing else {}), indent=2))
    else:
        print("\n".join(_text(result, options.top or TOP_OF_TABLE) + (_sizing_text(sizing) if sizing else [])))
    return 0


def _question(question: SearchQuestion, devices_list: str | None) -> SearchQuestion:
    """The link's question with the counts of --devices-list in place of its own."""
    if devices_list is None:
        return question
    counts = tuple(PARAMETER["devices"].parse(text) for text in devices_list.split(","))
    return SearchQuestion(base=question.base, axes=tuple({**question.varied, "devices": counts}.items()))


def _load(options: argparse.Namespace) -> Load | None:
    per_s, requests_per_s = options.target_tokens_per_s, options.target_requests_per_s
    if per_s is None and requests_per_s is None:
        return None
    return Load(output_tokens_per_s=per_s, requests_per_s=requests_per_s)


def _searched(question: SearchQuestion, model: ModelSpec | None) -> SearchResult:
    """At once, or with the progress on standard error where the engine takes its time."""
    if not takes_long(question.base):
        return service.search(question, model=model)
    job = service.start_search(question, model=model)
    try:
        while job.is_running:
            job.join(PROGRESS_S)
            left = f", about {duration(job.left_s)} left" if job.left_s else ""
            done = f"{number(job.num_done)} of {count(job.num_layouts, 'layout')}"
            print(f"aggsim: {done}, {count(job.num_passes, 'pass', 'passes')} priced{left}", file=sys.stderr)
    finally:
        job.cancel()
        job.join()
    if job.error:
        raise EngineError(question.base.engine, str(job.error))
    return job.result()


def _text(result: SearchResult, top: int) -> list[str]:
    lines = [search_headline(result)]
    if result.candidates:
        shown = result.candidates[:top]
        rows = [_row(candidate, result) for candidate in shown]
        lines += ["", table(rows)]
        if len(result.candidates) > len(shown):
            lines.append(f"{number(len(result.candidates) - len(shown))} more: --top {len(result.candidates)}")
        if shown[0].next_stop:
            lines += ["", stop_words(shown[0].scenario, shown[0].next_stop)]
    if result.rejected:
        lines += ["", "Rejected", *_short(rejected_words(result), top)]
    lines += ["", f"{count(result.evaluated, 'point')} evaluated in {duration(result.seconds)}."]
    warnings = dict.fromkeys(warning for candidate in result.candidates for warning in candidate.warnings)
    return [*lines, *(f"Note: {warning}" for warning in warnings)]


def _short(lines: Sequence[str], top: int) -> list[str]:
    more = [f"… and {number(len(lines) - top)} more"] if len(lines) > top else []
    return [*lines[:top], *more]


def _row(candidate: Candidate, result: SearchResult) -> dict[str, Any]:
    best = candidate.best or candidate.tried[0]
    return {
        "layout": candidate_words(candidate, result.question),
        "batch": best.batch_size,
        "concurrency": best.concurrency,
        "TTFT ms": ms(best.ttft_s),
        "TPOT ms": ms(best.tpot_s),
        "tokens/s": best.output_tokens_per_s,
        "per device": best.output_tokens_per_s / candidate.layout.num_devices,
        "prompt tokens/s": candidate.prompt_tokens_per_s,
        "requests/s": candidate.requests_per_s,
    }


def _sizing_text(sizing: SizingResult) -> list[str]:
    lines = ["", f"To carry {load_words(sizing)}"]
    for option in sizing.sizings:
        lines += [sizing_words(option), f"  {spare_words(option)}"]
    return [*lines, *(f"{named(device)}: no layout meets the limits." for device in sizing.without)]
