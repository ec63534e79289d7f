"""The steady state beside a burst, in one line: simulated beside the page, nobody waits for it."""

from __future__ import annotations

from functools import partial

import streamlit as st

from aggsim.planning.evaluation import Evaluation
from aggsim.report.load_words import steady_words
from aggsim.service_jobs import SteadyJob
from aggsim.service_search import is_slow
from aggsim.ui.late import Kept, State, later, wait

_PATIENCE_S = 0.05
"""What is done by then, which is what was kept, is drawn with the page."""
HELP = (
    "The figures above are of a burst: all requests come at once. This is a closed loop (arrival=closed) with as many "
    "users, simulated step by step: means over the requests of its steady state."
)


@st.cache_resource(scope="session", on_release=Kept.cancel, show_spinner=False)
def _kept() -> Kept[SteadyJob]:
    """A closed tab stops its work."""
    return Kept()


def draw_steady_state(evaluation: Evaluation) -> None:
    """One quiet line; none for a load, and for engines that take seconds a pass."""
    if evaluation.scenario.is_load or is_slow(evaluation.asked):
        return
    job = _kept().of(evaluation.asked, SteadyJob)
    wait(job.join, _PATIENCE_S)
    slot = st.empty()

    def draw(state: State) -> None:
        _, is_busy = state
        if job.load is not None:
            words = steady_words(job.load, round(job.load.concurrency))
            slot.caption(f":material/all_inclusive: {words}", help=HELP)
        elif is_busy:
            slot.caption(":material/hourglass_top: Simulating the steady state …")
        else:
            slot.empty()

    state = _state(job)
    draw(state)
    later(partial(_state, job), state, draw)


def _state(job: SteadyJob) -> State:
    is_busy = job.is_running  # asked first: what has ended has its line
    return int(job.load is not None), is_busy
