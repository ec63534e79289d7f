"""Tables of the Accuracy page."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from aggsim.planning.accuracy_store import times_of
from aggsim.planning.measurements import Measurement
from aggsim.report.accuracy_tables import predictions_table, worst_rows
from aggsim.share import encode

__all__ = ["draw_errors", "draw_suspects", "draw_worst"]

_PERCENT = st.column_config.NumberColumn(format="%.1f")
_MILLISECONDS = st.column_config.NumberColumn(format="%.3g")
_OPEN = st.column_config.LinkColumn("Plan", display_text="open", help="The row as a question to Plan.")


def draw_errors(errors: pd.DataFrame, title: str) -> None:
    """accuracy_tables.error_table."""
    st.subheader(title)
    st.dataframe(errors, hide_index=True, column_config=dict.fromkeys(errors.columns[2:], _PERCENT))


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
    shown = table.assign(Plan=[links[row_id] for row_id in table["id"]]).drop(columns="id")
    times = [name for name in shown.columns if name.startswith(("measured", "predicted"))]
    config = dict.fromkeys(times, _MILLISECONDS) | {"Plan": _OPEN, "error %": _PERCENT}
    st.dataframe(shown, hide_index=True, column_config=config)
