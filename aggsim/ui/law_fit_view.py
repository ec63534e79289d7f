"""Measurements in, a law out, and how far it is from them."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from aggsim.errors import InputError
from aggsim.parameters import LinearLaw
from aggsim.planning.law_fit import ERRORS, LawFit, fit_law
from aggsim.planning.law_rows import COLUMNS, Measurements, read_measurements
from aggsim.report import law_words as words
from aggsim.report.law_chart import residual_chart
from aggsim.report.law_tables import worst_table
from aggsim.report.theme import Theme
from aggsim.share_law import law_toml
from aggsim.ui.chart import draw_chart
from aggsim.ui.law_units import shifted
from aggsim.ui.markdown import plain

__all__ = ["draw_fit"]

MAX_PROBLEMS = 10
_START = "_law_fit_start"
EXAMPLE = """phase,requests,query_len,seq_len,latency_ms
prefill,1,4096,4096,31.2
decode,64,1,4000,23.9
"""


def draw_fit(start: LinearLaw, theme: Theme, use: Callable[[LinearLaw], None]) -> None:
    """start: whose memory is kept, since times say nothing of it."""
    source, options = st.columns([3, 2], gap="large")
    with source:
        file = st.file_uploader(
            "Measurements, a CSV file",
            type=["csv", "txt"],
            key="law_csv_file",
            help="; ".join(f"**{key}**: {column.unit or column.allowed}" for key, column in COLUMNS.items()),
        )
        text = st.text_area("or its text", key="law_csv_text", height=120, placeholder=EXAMPLE)
    with options:
        errors = st.radio(
            "Least squares of",
            ERRORS,
            key="law_errors",
            format_func=lambda kind: f"{kind} errors",
            horizontal=True,
            help="relative: a short decode pass counts as much as a long prefill. absolute: every millisecond counts.",
        )
        if st.session_state.get(_START) != start:
            st.session_state[_START] = start
            st.session_state["law_fit_memory"] = start.memory_gib
            st.session_state["law_fit_growth"] = shifted(start.gib_per_ctx, 3)
        memory = st.number_input(
            "KV cache may take (GiB per device)",
            min_value=0.0,
            max_value=1e6,
            step=None,
            format="%g",
            key="law_fit_memory",
            help="Times say nothing of memory: what of each device the KV cache may fill. Allowed: 0 to 1,000,000.",
        )
        growth = st.number_input(
            "1,000 tokens of context (GiB per device)",
            min_value=0.0,
            max_value=1e6,
            step=None,
            format="%g",
            key="law_fit_growth",
            help="KV cache of 1,000 tokens on each device. Allowed: 0 to 1,000,000.",
        )
    given = file.getvalue().decode("utf-8-sig", "replace") if file else text
    if not given.strip():
        return
    keep = LinearLaw(fixed_s=1.0, memory_gib=memory or 0.0, gib_per_ctx=shifted(growth or 0.0, -3))
    try:
        measurements = read_measurements(given)
        _draw_problems(measurements)
        fit = fit_law(measurements, errors=errors, memory=keep)
    except InputError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    _draw_result(fit, theme, use)


def _draw_problems(measurements: Measurements) -> None:
    problems = measurements.problems
    if problems:
        listed = "".join(f"\n- {plain(str(problem))}" for problem in problems[:MAX_PROBLEMS])
        more = f"\n- and {len(problems) - MAX_PROBLEMS:,} more" if len(problems) > MAX_PROBLEMS else ""
        st.warning(f"{words.left_out_words(measurements)}:{listed}{more}", icon=":material/rule:")


def _draw_result(fit: LawFit, theme: Theme, use: Callable[[LinearLaw], None]) -> None:
    st.markdown(f"**{plain(words.law_words(fit.law))}**")
    st.caption(plain(words.fit_words(fit)))
    for note in words.notes(fit):
        st.caption(f"⚠ {plain(note)}")
    with st.container(horizontal=True):
        st.button("Use this law", on_click=use, args=(fit.law,), key="law_use_fit", type="primary")
        st.download_button("Download TOML", law_toml(fit.law), "aggsim-law.toml", on_click="ignore", key="law_fit_down")
    chart, worst = st.columns(2, gap="large")
    with chart:
        draw_chart(residual_chart(fit, theme))
    with worst:
        st.markdown("**Rows that the law misses by most**")
        st.dataframe(
            worst_table(fit),
            hide_index=True,
            column_config={
                "measured_ms": st.column_config.NumberColumn("measured (ms)", format="%.4g", help="As it was given"),
                "law_ms": st.column_config.NumberColumn("law (ms)", format="%.4g", help="What the law says"),
                "error": st.column_config.NumberColumn("error", format="percent", help="law ÷ measured − 1"),
            },
        )
