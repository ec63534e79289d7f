"""Top of every page: its name, the scenario in words, the link to it, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from html import escape

import streamlit as st

from aggsim.planning.evaluation import Evaluation
from aggsim.report.theme import Theme, theme_named
from aggsim.report.words import scenario_words
from aggsim.share import encode
from aggsim.ui import address
from aggsim.ui.copy_link import draw_copy_link
from aggsim.ui.download import clear_shelf, draw_kept_menu, keep_place
from aggsim.ui.frame import current_answer
from aggsim.ui.freeze import draw_freeze, frozen_query
from aggsim.ui.freeze_view import draw_check
from aggsim.ui.markdown import plain
from aggsim.ui.pin import draw_pin
from aggsim.ui.recent import draw_recent, remember


def draw_header(title: str) -> Evaluation:
    """Returns the answer to show; where there is none yet, says why and stops the page."""
    evaluation = current_answer().evaluation
    if evaluation is None:
        draw_title(title, "", "")
        st.stop()
    link = encode(evaluation.scenario)
    draw_title(title, scenario_words(evaluation), link, frozen_query(link, [evaluation]))
    draw_check(evaluation)
    return evaluation


def draw_title(title: str, line: str, query: str, frozen: str = "") -> None:
    """The page's name, what it is about, the link to it, and what is wrong.

    line: "" where nothing is answered yet; query: the complete one of the link, "": there is none; frozen: the link
    with its results.
    """
    answer = current_answer()
    clear_shelf(answer.page_path)
    if answer.evaluation is not None:
        remember(answer.evaluation)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="header"):
        st.html(f'<div class="aggsim-head"><h1>{escape(title)}</h1></div>', width="content")
        with st.container(horizontal=True, horizontal_alignment="right", gap="small", key="tools"):
            if query:
                with st.container(width="content"):
                    draw_recent(answer.page_path)
                keep_place(st.container(width="content"))
                draw_copy_link(query, answer.page_path)
            if frozen:
                draw_freeze(frozen, answer.page_path)
            draw_pin(answer.asked)
    st.html(f'<div class="aggsim-line">{escape(line or "no answer yet")}</div>')
    _draw_problems()
    if answer.is_stale:
        wrong = "; ".join(str(error) for error in answer.errors.values())
        kept = " Showing the last valid scenario." if line else ""
        st.warning(f"{plain(wrong)}.{kept}", icon=":material/edit_off:")


def _draw_problems() -> None:
    problems = address.problems()
    if problems:
        listed = "".join(f"\n- {plain(problem)}" for problem in problems)
        st.warning(f"Ignored in the link; everything else in it is kept:{listed}", icon=":material/link_off:")


@contextmanager
def page_body() -> Iterator[Theme]:
    """Everything below the header: dimmed while it answers an older question. Gives the theme for charts."""
    with st.container(key="stale" if current_answer().is_stale else "body"):
        try:
            yield theme_named(st.context.theme.type)
        finally:  # also where the page stops half way
            draw_kept_menu(current_answer().evaluation)
