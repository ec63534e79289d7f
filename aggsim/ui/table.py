"""Tables with their CSV."""

from __future__ import annotations

import pandas as pd
import streamlit as st

_FIRST = ["mark", "batch_size", "concurrency", "ttft", "tpot", "token/s", "token/s/device", "stopped_by"]
MAX_ROWS = 500
"""Shown on screen; the CSV has all."""


def draw_result_table(frame: pd.DataFrame, file_name: str) -> None:
    """report.tables.result_table: what differs between the batch sizes first, the chosen one marked."""
    shown = frame.assign(mark=["✓" if chosen else "" for chosen in frame["chosen"]])
    order = [*_FIRST, *(name for name in frame.columns if name not in (*_FIRST, "chosen"))]
    st.dataframe(
        shown,
        hide_index=True,
        column_order=order,
        height=min(36 * (len(shown) + 1), 360),
        column_config={
            "mark": st.column_config.TextColumn("", help="✓: the answer shown above", width=30),
            "ttft": st.column_config.NumberColumn(help="Mean time to first token (ms)", format="%.3f"),
            "tpot": st.column_config.NumberColumn(help="Mean time per output token (ms)", format="%.3f"),
            "token/s": st.column_config.NumberColumn(help="Output tokens per second", format="%.3f"),
            "token/s/device": st.column_config.NumberColumn(help="Output tokens per second and device", format="%.3f"),
            "stopped_by": st.column_config.TextColumn(help="The limit that this batch size breaks"),
        },
    )
    draw_csv(frame, file_name)


def draw_step_table(frame: pd.DataFrame, file_name: str) -> None:
    """report.timeline_tables.step_table; long ones are cut on screen, not in the CSV."""
    milliseconds = st.column_config.NumberColumn(format="%.3f")
    st.dataframe(
        frame.head(MAX_ROWS),
        hide_index=True,
        height=min(36 * (len(frame) + 1), 360),
        column_config=dict.fromkeys((name for name in frame.columns if name.endswith("_ms")), milliseconds),
    )
    if len(frame) > MAX_ROWS:
        st.caption(f"First {MAX_ROWS} of {len(frame):,} rows; the CSV has all of them.")
    draw_csv(frame, file_name)


def draw_csv(frame: pd.DataFrame, file_name: str) -> None:
    """Download of a table, full precision."""
    st.download_button(
        "Download CSV",
        frame.to_csv(index=False),
        file_name,
        "text/csv",
        key=f"csv-{file_name}",
        icon=":material/download:",
        on_click="ignore",
    )
