"""Plan: does it fit, how fast is it, what bounds it."""

import streamlit as st

from aggsim.report import charts, tables, titles
from aggsim.report.tiles import tiles
from aggsim.report.words import verdict_words
from aggsim.ui.chart import draw_chart
from aggsim.ui.engines_view import draw_engines
from aggsim.ui.error_bar import draw_error_bar
from aggsim.ui.explain_view import draw_explanation
from aggsim.ui.foot import draw_foot, draw_warnings
from aggsim.ui.header import draw_header, page_body
from aggsim.ui.linear_view import draw_law
from aggsim.ui.load_view import draw_load
from aggsim.ui.navigation import require_app
from aggsim.ui.provenance_view import draw_operators, draw_provenance
from aggsim.ui.steady_view import draw_steady_state
from aggsim.ui.table import draw_result_table
from aggsim.ui.tiles import draw_tiles, draw_verdict
from aggsim.ui.tour import draw_tour
from aggsim.units import gib

require_app()
evaluation = draw_header("Plan")
law = st.container()  # filled last: the law to start from may take a moment
with page_body() as theme:
    draw_tour(evaluation)
    draw_verdict(evaluation.verdict.ok, *verdict_words(evaluation), theme)
    draw_tiles(tiles(evaluation), theme)
    draw_provenance(evaluation, does="Priced by")
    draw_error_bar(evaluation)
    steady = st.container()  # filled last, as what would help is: both may take a moment
    draw_warnings(evaluation)
    draw_load(evaluation, theme)

    time, memory = st.columns(2, gap="large")
    with time:
        split = tables.time_split(evaluation)
        if split["ms"].sum() > 0:
            draw_chart(charts.time_split_chart(split, theme, titles.time_split(evaluation)))
        else:
            st.info(f"Engine {evaluation.engine.name} does not know what bounds a pass.", icon=":material/info:")
    with memory:
        parts, capacity = tables.memory_parts(evaluation), gib(evaluation.memory.total)
        draw_chart(charts.memory_chart(parts, theme, titles.memory_use(evaluation), capacity))

    limits = st.container()
    draw_operators(evaluation, theme)
    draw_engines(evaluation, theme)
    draw_result_table(tables.result_table(evaluation), "aggsim-results.csv")
    draw_foot(evaluation)
    with steady:
        draw_steady_state(evaluation)
    with limits:
        draw_explanation(evaluation.asked, theme)
with law:
    draw_law()
