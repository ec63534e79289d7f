"""A short tour of the answer on screen, for a first visit without a link. It blocks nothing and goes away for good."""

from __future__ import annotations

import streamlit as st

from aggsim.planning.evaluation import Evaluation
from aggsim.report.tour_words import tour_stops
from aggsim.ui.markdown import plain

_STATE = "_tour"
"""None: not decided yet; −1: over; 0: offered; from 1 on the stop that is shown."""


def decide(has_link: bool) -> None:
    """Once a session, before the address is written: whoever comes with a link knows what to look at."""
    if _STATE not in st.session_state:
        st.session_state[_STATE] = -1 if has_link else 0


@st.fragment
def draw_tour(evaluation: Evaluation) -> None:
    """Nothing once it is over. A fragment: going on redraws nothing else."""
    at = st.session_state.get(_STATE, -1)
    if at < 0:
        return
    stops = tour_stops(evaluation)
    with st.container(border=True, key="tour"):
        words, buttons = st.columns([4, 1], vertical_alignment="center")
        with words:
            if at == 0:
                st.markdown("**New here?** Five sentences on how to read this answer.")
            else:
                stop = stops[at - 1]
                st.markdown(f"**{at} of {len(stops)} · {plain(stop.title)}.** {plain(stop.words)}")
        with buttons, st.container(horizontal=True, horizontal_alignment="right", gap="small"):
            if at < len(stops):
                st.button("Start" if at == 0 else "Next", key="tour-next", type="primary", on_click=_go, args=(at + 1,))
            label = "Done" if at == len(stops) else "Close"
            st.button(label, key="tour-close", on_click=_go, args=(-1,))


def _go(stop: int) -> None:
    st.session_state[_STATE] = stop
