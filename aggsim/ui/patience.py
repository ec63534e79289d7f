"""What is on screen while an answer takes a while: words for slow engines, a bar for simulated arrivals."""

from __future__ import annotations

import streamlit as st

from aggsim import service
from aggsim.planning.evaluation import Evaluation
from aggsim.report.load_words import waiting_words
from aggsim.scenario import Scenario
from aggsim.service_jobs import EvaluationJob
from aggsim.service_search import is_slow
from aggsim.ui.markdown import plain

_AT_ONCE_S = 0.2
"""No bar for what is done by then."""
_LOOK_S = 0.1


def answered(scenario: Scenario) -> Evaluation:
    """service.evaluate, with something to look at where it takes long. Raises AggsimError."""
    if is_slow(scenario):
        words = f"Engine {plain(scenario.engine)} prices each pass anew; what it has priced once is kept."
        with st.spinner(words, show_time=True):
            return service.evaluate(scenario)
    return _simulated(scenario) if scenario.is_load else service.evaluate(scenario)


def _simulated(scenario: Scenario) -> Evaluation:
    """A click elsewhere ends the run, and the simulation with it."""
    job = service.start_evaluation(scenario)
    try:
        job.join(_AT_ONCE_S)
        _watch(job)
    finally:
        job.cancel()
    if job.error is not None:
        raise job.error
    found = job.result()
    return service.evaluate(scenario) if found is None else found


def _watch(job: EvaluationJob) -> None:
    words = plain(waiting_words(job.scenario))
    place = st.empty()
    while job.is_running:
        place.progress(job.share, text=f"{words} … {job.elapsed_s:.0f} s")
        job.join(_LOOK_S)
    place.empty()
