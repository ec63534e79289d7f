"""The steady state beside a burst, in one line: simulated beside the page, nobody waits for it."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from functools import partial

import streamlit as st

from aggsim import service
from aggsim.errors import AggsimError
from aggsim.planning.evaluation import Evaluation
from aggsim.planning.load_runs import Hooks
from aggsim.report.load_words import steady_words
from aggsim.scenario import Scenario
from aggsim.service_search import is_slow
from aggsim.service_turns import beside
from aggsim.ui.late import Kept, State, later, wait

_PATIENCE_S = 0.05
"""What is done by then, which is what was kept, is drawn with the page."""
HELP = (
    "The figures above are of a burst: all requests come at once. This is a closed loop (arrival=closed) with as many "
    "users, simulated step by step: means over the requests of its steady state."
)


class SteadyJob:
    """In a thread of its own, at work from the moment it is made."""

    def __init__(self, scenario: Scenario) -> None:
        self.words = ""
        """The line; "": not yet, or there is none."""
        self._scenario = scenario
        self._cancel = threading.Event()
        self._thread = threading.Thread(target=self._work, name="steady", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def cancel(self) -> None:
        self._cancel.set()

    def join(self, timeout_s: float) -> None:
        """Wait for the end."""
        self._thread.join(timeout_s)

    def _work(self) -> None:
        try:
            with beside.turn(self._cancel):
                hooks = Hooks(progress=lambda _: beside.give_way(), cancel=self._cancel)
                load = service.steady_state(self._scenario, hooks=hooks)
            if load is not None:
                self.words = steady_words(load, round(load.concurrency))
        except (AggsimError, CancelledError):
            pass  # stopped, or impossible: without a line there is nothing to say


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
        num_lines, is_busy = state
        if num_lines:
            slot.caption(f":material/all_inclusive: {job.words}", help=HELP)
        elif is_busy:
            slot.caption(":material/hourglass_top: Simulating the steady state …")
        else:
            slot.empty()

    state = _state(job)
    draw(state)
    later(partial(_state, job), state, draw)


def _state(job: SteadyJob) -> State:
    is_busy = job.is_running  # asked first: what has ended has its line
    return int(bool(job.words)), is_busy
