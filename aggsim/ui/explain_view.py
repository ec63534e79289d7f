"""What stops an answer and what would help, worked out beside the page: nobody waits for it."""

from __future__ import annotations

from functools import partial

import streamlit as st

from aggsim.parameters_load import USED_BY
from aggsim.planning.explain import Explanation
from aggsim.report import explain_charts as charts
from aggsim.report import explain_words as words
from aggsim.report.theme import Theme
from aggsim.scenario import Scenario
from aggsim.service_jobs import ExplanationJob
from aggsim.ui.chart import draw_clickable
from aggsim.ui.jump import PLAN, TIMELINE, open_scenario
from aggsim.ui.late import Kept, State, later, wait
from aggsim.ui.markdown import plain

_SHOWN = "_explain_shown"
_PATIENCE_S = 0.25
"""What is done by then is drawn with the page."""


@st.cache_resource(scope="session", on_release=Kept.cancel, show_spinner=False)
def _kept() -> Kept[ExplanationJob]:
    """A closed tab stops its work."""
    return Kept()


def draw_explanation(asked: Scenario, theme: Theme) -> None:
    """asked: whose answer is on screen; its batch size is found anew where it gives one."""
    job = _kept().of(_subject(asked), ExplanationJob)
    wait(job.join, _PATIENCE_S)
    slot = st.empty()

    def draw(state: State) -> None:
        with slot.container():
            _draw(job, asked, state, theme)

    state = _state(job)
    draw(state)
    later(partial(_state, job), state, draw)


def _subject(asked: Scenario) -> Scenario:
    """What is explained. First tokens of a burst wait for each other, which says nothing of requests that arrive."""
    return asked.replace(ttft=None) if asked.is_load else asked


def _state(job: ExplanationJob) -> State:
    is_busy = job.is_running  # asked first: what has ended has all its answers
    return len(job.answers), is_busy


def _draw(job: ExplanationJob, asked: Scenario, state: State, theme: Theme) -> None:
    num_answers, is_busy = state
    if not num_answers:
        if is_busy:
            st.caption(":material/hourglass_top: Working out what stops it and what would help …")
        elif job.error:
            st.caption(f"What would help is not known: {plain(str(job.error))}")
        return
    explanation = job.answers[num_answers - 1]
    if asked.is_load:
        st.caption(words.of_a_burst(asked))
    stage = f"-{num_answers}" if is_busy else ""  # in one run a key may be used once
    stops, chart = st.columns([2, 3], gap="large")
    with stops:
        _draw_stops(job.scenario, explanation, stage)
    with chart:
        _draw_changes(asked, explanation, theme, stage)


def _draw_stops(asked: Scenario, explanation: Explanation, stage: str) -> None:
    st.markdown("**What stops a burst**" if asked.is_load else "**What stops it**")
    st.markdown(f"{plain(words.what_stops(explanation))} {plain(words.what_is_behind(explanation))}")
    binding = explanation.binding
    if binding is not None and binding.stop is not None:
        step = "" if explanation.step is None else ", at the step that broke it"
        st.button(
            f"See {'a burst of ' if asked.is_load else ''}batch {binding.stop.batch_size:,} in Timeline",
            help=f"Opens the timeline of that batch size{step}.",
            key=f"explain-timeline{stage}",
            icon=":material/view_timeline:",
            on_click=open_scenario,
            args=(asked.as_burst().replace(batch=binding.stop.batch_size), TIMELINE),
        )
    lines = words.without_gain(explanation)
    if stage:
        lines.append("Other devices are still being tried …")
    if lines:
        with st.expander("Tried without help, or impossible"):
            st.caption("\n".join(f"- {plain(line)}" for line in lines))


def _draw_changes(asked: Scenario, explanation: Explanation, theme: Theme, stage: str) -> None:
    frame = charts.changes_frame(explanation)
    if not len(frame):
        st.markdown(f"**{plain(words.title(explanation).partition(';')[0])}**")
        return
    chart = charts.changes_chart(frame, theme, words.title(explanation))
    st.session_state[_SHOWN] = asked, explanation
    clicked = f"explain-changes{stage}"
    draw_clickable(chart, charts.SELECTION, clicked, partial(_open_clicked, clicked))
    names = dict(zip(frame["change"], frame["row"], strict=True))
    opened = f"explain-open{stage}"
    st.session_state[opened] = None
    st.selectbox(
        "Open a change",
        list(names),
        key=opened,
        placeholder="Open one of them on Plan (or click its bar)",
        label_visibility="collapsed",
        help="Shows the scenario with that one change on Plan.",
        on_change=_open_named,
        args=(opened, asked, explanation, names),
    )


def _open_named(key: str, asked: Scenario, explanation: Explanation, names: dict[str, int]) -> None:
    name = st.session_state[key]
    if name in names:
        _open(asked, explanation, names[name])


def _open_clicked(key: str) -> None:
    chosen = st.session_state[key]["selection"].get(charts.SELECTION) or []
    if chosen:
        asked, explanation = st.session_state[_SHOWN]
        _open(asked, explanation, int(chosen[0]["row"]))


def _open(asked: Scenario, explanation: Explanation, row: int) -> None:
    scenario = explanation.changes[row].scenario
    if scenario is not None:
        open_scenario(scenario if not asked.is_load else as_load(scenario, asked), PLAN)


def as_load(change: Scenario, asked: Scenario) -> Scenario:
    """What was tried with a burst, for the requests that arrive as asked."""
    kept = ("arrival", "scheduler", "batch", "ttft", *USED_BY)
    return change.replace(**{key: getattr(asked, key) for key in kept})
