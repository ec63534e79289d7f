"""What stops an answer and what would help, worked out beside the page: nobody waits for it."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait

import streamlit as st

from aggsim import service
from aggsim.errors import AggsimError
from aggsim.planning.explain import Explanation
from aggsim.report import explain_charts as charts
from aggsim.report import explain_words as words
from aggsim.report.theme import Theme
from aggsim.scenario import Scenario
from aggsim.ui.chart import draw_clickable
from aggsim.ui.jump import PLAN, TIMELINE, is_waiting, open_scenario
from aggsim.ui.markdown import plain

_WORK = "_explain_work"
_SHOWN = "_explain_shown"
_POLL_S = 0.5
_PATIENCE_S = 0.25
"""What is done by then is drawn with the page."""

Work = dict[bool, "Future[Explanation]"]
"""Without and with the vendor's other devices, which may take much longer the first time."""


@st.cache_resource(show_spinner=False)
def _worker() -> ThreadPoolExecutor:
    """One for all sessions: reruns stay quick."""
    return ThreadPoolExecutor(1, thread_name_prefix="explain")


def draw_explanation(asked: Scenario, theme: Theme) -> None:
    """asked: whose answer is on screen; its batch size is found anew where it gives one."""
    kept: tuple[Scenario, Work] | None = st.session_state.get(_WORK)
    if kept is None or kept[0] != asked:
        if kept is not None:
            for future in kept[1].values():
                future.cancel()
        work = {others: _worker().submit(service.explain, asked, other_devices=others) for others in (False, True)}
        st.session_state[_WORK] = (asked, work)
    else:
        work = kept[1]
    wait(work.values(), _PATIENCE_S)
    is_busy = not work[True].done()
    polls: list[bool] | None = [] if is_busy else None
    st.fragment(run_every=_POLL_S if is_busy else None)(_panel)(asked, work, polls, theme)


def _panel(asked: Scenario, work: Work, polls: list[bool] | None, theme: Theme) -> None:
    """Polls while the work goes on; the page is drawn once more when it has ended.

    polls: None where nothing was left to wait for, else one entry for every time it was drawn: the first is part of the
    page's own run, which nothing may cut short.
    """
    is_busy = not work[True].done()
    if is_waiting() or (polls and not is_busy):
        st.rerun()
    if polls is not None:
        polls.append(is_busy)
    done = work[True] if not is_busy else work[False]
    if not done.done() or done.cancelled():
        st.caption(":material/hourglass_top: Working out what stops it and what would help …")
        return
    try:
        explanation = done.result()
    except AggsimError as error:
        st.caption(f"What would help is not known: {plain(str(error))}")
        return
    stops, chart = st.columns([2, 3], gap="large")
    with stops:
        _draw_stops(asked, explanation, is_busy)
    with chart:
        _draw_changes(explanation, theme)


def _draw_stops(asked: Scenario, explanation: Explanation, is_busy: bool) -> None:
    st.markdown("**What stops it**")
    st.markdown(f"{plain(words.what_stops(explanation))} {plain(words.what_is_behind(explanation))}")
    binding = explanation.binding
    if binding is not None and binding.stop is not None:
        step = "" if explanation.step is None else ", at the step that broke it"
        st.button(
            f"See batch {binding.stop.batch_size:,} in Timeline",
            help=f"Opens the timeline of that batch size{step}.",
            key="explain-timeline",
            icon=":material/view_timeline:",
            on_click=open_scenario,
            args=(asked.replace(batch=binding.stop.batch_size), TIMELINE),
        )
    lines = words.without_gain(explanation)
    if is_busy:
        lines.append("Other devices are still being tried …")
    if lines:
        with st.expander("Tried without help, or impossible"):
            st.caption("\n".join(f"- {plain(line)}" for line in lines))


def _draw_changes(explanation: Explanation, theme: Theme) -> None:
    frame = charts.changes_frame(explanation)
    if not len(frame):
        st.markdown(f"**{plain(words.title(explanation).partition(';')[0])}**")
        return
    chart = charts.changes_chart(frame, theme, words.title(explanation))
    st.session_state[_SHOWN] = explanation
    draw_clickable(chart, charts.SELECTION, "explain-changes", _open_clicked)
    names = dict(zip(frame["change"], frame["row"], strict=True))
    st.session_state["explain-open"] = None
    st.selectbox(
        "Open a change",
        list(names),
        key="explain-open",
        placeholder="Open one of them on Plan (or click its bar)",
        label_visibility="collapsed",
        help="Shows the scenario with that one change on Plan.",
        on_change=_open_named,
        args=(explanation, names),
    )


def _open_named(explanation: Explanation, names: dict[str, int]) -> None:
    name = st.session_state["explain-open"]
    if name in names:
        _open(explanation, names[name])


def _open_clicked() -> None:
    chosen = st.session_state["explain-changes"]["selection"].get(charts.SELECTION) or []
    if chosen:
        _open(st.session_state[_SHOWN], int(chosen[0]["row"]))


def _open(explanation: Explanation, row: int) -> None:
    scenario = explanation.changes[row].scenario
    if scenario is not None:
        open_scenario(scenario, PLAN)
