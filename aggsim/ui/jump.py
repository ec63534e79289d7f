"""From a row, a bar or a button to another page that shows its scenario."""

from __future__ import annotations

from urllib.parse import parse_qsl

import streamlit as st

from aggsim.scenario import Scenario
from aggsim.share import encode_short
from aggsim.ui import address, form, search_state

PLAN = "pages/plan.py"
TIMELINE = "pages/timeline.py"
_NEXT = "_jump_next"


def open_scenario(scenario: Scenario, page: str) -> None:
    """A callback: the form becomes that scenario, and the page is next."""
    if address.page_on_screen() == search_state.PAGE:
        search_state.leave(scenario)
    form.fill(scenario)
    st.session_state[form.TOUCHED] = True
    st.session_state[_NEXT] = (page, dict(parse_qsl(encode_short(scenario), keep_blank_values=True)))


def is_waiting() -> bool:
    """A callback has asked for another page: a fragment must let go of its turn."""
    return _NEXT in st.session_state


def go_on() -> None:
    """Before anything is drawn: to the page that a callback has asked for."""
    if is_waiting():
        page, query = st.session_state.pop(_NEXT)
        st.switch_page(page, query_params=query)
