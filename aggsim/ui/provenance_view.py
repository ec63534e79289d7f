"""Who answered, and what each figure rests on: one line above the charts, and the operators coloured by it."""

from __future__ import annotations

from html import escape
from typing import get_args

import streamlit as st

from aggsim.planning.evaluation import Evaluation
from aggsim.report import charts, tables, titles
from aggsim.report.charts import ColourBy
from aggsim.report.provenance import MARKS, SOURCE_HELP, evidence
from aggsim.report.theme import Theme
from aggsim.ui.chart import draw_chart

_NAMES: dict[ColourBy, str] = {"bound": "What bounds it", "source": "Source"}


def draw_provenance(evaluation: Evaluation, *, does: str) -> None:
    """E.g. "Priced by silicon 0.12.0, chosen by auto · 79% of decode time is measured, …"; does: what it did."""
    told = evidence(evaluation)
    chosen = f", {told.chosen}" if told.chosen else ""
    parts = [
        f'<span title="{escape(told.version, quote=True)}">{escape(does)} <b>{escape(told.engine)}</b>{chosen}</span>',
        *(f"<span>{_marked(sentence)}</span>" for sentence in told.shares),
    ]
    mark = "⚠ " if told.is_warning else ""
    why = f'<div class="aggsim-warnings">{mark}{escape(told.fallback)}</div>' if told.fallback else ""
    st.html(f'<div class="aggsim-evidence">{" · ".join(parts)}</div>{why}')


def _marked(sentence: str) -> str:
    """The sources in a sentence get their shape, and their meaning on hover."""
    text = escape(sentence)
    for word, mark in MARKS.items():
        help_text = escape(f"{word}: {SOURCE_HELP[word]}", quote=True)
        text = text.replace(word, f'<span title="{help_text}">{mark}&nbsp;{word}</span>')
    return text


@st.fragment
def draw_operators(evaluation: Evaluation, theme: Theme) -> None:
    """The longest operators of each pass, coloured by what bounds them or by where their time is from."""
    passes = {name: cost for name, cost in tables.passes(evaluation).items() if len(cost.ops) > 1}
    if not passes:
        return
    names = {_NAMES[by]: by for by in get_args(ColourBy)}
    chosen = st.segmented_control(
        "Operators coloured by",
        list(names),
        default=next(iter(names)),
        required=True,
        key="plan_colour_by",
        persist_state="session",
        help="; ".join(f"**{MARKS[word]} {word}**: {text}" for word, text in SOURCE_HELP.items()),
    )
    by = names[chosen]
    for column, (name, cost) in zip(st.columns(2, gap="large"), passes.items(), strict=False):
        with column:
            title = titles.operators(name, cost, by)
            draw_chart(charts.operators_chart(tables.operators(cost), theme, f"{name} operators", title, by))
