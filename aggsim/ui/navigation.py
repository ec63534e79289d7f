"""The pages, and the guard that keeps a page from running without its frame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from streamlit.navigation.page import StreamlitPage

_IN_APP = "_in_app"


def page_list() -> list[StreamlitPage]:
    """One line a page, in the order of the top navigation."""
    return [
        st.Page("pages/plan.py", title="Plan", icon=":material/speed:", default=True),
        st.Page("pages/timeline.py", title="Timeline", icon=":material/view_timeline:"),
        st.Page("pages/search.py", title="Search", icon=":material/travel_explore:"),
        st.Page("pages/compare.py", title="Compare", icon=":material/compare_arrows:"),
        st.Page("pages/catalog.py", title="Catalog", icon=":material/inventory_2:"),
        st.Page("pages/method.py", title="Method", icon=":material/function:"),
        st.Page("pages/accuracy.py", title="Accuracy", icon=":material/target:"),
    ]


@contextmanager
def in_app() -> Iterator[None]:
    """Around everything app.py draws: tells the pages that they run inside the app."""
    st.session_state[_IN_APP] = True
    try:
        yield
    finally:
        st.session_state[_IN_APP] = False


def require_app() -> None:
    """First line of every page: start over in app.py where Streamlit runs a page by itself.

    It does so for the first visitor of a fresh server, for files in a folder that is called pages/.
    """
    if not st.session_state.get(_IN_APP):
        st.navigation(page_list(), position="hidden")
        st.rerun()
