"""Who answers a search: at once where that is quick."""

from __future__ import annotations

import streamlit as st

from aggsim import service
from aggsim.planning.search import search
from aggsim.planning.search_result import SearchResult
from aggsim.scenario_search import SearchQuestion

_LAST = "_search_last"


def search_result(question: SearchQuestion) -> SearchResult:
    """The answer; the last one of the session is kept."""
    last: SearchResult | None = st.session_state.get(_LAST)
    if last is None or last.question != question:
        model = service.models()[question.base.model]
        last = search(question, model, service.devices())
        st.session_state[_LAST] = last
    return last
