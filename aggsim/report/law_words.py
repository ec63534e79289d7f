"""A law of engine linear and how well it fits measurements: words and JSON, without loading what draws tables."""

from __future__ import annotations

import statistics
from dataclasses import asdict
from typing import Any, Final

from aggsim.planning.law_fit import LawFit
from aggsim.planning.law_rows import Measurements
from aggsim.report.format import count, number, percent
from aggsim.report.json_form import error_json
from aggsim.scenario import LinearLaw
from aggsim.share_law import law_query
from aggsim.units import ms

__all__ = [
    "TERM_WORDS",
    "fit_json",
    "fit_rows",
    "fit_title",
    "fit_words",
    "law_words",
    "left_out_words",
    "notes",
    "proposal_words",
    "worst_rows",
]

TERM_WORDS: Final[dict[str, str]] = {
    "fixed_s": "per step",
    "per_token_s": "per new token",
    "per_ctx_s": "per token of context",
    "per_token_ctx_s": "per new token × token of context",
}
_PREFIXES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"), (1e-12, "ps"), (1e-15, "fs"))


def law_words(law: LinearLaw) -> str:
    """E.g. "8 ms per step + 5 µs per new token + 60 ns per token of context; memory 20 GiB − …"."""
    terms = [f"{_si(value)} {words}" for name, words in TERM_WORDS.items() if (value := float(getattr(law, name))) > 0]
    memory = f"{number(law.memory_gib)} GiB for the KV cache"
    if law.gib_per_ctx:
        memory += f", {number(law.gib_per_ctx * 1000)} GiB per 1,000 tokens of context"
    return f"{' + '.join(terms)}; {memory}"


def proposal_words(engine: str, fit: LawFit) -> str:
    """What a law to start from is worth."""
    return (
        f"To start from: the law closest to {number(len(fit.rows))} passes as engine {engine} prices them, with its "
        f"memory (R² {_r2(fit.r2)}, half of the passes within {percent(_median_error(fit))}). Put in what you measured."
    )


def fit_title(fit: LawFit) -> str:
    """The finding: "Half of the rows are within 2% of the law; the worst, line 7, is off by −31%"."""
    middle, worst = _median_error(fit), fit.worst(1)[0]
    off = fit.relative[worst]
    row = fit.rows[worst]
    sign = "+" if off >= 0 else "−"
    return (
        f"Half of the {number(len(fit.rows))} rows are within {percent(middle)} of the law; "
        f"the worst one, line {row.line}, by {sign}{percent(abs(off))}"
    )


def fit_words(fit: LawFit) -> str:
    """R² over all rows and in each phase, and what was minimised."""
    parts = [f"R² {_r2(fit.r2)}"]
    if len(fit.r2_by_phase) > 1:
        parts += [f"{phase} {_r2(value)}" for phase, value in fit.r2_by_phase.items()]
    what = "relative errors" if fit.errors == "relative" else "errors in seconds"
    return f"{', '.join(parts)}; least squares of {what}, no coefficient below zero"


def notes(fit: LawFit) -> list[str]:
    """What to know before the law is believed, one sentence each."""
    found = []
    if fit.same:
        found.append(
            f"These rows cannot tell {' and '.join(fit.same)} apart: measure other combinations of requests, query_len "
            "and seq_len, in both phases."
        )
    missing = [phase for phase in ("prefill", "decode") if phase not in fit.r2_by_phase]
    found += [f"No row is of phase {phase}: what the law says of it is extrapolated." for phase in missing]
    if not fit.law.memory_gib:
        found.append("Times say nothing of memory: give memory_gib and gib_per_ctx, else nothing fits.")
    return found


def left_out_words(measurements: Measurements) -> str:
    """How many rows were not used."""
    rows, bad = len(measurements.rows), len(measurements.problems)
    return f"{count(bad, 'row')} of {number(rows + bad)} left out"


def fit_rows(fit: LawFit) -> list[dict[str, Any]]:
    """Every row: line, phase, error (law ÷ measured − 1), measured_ms, law_ms, requests, query_len, seq_len."""
    return [
        {
            "line": row.line,
            "phase": row.phase,
            "error": error,
            "measured_ms": ms(row.latency_s),
            "law_ms": ms(fitted),
            "requests": row.requests,
            "query_len": row.query_len,
            "seq_len": row.seq_len,
        }
        for row, fitted, error in zip(fit.rows, fit.fitted_s, fit.relative, strict=True)
    ]


def worst_rows(fit: LawFit, count: int = 5) -> list[dict[str, Any]]:
    """Of fit_rows those that the law misses by most, worst first."""
    rows = fit_rows(fit)
    return [rows[i] for i in fit.worst(count)]


def fit_json(fit: LawFit, measurements: Measurements, rows: int = 5) -> dict[str, Any]:
    """The law, its part of a link, how well it fits, the worst rows and what was left out."""
    return {
        "law": asdict(fit.law),
        "link": law_query(fit.law),
        "rows": len(fit.rows),
        "errors": fit.errors,
        "r2": fit.r2,
        "r2_by_phase": fit.r2_by_phase,
        "median_error": _median_error(fit),
        "indistinct": list(fit.same),
        "notes": notes(fit),
        "worst": worst_rows(fit, rows),
        "left_out": [error_json(problem)["error"] for problem in measurements.problems],
    }


def _median_error(fit: LawFit) -> float:
    return statistics.median(abs(error) for error in fit.relative)


def _r2(value: float | None) -> str:
    return "unknown (all rows measured the same)" if value is None else number(value, 4)


def _si(seconds: float) -> str:
    """A time of any size with the prefix that leaves 1 to 1,000."""
    factor, unit = next(((f, u) for f, u in _PREFIXES if seconds >= f), _PREFIXES[-1])
    return f"{number(float(f'{seconds / factor:.6g}'))} {unit}"
