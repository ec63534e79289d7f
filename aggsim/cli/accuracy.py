"""python -m aggsim accuracy: predict every measured row and say how far off the engines are."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import sys
from pathlib import Path
from typing import Any

from aggsim.cli.jsonl import dump
from aggsim.errors import InputError
from aggsim.planning.accuracy import ENGINE_NAMES, Prediction, engine_versions, predict_all
from aggsim.planning.accuracy_fit import write_fit
from aggsim.planning.accuracy_search import fit_overheads
from aggsim.planning.accuracy_store import write_csv, write_store
from aggsim.planning.measurements import Measurement, Times, load_measurements
from aggsim.report.accuracy_tables import ENGINE_TITLES, scored, summary_json
from aggsim.report.accuracy_words import BLIND

__all__ = ["run"]

COLUMNS = {
    "rows": ("rows", 0),
    "TPOT med": ("tpot_median_ape", 1),
    "MAPE": ("tpot_mean_ape", 1),
    "bias": ("tpot_bias", 1),
    "P90": ("tpot_p90_ape", 1),
    "TTFT nq med": ("ttft_no_queue_median_ape", 1),
    "TTFT med": ("ttft_median_ape", 1),
    "TTFT bias": ("ttft_bias", 1),
    "TTFT P90": ("ttft_p90_ape", 1),
}


def run(options: argparse.Namespace) -> int:
    """The table, or with --json everything. Raises EngineError without the measurements."""
    rows = load_measurements()
    if options.fit:
        return _fit(scored(rows, "fit"), json=options.json, store=options.store)
    predictions = predict_all(rows, progress=_progress if sys.stderr.isatty() else None)
    by_key = {(p.engine, p.id): p.times for p in predictions}

    def times_of(engine: str, row: Measurement) -> Times | None:
        return row.aic[engine] if engine in row.aic else by_key[engine, row.id]

    if options.csv:
        _write(predictions, Path(options.csv))
    if options.store:
        write_store(predictions, engine_versions())
    summary = summary_json(rows, tuple(ENGINE_TITLES), times_of)
    if options.json:
        print(dump(summary))
    else:
        print(_text(summary))
        print(_unpriced(predictions))
    return 0


def _fit(rows: list[Measurement], *, json: bool, store: bool) -> int:
    """Numbers of the fit half only."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    fit = fit_overheads(rows, date=today, progress=_progress if sys.stderr.isatty() else None)
    if store:
        write_fit(fit)
    found = dataclasses.asdict(fit)
    if json:
        print(dump(found))
    else:
        overheads = found.pop("overheads")
        print("\n".join(f"{name:<16}{value}" for name, value in (overheads | found).items()))
    return 0


def _write(predictions: list[Prediction], path: Path) -> None:
    try:
        write_csv(predictions, path)
    except OSError as error:
        raise InputError("csv", str(path), f"a file that can be written ({error.strerror})") from error


def _text(summary: dict[str, Any]) -> str:
    lines = ["Errors in percent: predicted ÷ measured − 1; med, P90: of its size. nq: rows that did not queue.", BLIND]
    for split, engines in summary.items():
        lines += ["", f"{split} half", _head()]
        lines += [_line(ENGINE_TITLES[name], found) for name, found in engines.items()]
    for name in ("system", "model", "backend", "load"):
        lines += ["", f"report half, engine auto, by {name}", _head()]
        lines += [_line(key, found) for key, found in summary["report"]["auto"]["by"][name].items()]
    return "\n".join(lines)


def _head() -> str:
    return f"{'':<38}" + "".join(f"{title:>12}" for title in COLUMNS)


def _line(title: str, found: dict[str, Any]) -> str:
    return f"{title:<38}" + "".join(f"{_cell(found[key], digits):>12}" for key, digits in COLUMNS.values())


def _cell(value: float | None, digits: int) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.{digits}f}" if digits else f"{value:,}"


def _unpriced(predictions: list[Prediction]) -> str:
    missing = [p for p in predictions if p.engine == "silicon" and p.times is None]
    return (
        f"\nEngines: {', '.join(ENGINE_NAMES)}. silicon cannot price {len(missing)} rows (no measured operator table): "
        "auto takes analytic there."
    )


def _progress(share: float) -> None:
    print(f"\r{100 * share:.0f}%", end="" if share < 1 else "\n", file=sys.stderr, flush=True)
