"""Who answers a search: at once where that is quick, else a job that can be watched and cancelled."""

from __future__ import annotations

import streamlit as st

from aggsim import service
from aggsim.planning.search_result import SearchResult
from aggsim.report.format import count, duration, number
from aggsim.scenario_search import SearchQuestion
from aggsim.service import SearchJob
from aggsim.service_search import takes_long
from aggsim.ui.markdown import plain

_POLL_S = 0.3
_DRAWN = "_search_drawn"
"""Layouts of the running job that the page on screen shows."""
_PASSES_A_LAYOUT = 12
"""About so many: only to move the bar inside a layout."""


class _Jobs:
    """Of one session; at most one is at work."""

    def __init__(self) -> None:
        self.job: SearchJob | None = None

    def start(self, question: SearchQuestion) -> None:
        self.cancel()
        self.job = service.start_search(question)

    def cancel(self) -> None:
        if self.job is not None:
            self.job.cancel()


@st.cache_resource(scope="session", on_release=_Jobs.cancel, show_spinner=False)
def _jobs() -> _Jobs:
    """A closed tab stops its search."""
    return _Jobs()


def search_result(question: SearchQuestion) -> SearchResult | None:
    """The answer, or what there is of it so far; draws the progress of a slow one. None: nothing yet.

    Raises AggsimError as service.search does.
    """
    if not takes_long(question.base):
        return service.search(question)
    jobs = _jobs()
    if jobs.job is not None and jobs.job.question != question:
        jobs.cancel()
        jobs.job = None
    job = jobs.job
    if job is not None and job.is_running:
        st.session_state[_DRAWN] = job.num_done
        _watch(job)
    elif job is None or not job.is_complete:
        _draw_start(jobs, question)
    return job.result() if job is not None and (job.num_done or job.is_complete) else None


def _draw_start(jobs: _Jobs, question: SearchQuestion) -> None:
    job = jobs.job
    words, button = st.columns([5, 1], vertical_alignment="center")
    with words:
        if job is None:
            engine = f"Engine {plain(question.base.engine)} takes its time for every pass"
            why = "Arrivals are simulated step by step" if question.base.is_load else engine
            st.info(
                f"{why}: this search works in the background, shows each layout as it is done, and can be cancelled.",
                icon=":material/hourglass_top:",
            )
        elif job.error:
            st.error(plain(str(job.error)), icon=":material/error:")
        else:
            st.info(
                f"Cancelled after {number(job.num_done)} of {count(job.num_layouts, 'layout')}. "
                "What was priced is kept: the search goes on from there.",
                icon=":material/pause_circle:",
            )
    with button:
        label = "Start search" if job is None else "Go on"
        st.button(label, key="search-start", type="primary", on_click=jobs.start, args=(question,))


@st.fragment(run_every=_POLL_S)
def _watch(job: SearchJob) -> None:
    """The bar; the whole page is drawn anew when another layout is done."""
    if not job.is_running or job.num_done > st.session_state.get(_DRAWN, 0):
        st.rerun()
    layouts = max(job.num_layouts, 1)
    words = f"{number(job.num_done)} of {count(layouts, 'layout')} · {count(job.num_passes, 'pass', 'passes')} priced"
    words += f" · {duration(job.elapsed_s)}" + (f", about {duration(job.left_s)} left" if job.left_s else "")
    begun = (job.num_passes - job.passes_before) / _PASSES_A_LAYOUT
    share = min(1.0, (job.num_done + begun / (1 + begun)) / layouts)
    bar, button = st.columns([5, 1], vertical_alignment="center")
    with bar:
        st.progress(share, text=words)
    with button:
        st.button("Cancel", key="search-cancel", icon=":material/stop_circle:", on_click=job.cancel)
