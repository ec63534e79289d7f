"""Where the figures of an answer are from: measured, interpolated, computed, or by a law that was fitted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from aggsim.forward.cost import ForwardCost, OpCost, Source
from aggsim.planning.evaluation import Evaluation
from aggsim.report.format import percent
from aggsim.report.theme import Theme

__all__ = [
    "MARKS",
    "SEVERAL",
    "SOURCES",
    "SOURCE_HELP",
    "Evidence",
    "engine_words",
    "evidence",
    "memory_words",
    "one_source",
    "shares",
    "source_shades",
    "source_words",
    "tile_source",
]

SOURCES: Final[dict[Source, str]] = {
    "measured": "measured",
    "interpolated": "interpolated",
    "analytic": "computed",
    "fitted": "fitted",
}
"""A source → its word on screen, best evidence first."""
SOURCE_HELP: Final[dict[str, str]] = {
    "measured": "timed on the real device at this shape",
    "interpolated": "between shapes that were timed",
    "computed": "by a formula, nothing was timed",
    "fitted": "by a law with few coefficients, given or fitted to measurements",
}
MARKS: Final[dict[str, str]] = {"measured": "●", "interpolated": "◆", "computed": "▲", "fitted": "■"}
"""The shapes of the charts, as characters: colour is never the only carrier."""
SEVERAL: Final = "several"
"""In place of a source where the parts of a sum have different ones."""
_SHADES: Final[dict[str, tuple[str, ...]]] = {
    "light": ("#16325C", "#4F7CB0", "#8FA9C9", "#7A4FA3"),
    "dark": ("#DCE7F5", "#8FA9C9", "#56708F", "#B794E0"),
}
"""The better the evidence, the stronger the shade; no colour of a concept. In the order of SOURCES."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What stands above the charts: who answered, why nobody better, and how much of the time is measured."""

    engine: str
    """E.g. "silicon 0.12.0"."""
    version: str
    """In full, for hover."""
    chosen: str
    """"chosen by auto", "" where it was asked for by name."""
    fallback: str
    """Why auto did not take a better one, a sentence; "" where there is none."""
    is_warning: bool
    """A better engine was asked and could not."""
    shares: tuple[str, ...]
    """For each reported pass, decode first, and for memory: what of it is from where."""


def shares(cost: ForwardCost) -> dict[str, float]:
    """Word on screen → share of the pass's operator time, best evidence first; those without any time are missing.

    A pass without operators, or without any time, is all of its own source.
    """
    spent = dict.fromkeys(SOURCES.values(), 0.0)
    for op in cost.ops:
        spent[SOURCES[op.source]] += op.total_s
    total = sum(spent.values())
    if total <= 0:
        return {SOURCES[cost.source]: 1.0}
    return {word: share for word, seconds in spent.items() if (share := seconds / total) > 0}


def evidence(evaluation: Evaluation) -> Evidence:
    """Of an answer."""
    engine = evaluation.engine
    fallback = engine.fallback or ""
    return Evidence(
        engine=engine_words(evaluation),
        version=f"{engine.name} {engine.version}",
        chosen="chosen by auto" if engine.asked == "auto" else "",
        fallback=fallback[:1].upper() + fallback[1:],
        is_warning=bool(fallback) and fallback in evaluation.warnings,
        shares=(
            *(
                source_words(name, cost)
                for name, cost in (("decode", evaluation.decode), ("prefill", evaluation.prefill))
                if cost is not None
            ),
            memory_words(evaluation),
        ),
    )


def engine_words(evaluation: Evaluation) -> str:
    """Name and version, without the versions of what the engine is built on."""
    return f"{evaluation.engine.name} {evaluation.engine.version.partition(',')[0]}".strip()


def source_words(name: str, cost: ForwardCost) -> str:
    """E.g. "79% of decode time is measured, 16% interpolated, 5% computed"; "All decode time is computed"."""
    found = shares(cost)
    if len(found) == 1:
        return f"All {name} time is {next(iter(found))}"
    (best, share), *others = found.items()
    rest = ", ".join(f"{percent(share)} {word}" for word, share in others)
    return f"{percent(share)} of {name} time is {best}, {rest}"


def memory_words(evaluation: Evaluation) -> str:
    """No engine measures memory."""
    return "Memory is by the law" if evaluation.engine.name == "linear" else "Memory is computed"


def tile_source(evaluation: Evaluation, *passes: str) -> str:
    """Who says a number that these passes decide, for hover; none: it is about memory."""
    costs = {"prefill": evaluation.prefill, "decode": evaluation.decode}
    told = [source_words(name, cost) for name in passes if (cost := costs[name]) is not None]
    return " ".join(
        f"{said}." for said in (f"Engine {engine_words(evaluation)}", *(told or [memory_words(evaluation)]))
    )


def one_source(ops: Iterable[OpCost]) -> str:
    """The word for the source that all have, or that they have several."""
    words = {SOURCES[op.source] for op in ops}
    return words.pop() if len(words) == 1 else SEVERAL


def source_shades(theme: Theme) -> dict[str, str]:
    """Word on screen → colour."""
    return dict(zip(SOURCES.values(), _SHADES[theme.name], strict=True)) | {SEVERAL: theme.other}
