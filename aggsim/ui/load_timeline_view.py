"""The Timeline page where requests arrive: one simulated replica, its overview and the window chosen in it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from aggsim import service
from aggsim.errors import AggsimError
from aggsim.planning.evaluation import Evaluation
from aggsim.planning.load_runs import Measured
from aggsim.report import load_timeline_charts as charts
from aggsim.report import load_timeline_tables as tables
from aggsim.report import load_timeline_words as words
from aggsim.report import timeline_charts, timeline_tables, titles
from aggsim.report.theme import Theme
from aggsim.report.words import verdict_words
from aggsim.share import encode
from aggsim.ui.chart import draw_chart, draw_selectable
from aggsim.ui.download import offer_table
from aggsim.ui.markdown import plain
from aggsim.ui.provenance_view import draw_provenance
from aggsim.ui.table import draw_step_table
from aggsim.ui.tiles import draw_headline


def draw_load_page(evaluation: Evaluation, theme: Theme) -> None:
    """Headline and charts; why not, where nothing can be served or the simulation cannot be run again."""
    if evaluation.load is None:
        draw_headline(*verdict_words(evaluation))
        st.info("Not one request fits in memory: there is no step to draw.", icon=":material/info:")
        return
    try:
        with st.spinner("Simulating one replica, step by step", show_time=True):
            measured = service.load_run(evaluation.scenario)
    except AggsimError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    draw_headline(words.headline(evaluation, measured), words.run_words(evaluation, measured))
    draw_provenance(evaluation, does="Steps priced by")
    offer_table(tables.requests_frame(measured), "aggsim-requests.csv")
    _draw_charts(evaluation, measured, tables.runs_frame(measured), theme)


@st.fragment
def _draw_charts(evaluation: Evaluation, measured: Measured, frame: pd.DataFrame, theme: Theme) -> None:
    """A fragment, so that dragging redraws nothing else."""
    first = tables.default_window(measured)
    marks = charts.warm_up_marks(theme, tables.warm_up_s(measured), float(frame["end_s"].iloc[-1]))
    overview = timeline_charts.overview_chart(
        timeline_tables.overview(frame), theme, words.overview_title(measured), first, marks
    )
    # A new question gets a new overview: an old selection would point at other steps.
    key = f"overview-{encode(evaluation.scenario)}"
    window = draw_selectable(overview, timeline_charts.SELECTION, key=key) or first
    part = timeline_tables.within(frame, window)
    bars = tables.merged(part)
    title = titles.window(window, int(part["repeat"].sum()))
    draw_chart(timeline_charts.lanes_chart(tables.lanes(bars, window), theme, title, window, charts.LOAD_HOVER))
    queue = tables.queue_frame(measured.times, window)
    draw_chart(charts.queue_chart(queue, theme, words.queue_title(queue), window))
    if measured.kv.blocks and len(bars):
        held = tables.kv_frame(bars, window, measured.kv.blocks)
        draw_chart(charts.kv_chart(held, theme, words.kv_title(held, measured), window))
    requests, there = tables.waterfall(measured, window)
    title = words.waterfall_title(requests["request"].nunique(), there)
    draw_chart(charts.waterfall_chart(requests, theme, title, window))
    draw_step_table(tables.step_table(frame, window), "aggsim-steps.csv")
