"""Charts as Streamlit draws them: full width, our own look; their description becomes the text for screen readers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from aggsim.ui.download import offer_chart


def draw_chart(chart: Any) -> None:
    """An Altair chart of report.charts."""
    offer_chart(chart)
    st.altair_chart(chart, width="stretch", theme=None)


def draw_selectable(chart: Any, selection: str, key: str) -> tuple[float, float] | None:
    """A chart with an interval selection along x; the interval dragged, None: none yet."""
    offer_chart(chart)
    state = st.altair_chart(chart, width="stretch", theme=None, key=key, on_select="rerun", selection_mode=selection)
    intervals = state["selection"].get(selection) or {}
    begin, end = next(iter(intervals.values()), (0.0, 0.0))
    return (float(begin), float(end)) if end > begin else None


def draw_clickable(chart: Any, selection: str, key: str, on_select: Callable[[], None]) -> None:
    """A chart with a point selection; the callback finds what was clicked under st.session_state[key]."""
    offer_chart(chart)
    st.altair_chart(chart, width="stretch", theme=None, key=key, on_select=on_select, selection_mode=selection)
