"""python -m aggsim fit, and a law from a file for the other commands"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from aggsim.cli.jsonl import dump
from aggsim.cli.listing import table
from aggsim.errors import InputError
from aggsim.parameters import PARAMETER, LinearLaw
from aggsim.planning.law_fit import LawFit, fit_law
from aggsim.planning.law_rows import read_measurements
from aggsim.report.law_words import fit_json, fit_title, fit_words, law_words, left_out_words, notes, worst_rows
from aggsim.scenario import Scenario
from aggsim.share_law import law_from_toml, law_query, law_toml

__all__ = ["law_at", "run", "with_law"]

MAX_BYTES = 20_000_000
ROWS_LEFT_OUT = 2


def run(options: argparse.Namespace) -> int:
    """Fit a law to a CSV of measurements; exit status 2 where rows were left out."""
    measurements = read_measurements(_text("file", options.file))
    known = law_at(options.law) if options.law else LinearLaw(fixed_s=1.0)
    memory = LinearLaw(
        fixed_s=1.0,
        memory_gib=_checked("memory_gib", options.memory_gib, known.memory_gib),
        gib_per_ctx=_checked("gib_per_ctx", options.gib_per_ctx, known.gib_per_ctx),
    )
    fit = fit_law(measurements, errors=options.errors, memory=memory)
    if options.toml:
        _write(options.toml, law_toml(fit.law))
    print(dump(fit_json(fit, measurements), indent=2) if options.json else _summary(fit))
    if not measurements.problems:
        return 0
    print(f"aggsim: {left_out_words(measurements)}", file=sys.stderr)
    for problem in measurements.problems:
        print(f"aggsim: {problem}", file=sys.stderr)
    return ROWS_LEFT_OUT


def with_law(scenario: Scenario, toml: str | None) -> Scenario:
    """Asked of engine linear with the law of that file; None: as it is."""
    return scenario.replace(engine="linear", law=law_at(toml)) if toml else scenario


def law_at(path: str) -> LinearLaw:
    """The law of a TOML file."""
    return law_from_toml(_text("law", path))


def _checked(name: str, given: float | None, otherwise: float) -> float:
    """A coefficient of memory from the command line."""
    if given is None:
        return otherwise
    law: LinearLaw = PARAMETER["law"].check({"fixed_s": 1.0, name: given})
    value: float = getattr(law, name)
    return value


def _summary(fit: LawFit) -> str:
    rows = [
        {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in row.items()}
        for row in worst_rows(fit)
    ]
    parts = [
        f"Law    {law_words(fit.law)}",
        f"Fit    {fit_words(fit)}",
        f"       {fit_title(fit)}",
        f"Link   {law_query(fit.law)}",
        *(f"Note   {note}" for note in notes(fit)),
        "",
        "Worst rows",
        table(rows),
    ]
    return "\n".join(parts)


def _text(field: str, path: str) -> str:
    try:
        with open(sys.stdin.fileno() if path == "-" else path, "rb", closefd=path != "-") as file:
            return file.read(MAX_BYTES + 1).decode("utf-8-sig", "replace")
    except OSError as error:
        raise InputError(field, path, f"a file that can be read ({error.strerror})") from error


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError("toml", path, f"a file that can be written ({error.strerror})") from error
