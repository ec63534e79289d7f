"""The predictions of every measured row, kept with the versions of the engines that made them.

Written by `python -m aggsim accuracy --store`; read by the Accuracy page and by the error bars, so that neither has to
simulate. A test predicts a sample of them anew.
"""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Iterable
from pathlib import Path

from aggsim.planning.accuracy import PRICED, Prediction
from aggsim.planning.measurements import Measurement, Times

__all__ = ["read_predictions", "stored_versions", "times_of", "write_csv", "write_store"]

DATA = Path(__file__).parent / "data"
ROWS = DATA / "accuracy_rows.csv"
VERSIONS = DATA / "accuracy_versions.json"
COLUMNS = ("id", "engine", "ttft_ms", "tpot_ms")


def write_csv(predictions: Iterable[Prediction], path: Path) -> None:
    """id, engine, ttft_ms, tpot_ms of every row; empty where the engine cannot price it."""
    with path.open("w", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(COLUMNS)
        for found in predictions:
            lines.writerow((found.id, found.engine, *_spelled(found.times)))


def write_store(predictions: Iterable[Prediction], versions: dict[str, str]) -> None:
    """Replace what is kept: a line a row, two columns for each of PRICED. auto is not, it is one of the others."""
    by_id: dict[str, dict[str, Times | None]] = {}
    for found in predictions:
        by_id.setdefault(found.id, {})[found.engine] = found.times
    with ROWS.open("w", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(("id", *(f"{engine}_{time}" for engine in PRICED for time in COLUMNS[2:])))
        for row_id, times in by_id.items():
            lines.writerow((row_id, *(number for engine in PRICED for number in _spelled(times[engine]))))
    VERSIONS.write_text(json.dumps(versions, indent=2, sort_keys=True) + "\n")


@functools.cache
def stored_versions() -> dict[str, str]:
    """Engine → the version whose predictions are kept."""
    return dict(json.loads(VERSIONS.read_text()))


@functools.cache
def read_predictions() -> dict[tuple[str, str], Times | None]:
    """(engine, id) → what is kept, auto included: silicon where it answers, else analytic."""
    found: dict[tuple[str, str], Times | None] = {}
    with ROWS.open(newline="") as file:
        for row in csv.DictReader(file):
            for engine in PRICED:
                ttft, tpot = (row[f"{engine}_{time}"] for time in COLUMNS[2:])
                found[engine, row["id"]] = Times(ttft_ms=float(ttft), tpot_ms=float(tpot)) if tpot else None
            found["auto", row["id"]] = found["silicon", row["id"]] or found["analytic", row["id"]]
    return found


def times_of(engine: str, row: Measurement) -> Times | None:
    """What is kept of an engine of ours, or AIConfigurator's own prediction (label, native)."""
    return row.aic[engine] if engine in row.aic else read_predictions().get((engine, row.id))


def _spelled(times: Times | None) -> tuple[str, str]:
    return ("", "") if times is None else (f"{times.ttft_ms:.5g}", f"{times.tpot_ms:.5g}")
