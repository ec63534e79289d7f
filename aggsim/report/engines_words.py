"""Where engines disagree, in sentences."""

from __future__ import annotations

import math

from aggsim.planning.compare_engines import (
    LARGE_GAP,
    EngineComparison,
    Gap,
    Phase,
    differences,
    large_gaps,
    pass_of,
)
from aggsim.planning.evaluation import Evaluation
from aggsim.report.format import duration, memory, number, percent
from aggsim.report.words import LIMIT_NAMES, limit_words

__all__ = [
    "agreement",
    "differences_title",
    "gap_words",
    "headline",
    "left_out",
    "signed",
    "verdict_cell",
]

CANCELLED = 3.0
"""Differences of all kinds together, without their signs, over the difference of the pass: beyond it they cancel."""
FIGURE_NAMES = {"ttft": "TTFT", "tpot": "TPOT", "throughput": "Output", "memory": "Memory used"}


def signed(value: float, text: str) -> str:
    """A text of an absolute value with its sign: "+1.2 ms", "−1.2 ms"."""
    return f"{'−' if value < 0 else '+'}{text}"


def headline(comparison: EngineComparison) -> str:
    """How many engines answered, and at which batch size."""
    base, batch = comparison.base, number(comparison.base.run.batch_size)
    names = [answer.engine.name for answer in comparison.answered]
    if not names:
        return f"No other engine answers this scenario; {base.engine.name} stands alone at batch {batch}."
    large = [name for name, answer in zip(names, comparison.answered, strict=True) if large_gaps(base, answer)]
    if not large:
        agree = "agrees" if len(names) == 1 else "agree"
        return f"{_listed(names)} {agree} with {base.engine.name} to within {percent(LARGE_GAP)} at batch {batch}."
    differ = "differs" if len(large) == 1 else "differ"
    return f"{_listed(large)} {differ} from {base.engine.name} by more than {percent(LARGE_GAP)} at batch {batch}."


def agreement(comparison: EngineComparison) -> list[str]:
    """One line for each figure that an engine puts more than LARGE_GAP away from the one on screen."""
    lines = []
    for answer in comparison.answered:
        lines += [gap_words(comparison.base, answer, found) for found in large_gaps(comparison.base, answer)]
        if answer.verdict.ok != comparison.base.verdict.ok:
            lines.append(
                f"{comparison.base.engine.name}: {verdict_cell(comparison.base)}; "
                f"{answer.engine.name}: {verdict_cell(answer)}."
            )
    return lines


def gap_words(base: Evaluation, other: Evaluation, found: Gap) -> str:
    """E.g. "TTFT: silicon says 820 ms, 35% less than analytic (1,260 ms); the largest cause is matmul in prefill:
    −310 ms a pass."."""
    write = {"throughput": lambda value: f"{number(value)} tokens/s", "memory": memory}.get(found.figure, duration)
    one, two = base.engine.name, other.engine.name
    name = FIGURE_NAMES[found.figure]
    if found.share is None:
        if not (math.isfinite(found.base) and math.isfinite(found.other)):
            return f"{name}: {two} says {write(found.other)}, {one} {write(found.base)}."
        return f"{name}: {two} says {write(found.other)}, and {one} nothing."
    way = "more" if found.share > 0 else "less"
    apart = f"{percent(abs(found.share))} {way} than {one} ({write(found.base)})"
    return f"{name}: {two} says {write(found.other)}, {apart}; {_cause_words(found)}."


def _cause_words(found: Gap) -> str:
    cause = found.cause
    if cause is None:
        return "no kind of operators explains it by itself"
    if cause.phase is None:
        change = signed(cause.difference, memory(abs(cause.difference)))
        return f"the largest cause is {cause.what}: {change} per device"
    change = signed(cause.difference, duration(abs(cause.difference)))
    return f"the largest cause is {cause.what} in {cause.phase}: {change} a pass"


def left_out(comparison: EngineComparison) -> list[str]:
    """Engines that cannot answer, one line each with the reason."""
    return [f"{entry.engine}: {entry.reason.rstrip('.')}." for entry in comparison.unanswered]


def verdict_cell(evaluation: Evaluation) -> str:
    """Fits, or which limit stops it: "✗ TPOT 51.2 ms > 50 ms"."""
    verdict, scenario = evaluation.verdict, evaluation.scenario
    if verdict.ok:
        return "✓ meets the limits" if (scenario.ttft, scenario.tpot) != (None, None) else "✓ fits"
    if verdict.limit == "memory":
        return "✗ out of memory" + (f": {number(abs(verdict.margin))} GiB short" if verdict.margin is not None else "")
    if verdict.limit is None:
        return "✗ no answer"
    spent = evaluation.ttft_s if verdict.limit == "ttft" else evaluation.tpot_s
    value, limit = limit_words(scenario, verdict.limit, spent)
    return f"✗ {LIMIT_NAMES[verdict.limit]} {value} > {limit}"


def differences_title(base: Evaluation, other: Evaluation, phase: Phase) -> str:
    """The finding of a chart of differences, and what its bars are."""
    one, two = base.engine.name, other.engine.name
    first, second, entries = pass_of(base, phase), pass_of(other, phase), differences(base, other, phase)
    if first is None or second is None or not entries:
        return f"No {phase} pass to compare"
    moved = second.latency_s - first.latency_s
    share = percent(abs(moved / first.latency_s)) if first.latency_s > 0 else "∞%"
    length = "as long" if moved == 0 else f"{share} {'longer' if moved > 0 else 'shorter'}"
    finding = f"{phase.capitalize()}: {two} is {length}"
    total = sum(abs(entry.difference_s) for entry in entries)
    if total > CANCELLED * abs(moved):
        change = signed(entries[0].difference_s, duration(abs(entries[0].difference_s)))
        finding += f", since differences cancel; the largest is {entries[0].kind}, {change}"
    elif moved:
        mostly = next(entry.kind for entry in entries if entry.difference_s * moved > 0)
        finding += f", mostly {mostly}"
    return f"{finding}; milliseconds of one pass, {two} minus {one} ({duration(first.latency_s)})"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
