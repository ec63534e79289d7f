"""The scenarios of this session that were answered last: a menu beside the title; each opens again."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from aggsim.planning.evaluation import Evaluation
from aggsim.report.words import result_words, scenario_words
from aggsim.scenario import Scenario
from aggsim.ui.jump import PLAN, is_waiting, open_scenario
from aggsim.ui.markdown import plain

_RECENT = "_recent"
_OPEN = "recent-menu"
MOST = 10
_PAGES = {"": PLAN, "timeline": "pages/timeline.py", "method": "pages/method.py"}
"""Pages that show one scenario: it opens where the reader is; from any other page on Plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    asked: Scenario
    words: tuple[str, ...]
    result: str


def remember(evaluation: Evaluation) -> None:
    """Of equal questions the latest stays, the oldest make room."""
    entries = _entries()
    if entries and entries[0].asked == evaluation.asked:
        return
    entry = _Entry(
        asked=evaluation.asked,
        words=tuple(scenario_words(evaluation).split(" · ")),
        result=result_words(evaluation),
    )
    others = [known for known in entries if known.asked != entry.asked]
    st.session_state[_RECENT] = [entry, *others][:MOST]


@st.fragment
def draw_recent(page_path: str) -> None:
    """Lists them when it is opened; what differs from the first, which is on screen, is bold."""
    if is_waiting():
        st.rerun()
    menu = st.popover("Recent", icon=":material/history:", key=_OPEN, on_change="rerun",
                      help="The scenarios of this session that were answered last")  # fmt: skip
    if not menu.open:
        return
    entries = _entries()
    with menu, st.container(width=560, gap="small", key="recent-list"):
        if len(entries) < 2:
            st.caption("Nothing yet: change a field, and the scenario before it will be here.")
            return
        current, *others = entries
        st.caption("**Answered last** (bold: what differs from the one on screen)")
        for i, entry in enumerate(others):
            parts = (plain(part) if part in current.words else f"**{plain(part)}**" for part in entry.words)
            st.button(
                f"{' · '.join(parts)} → {plain(entry.result)}",
                key=f"recent-{i}",
                type="tertiary",
                on_click=open_scenario,
                args=(entry.asked, _PAGES.get(page_path, PLAN)),
            )


def _entries() -> list[_Entry]:
    """Latest first."""
    entries: list[_Entry] = st.session_state.get(_RECENT, [])
    return entries
