"""Accuracy as numbers by engine and by kind of row, and as DataFrames for the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd

from aggsim.planning.accuracy import Score, score
from aggsim.planning.measurements import Measurement, Times

__all__ = [
    "BREAKDOWNS",
    "ENGINE_TITLES",
    "error_table",
    "predictions_table",
    "scored",
    "summary_json",
    "worst_rows",
]

TimesOf = Callable[[str, Measurement], Times | None]

ENGINE_TITLES = {
    "silicon": "silicon",
    "analytic": "analytic",
    "uncorrected": "analytic, no corrections",
    "auto": "auto",
    "label": "AIConfigurator, label formats",
    "native": "AIConfigurator, checkpoint's formats",
}
BREAKDOWNS: dict[str, Callable[[Measurement], str]] = {
    "system": lambda row: row.system,
    "model": lambda row: row.checkpoint,
    "backend": lambda row: row.backend,
    "load": lambda row: row.load,
}
_QUANTITIES = ("tpot", "ttft_no_queue", "ttft")


def scored(rows: Iterable[Measurement], split: str) -> list[Measurement]:
    """The rows of a half that count."""
    return [row for row in rows if row.split == split and not row.suspect_mtp]


def summary_json(rows: Sequence[Measurement], engines: Sequence[str], times_of: TimesOf) -> dict[str, Any]:
    """{fit, report} → engine → errors as fractions, and by system, model, backend and load."""
    return {
        split: {
            engine: _flat(score(scored(rows, split), lambda row, engine=engine: times_of(engine, row)))  # type: ignore[misc]
            | {"by": {name: _by(scored(rows, split), engine, key, times_of) for name, key in BREAKDOWNS.items()}}
            for engine in engines
        }
        for split in ("fit", "report")
    }


def error_table(
    rows: Sequence[Measurement] | dict[str, list[Measurement]], engines: Sequence[str], times_of: TimesOf
) -> pd.DataFrame:
    """Percent. One line an engine, or of one engine one line for each part of the rows."""
    if isinstance(rows, dict):
        lines = [{"Rows of": name} | _percent(part, engines[0], times_of) for name, part in rows.items()]
    else:
        lines = [{"Engine": ENGINE_TITLES[engine]} | _percent(rows, engine, times_of) for engine in engines]
    return pd.DataFrame(lines)


def _percent(rows: Sequence[Measurement], engine: str, times_of: TimesOf) -> dict[str, Any]:
    found = score(rows, lambda row: times_of(engine, row))
    line: dict[str, Any] = {"Rows": found["tpot"].count}
    for quantity, title in (("tpot", "TPOT"), ("ttft_no_queue", "TTFT unqueued"), ("ttft", "TTFT")):
        part = found[quantity]
        line[f"{title} median %"] = 100 * part.median_ape
        line[f"{title} bias %"] = 100 * part.bias
        line[f"{title} P90 %"] = 100 * part.p90_ape
    return line


def predictions_table(rows: Iterable[Measurement], engine: str, times_of: TimesOf) -> pd.DataFrame:
    """Measured and predicted, a line a row that has a prediction."""
    lines = [
        {
            "id": row.id,
            "model": row.checkpoint,
            "system": row.system,
            "backend": row.backend,
            "load": row.load,
            "users": row.users,
            "layout": f"tp {row.tp}, dp {row.dp}, ep {row.ep}",
            "lengths": f"{row.input_tokens} in, {row.output_tokens} out",
            "measured TTFT": row.measured.ttft_ms,
            "predicted TTFT": times.ttft_ms,
            "measured TPOT": row.measured.tpot_ms,
            "predicted TPOT": times.tpot_ms,
        }
        for row in rows
        if (times := times_of(engine, row)) is not None
    ]
    return pd.DataFrame(lines)


def worst_rows(table: pd.DataFrame, quantity: str, count: int = 15) -> pd.DataFrame:
    """The rows farthest off by ratio, worst first."""
    ratio = table[f"predicted {quantity}"] / table[f"measured {quantity}"]
    worst = table.assign(**{"error %": 100 * (ratio - 1)}, off=ratio.where(ratio > 1, 1 / ratio))
    return worst.sort_values("off", ascending=False).head(count).drop(columns="off")


def _flat(found: dict[str, Score]) -> dict[str, Any]:
    flat: dict[str, Any] = {"rows": found["tpot"].count}
    for quantity in _QUANTITIES:
        for field in ("median_ape", "mean_ape", "bias", "p90_ape"):
            value = getattr(found[quantity], field)
            flat[f"{quantity}_{field}"] = round(value, 6) if value == value else None
    return flat


def _by(
    rows: Sequence[Measurement], engine: str, key: Callable[[Measurement], str], times_of: TimesOf
) -> dict[str, dict[str, Any]]:
    return {
        name: _flat(score([row for row in rows if key(row) == name], lambda row: times_of(engine, row)))
        for name in sorted({key(row) for row in rows})
    }
