"""Tables of the Accuracy page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from aggsim.planning.accuracy_store import times_of
from aggsim.planning.measurements import Measurement
from aggsim.report.accuracy_tables import predictions_table, worst_rows
from aggsim.share import encode
from aggsim.ui.download import offer_table

__all__ = ["draw_errors", "draw_suspects", "draw_worst"]

_OPEN = st.column_config.LinkColumn("Plan", display_text="open", help="The row as a question to Plan.", width=60)
_QUANTITIES = {"TPOT": "TPOT", "TTFT unqueued": "TTFT of rows without queueing", "TTFT": "TTFT of all rows"}
_ERRORS = {
    "median": ("", "Half of the rows are off by less than this, in percent of the measured {}."),
    "bias": (" bias", "Median of predicted ÷ measured − 1, in percent, for {}: above 0 is too slow."),
    "P90": (" P90", "One row in ten is off by more than this, in percent of the measured {}."),
}
_ROW_HELP = {
    "model": "The checkpoint that was measured.",
    "system": "The device, as the measurements call it.",
    "backend": "The serving framework.",
    "users": "Requests in flight, a closed loop.",
    "layout": "Tensor, data and expert parallel degrees.",
    "lengths": "Input and output tokens.",
}


def _error_columns() -> dict[str, Any]:
    found = {}
    for quantity, words in _QUANTITIES.items():
        for error, (mark, help) in _ERRORS.items():
            name = quantity if quantity != "TTFT unqueued" else "nq" if mark else "TTFT nq"
            label = f"{name}{mark}"
            found[f"{quantity} {error} %"] = st.column_config.NumberColumn(
                label, help=help.format(words), format="%.1f", width=66
            )
    return found


def draw_errors(errors: pd.DataFrame, title: str) -> None:
    """accuracy_tables.error_table."""
    st.subheader(title)
    st.caption("Percent. nq: rows without queueing.")
    first = str(errors.columns[0])
    columns = _error_columns() | {
        first: st.column_config.TextColumn(first, help="Who predicts, or which rows.", width=210),
        "Rows": st.column_config.NumberColumn(help="Measured rows that it has a prediction for.", width=50),
    }
    st.dataframe(errors, hide_index=True, column_config=columns)
    offer_table(errors, f"aggsim-accuracy-{first.lower().replace(' ', '-')}.csv")


def draw_worst(table: pd.DataFrame, rows: Sequence[Measurement], quantity: str) -> None:
    """The rows farthest off, each with a link that opens it on Plan."""
    st.subheader(f"Farthest off in {quantity}")
    _draw_rows(worst_rows(table, quantity), rows)


def draw_suspects(rows: Sequence[Measurement], engine: str) -> None:
    """Rows that are not scored."""
    with st.expander(f"{len(rows)} rows that are not scored: speculative decoding is suspected that no label tells of"):
        _draw_rows(predictions_table(rows, engine, times_of), rows)


def _draw_rows(table: pd.DataFrame, rows: Sequence[Measurement]) -> None:
    links = {row.id: f"/?{encode(row.scenario())}" for row in rows}
    shown = table.assign(Plan=[links[row_id] for row_id in table["id"]]).drop(columns=["id", "load"])
    columns: dict[str, Any] = {name: st.column_config.TextColumn(help=text) for name, text in _ROW_HELP.items()}
    for name in shown.columns:
        if name.startswith(("measured", "predicted")):
            columns[name] = st.column_config.NumberColumn(
                f"{name}, ms", help=f"{name[0].upper()}{name[1:]} in milliseconds.", format="%.3g"
            )
    columns["error %"] = st.column_config.NumberColumn(help="Predicted ÷ measured − 1, in percent.", format="%.0f")
    st.dataframe(shown, hide_index=True, column_config=columns | {"Plan": _OPEN})
