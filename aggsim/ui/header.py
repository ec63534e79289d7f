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
from aggsim.ui.frame import current_answer
from aggsim.ui.markdown import plain


def draw_header(title: str) -> Evaluation:
    """Returns the answer to show; where there is none yet, says why and stops the page."""
    evaluation = current_answer().evaluation
    draw_title(
        title, scenario_words(evaluation) if evaluation else "", encode(evaluation.scenario) if evaluation else ""
    )
    if evaluation is None:
        st.stop()
    return evaluation


def draw_title(title: str, line: str, query: str) -> None:
    """The page's name, what it is about, the link to it, and what is wrong.

    line: "" where nothing is answered yet; query: the complete one of the link, "": there is none.
    """
    answer = current_answer()
    words, link = st.columns([6, 1], vertical_alignment="center")
    with words:
        said = escape(line or "no answer yet")
        st.html(f'<div class="aggsim-head"><h1>{escape(title)}</h1><div class="aggsim-line">{said}</div></div>')
    if query:
        with link:
            draw_copy_link(query, answer.page_path)
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
        yield theme_named(st.context.theme.type)
