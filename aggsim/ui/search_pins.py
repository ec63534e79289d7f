"""Rows of the Search page's table pinned for Compare instead of opened on Plan."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from aggsim.scenario import Scenario
from aggsim.share_compare import MAX_SCENARIOS
from aggsim.ui import pin

PIN_TABLE = "search-top-pins"
"""Key of the table while its rows are pinned."""
_CHOSEN = "_search_pins_chosen"
_OPEN, _PIN = "opens it on Plan", "pins it to compare"


def draw_row_action() -> bool:
    """The table's title, and what choosing a row does. True: it pins."""
    words, control = st.columns([3, 2], vertical_alignment="center")
    with control:
        chosen = st.segmented_control(
            "Choosing a row",
            [_OPEN, _PIN],
            default=_OPEN,
            key="search-row-action",
            required=True,
            label_visibility="collapsed",
        )
    pinning = chosen == _PIN
    number = len(pin.pins())
    so_far = f", {number} of {MAX_SCENARIOS} pinned: see Compare" if number else ""
    with words:
        said = f"{_PIN}{so_far}" if pinning else _OPEN
        st.markdown(f"**Best of each layout** :small[choosing a row {said}]")
    if not pinning:
        st.session_state.pop(_CHOSEN, None)
    return pinning


def pin_rows(scenarios: Sequence[Scenario]) -> None:
    """A callback of the table: rows that are chosen now are pinned, those that were chosen before are not any more.

    scenarios: of the rows on screen.
    """
    rows = st.session_state[PIN_TABLE]["selection"]["rows"]
    now = [scenarios[row] for row in rows if row < len(scenarios)]
    before: Sequence[Scenario] = st.session_state.get(_CHOSEN, ())
    for scenario in before:
        if scenario not in now:
            pin.unpin(scenario)
    refused = [scenario for scenario in now if not pin.pin(scenario)]
    st.session_state[_CHOSEN] = now
    if refused:
        st.toast(f"{MAX_SCENARIOS} scenarios are pinned, the most that Compare shows.", icon=":material/keep_off:")
