"""The parts of the Method page. What has a control of its own is a fragment: using it redraws nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import pandas as pd
import streamlit as st

from aggsim import service
from aggsim.devices.spec import DeviceSpec
from aggsim.errors import AggsimError
from aggsim.forward.cost import ForwardCost
from aggsim.planning.evaluation import Evaluation
from aggsim.report import method_tables as tables
from aggsim.report.charts import operators_chart
from aggsim.report.derivation import FOLLOWED, derivation
from aggsim.report.format import count, duration
from aggsim.report.glossary import GLOSSARY, find_terms
from aggsim.report.method_words import Note
from aggsim.report.provenance import SOURCE_HELP
from aggsim.report.roofline_chart import roofline_chart, roofline_title, without_flops_title
from aggsim.report.rungs import Rung
from aggsim.report.tables import passes
from aggsim.report.theme import Theme
from aggsim.ui.chart import draw_chart
from aggsim.ui.markdown import plain
from aggsim.ui.style import asset
from aggsim.ui.table import draw_csv, explained

WORK = ("flop_per_byte", "tflop_per_s", "matrix_tflop", "vector_tflop", "memory_gb", "exchanged_gb")
"""What engines without FLOPs and bytes leave empty."""
ROW_PX, MAX_ROWS = 35, 13.5
"""The operator table: more rows are scrolled to, and the half row says so."""


def draw_section(title: str, more: str = "") -> None:
    """A heading, and beside it what belongs to it."""
    st.html(f'<h2 class="aggsim-section">{escape(title)}<span>{escape(more)}</span></h2>')


def draw_method_style() -> None:
    """Once a run."""
    st.html(f"<style>{asset('method.css')}</style>")


@st.fragment
def draw_derivation(evaluation: Evaluation, device: DeviceSpec | None) -> None:
    """One number of the Plan page, and below it where it comes from, down to one call of one operator."""
    followed = st.segmented_control(
        "Follow", list(FOLLOWED), default="TPOT", required=True, key="method_follow", persist_state="session"
    )
    rungs = derivation(evaluation, followed, device)
    st.html(f'<ol class="aggsim-rungs">{"".join(_rung(rung) for rung in rungs)}</ol>')


def _rung(rung: Rung) -> str:
    formula, mark = escape(rung.formula), escape(rung.followed)
    if mark:
        formula = formula.replace(mark, f"<b>{mark}</b>", 1)
    return (
        f'<li><div class="name">{escape(rung.name)}</div><div class="value">{escape(rung.value)}</div>'
        f'<div><div class="formula">= {formula}</div><div class="words">{escape(rung.words)}</div></div></li>'
    )


@st.fragment
def draw_operators(evaluation: Evaluation, device: DeviceSpec | None, theme: Theme) -> None:
    """Every operator of the prefill or the decode pass: a table, and where it stands under the device's roof."""
    priced = passes(evaluation)
    choice, heading = st.columns([2, 7], vertical_alignment="center")
    with choice:
        names = list(priced)
        name = st.radio(
            "Pass",
            names,
            index=len(names) - 1,
            horizontal=True,
            label_visibility="collapsed",
            key="method_pass",
            persist_state="session",
        )
    cost = priced[name]
    with heading:
        kinds = count(len(cost.ops), "kind of operator", "kinds of operators")
        draw_section(
            f"{name} pass: {duration(cost.latency_s)} in {kinds}", f"priced by engine {evaluation.engine.name}"
        )
    _draw_table(tables.operator_table(cost), tables.reports_work(cost), name)
    if device is not None:
        _draw_roofline(name, cost, evaluation, device, theme)


def _draw_table(frame: pd.DataFrame, is_reported: bool, name: str) -> None:
    text, number = st.column_config.TextColumn, st.column_config.NumberColumn
    st.dataframe(
        frame,
        hide_index=True,
        height=int(ROW_PX * min(len(frame) + 1, MAX_ROWS)) + 3,
        placeholder="–",
        alt=f"{name} operators: their sum, the pass, then the longest first",
        column_order=_source_beside_bound(
            [column for column in frame.columns if column != "kernel" and (is_reported or column not in WORK)]
        ),
        column_config=explained(
            frame,
            {
                "operator": text(width=220),
                "share": st.column_config.ProgressColumn(
                    "share of the pass", format="percent", max_value=1.0, width=130
                ),
                "ms": number("total (ms)", format="%.3f"),
                "us_per_call": number("per call (µs)", format="%.3f"),
                "bound": text("bound by"),
                "flop_per_byte": number("FLOP/byte", format="%.4g"),
                "tflop_per_s": number("TFLOP/s", format="%.4g"),
                "matrix_tflop": number("matrix (TFLOP)", format="%.4g"),
                "vector_tflop": number("vector (TFLOP)", format="%.4g"),
                "memory_gb": number("memory (GB)", format="%.4g"),
                "exchanged_gb": number("exchanged (GB)", format="%.4g"),
                "source": text(help="; ".join(f"**{word}**: {meaning}" for word, meaning in SOURCE_HELP.items())),
            },
        ),
    )
    draw_csv(frame, f"aggsim-operators-{name.lower()}.csv")


def _source_beside_bound(columns: list[str]) -> list[str]:
    """In sight on a narrow screen, where the last columns are scrolled to."""
    columns.remove("source")
    columns.insert(columns.index("bound") + 1, "source")
    return columns


def _draw_roofline(name: str, cost: ForwardCost, evaluation: Evaluation, device: DeviceSpec, theme: Theme) -> None:
    """The roofline; where the engine reports times only, of the same pass as engine analytic prices it, and says so."""
    if not tables.reports_work(cost):
        analytic = priced_by_analytic(evaluation)
        stand_in = passes(analytic).get(name) if analytic else None
        if stand_in is None:
            st.info(f"Engine {evaluation.engine.name} reports no FLOPs and bytes: there is no roofline to draw.")
            return
        st.caption(
            f"Engine {plain(evaluation.engine.name)} reports times only, no FLOPs and bytes. Below is the same pass as "
            f"engine analytic prices it: {duration(stand_in.latency_s)} instead of {duration(cost.latency_s)}."
        )
        cost, name = stand_in, f"{name} (analytic)"
    points, roofs, others = tables.roofline_points(cost), tables.roofs(device), tables.without_flops(cost)
    roof, beside = st.columns([3, 2], gap="medium")
    with roof:
        if len(points) and roofs:
            title = roofline_title(name, points, device)
            draw_chart(roofline_chart(points, roofs, theme, f"{name} roofline", title))
    with beside:
        if len(others):
            draw_chart(operators_chart(others, theme, f"{name} operators without FLOPs", without_flops_title(others)))


def priced_by_analytic(evaluation: Evaluation) -> Evaluation | None:
    """The same deployment at the same batch size; None where there is no such answer."""
    if evaluation.engine.name == "linear":  # model and device only label it
        return None
    try:
        return service.evaluate(evaluation.scenario.replace(engine="analytic"))
    except AggsimError:
        return None


def draw_notes(notes: Iterable[tuple[Note, bool]]) -> None:
    """Names with their sentences and formulas; False: not of this answer."""
    st.html(f'<dl class="aggsim-notes">{"".join(_note(note, is_concerned) for note, is_concerned in notes)}</dl>')


def _note(note: Note, is_concerned: bool) -> str:
    mark = "" if is_concerned else "<span>not in this answer</span>"
    formula = f"<code>{escape(note.formula)}</code>" if note.formula else ""
    return (
        f"<div{'' if is_concerned else ' class=aside'}><dt>{escape(note.name)}{mark}</dt>"
        f"<dd>{escape(note.words)}{formula}</dd></div>"
    )


def draw_all_notes(notes: Sequence[Note]) -> None:
    """The same, all of this answer."""
    draw_notes((note, True) for note in notes)


@st.fragment
def draw_glossary() -> None:
    """Every term, and a field to search them."""
    asked = st.text_input(
        "Search the glossary",
        placeholder="a term, or a word of its meaning",
        type="search",
        live=True,
        key="method_glossary",
    )
    found = find_terms(asked or "")
    st.caption(f"{len(found)} of {count(len(GLOSSARY), 'term')}" if found else "No term says that.")
    draw_all_notes([Note(f"{term.name} ({term.full})" if term.full else term.name, term.meaning) for term in found])
