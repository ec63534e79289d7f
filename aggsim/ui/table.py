"""Tables with their CSV."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from aggsim.report.columns import HELP
from aggsim.ui.download import csv_text, offer_table

_FIRST = [
    *("mark", "asked requests/s", "batch_size", "concurrency", "ttft", "tpot", "token/s", "token/s/device"),
    *("prompt tokens/s", "requests/s", "stopped_by"),
]
_THREE_DECIMALS = ("ttft", "tpot", "token/s", "token/s/device", "prompt tokens/s", "requests/s", "asked requests/s")
MAX_ROWS = 500
"""Shown on screen; the CSV has all."""


def explained(frame: pd.DataFrame, config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a table's columns, each with what it means; help given there stays."""
    found: dict[str, Any] = {}
    for name in frame.columns:
        column = config.get(name) or st.column_config.Column()
        found[name] = column | {"help": column.get("help") or HELP.get(name)}
    return found


def draw_result_table(frame: pd.DataFrame, file_name: str) -> None:
    """report.tables.result_table: what differs between the batch sizes first, the chosen one marked."""
    shown = frame.assign(mark=["✓" if chosen else "" for chosen in frame["chosen"]])
    first = [name for name in _FIRST if name in shown]
    order = [*first, *(name for name in frame.columns if name not in (*first, "chosen"))]
    st.dataframe(
        shown,
        hide_index=True,
        column_order=order,
        height=min(36 * (len(shown) + 1), 360),
        column_config=explained(
            shown,
            dict.fromkeys(_THREE_DECIMALS, st.column_config.NumberColumn(format="%.3f"))
            | {"mark": st.column_config.TextColumn("", width=30)},
        ),
    )
    draw_csv(frame, file_name)


def draw_step_table(frame: pd.DataFrame, file_name: str) -> None:
    """report.timeline_tables.step_table; long ones are cut on screen, not in the CSV."""
    milliseconds = st.column_config.NumberColumn(format="%.3f")
    st.dataframe(
        frame.head(MAX_ROWS),
        hide_index=True,
        height=min(36 * (len(frame) + 1), 360),
        column_config=explained(
            frame, dict.fromkeys((name for name in frame.columns if name.endswith("_ms")), milliseconds)
        ),
    )
    if len(frame) > MAX_ROWS:
        st.caption(f"First {MAX_ROWS} of {len(frame):,} rows; the CSV has all of them.")
    draw_csv(frame, file_name)


def draw_csv(frame: pd.DataFrame, file_name: str) -> None:
    """Download of a table, full precision."""
    offer_table(frame, file_name)
    st.download_button(
        "Download CSV",
        partial(csv_text, frame),
        file_name,
        "text/csv",
        key=f"csv-{file_name}",
        icon=":material/download:",
        on_click="ignore",
    )
