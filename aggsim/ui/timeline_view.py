"""The timeline's overview and the window chosen in it: a fragment, so that dragging redraws nothing else."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from aggsim.planning.evaluation import Evaluation
from aggsim.report import timeline_charts as charts
from aggsim.report import timeline_tables as tables
from aggsim.report import titles
from aggsim.report.theme import Theme
from aggsim.share import encode
from aggsim.ui.chart import draw_chart, draw_selectable
from aggsim.ui.table import draw_step_table


@st.fragment
def draw_timeline(evaluation: Evaluation, frame: pd.DataFrame, theme: Theme) -> None:
    """frame: timeline_tables.steps_frame, not empty."""
    first = tables.default_window(frame, evaluation.verdict.step)
    overview = charts.overview_chart(tables.overview(frame), theme, titles.overview(evaluation), first)
    # A new question gets a new overview: an old selection would point at other steps.
    window = draw_selectable(overview, charts.SELECTION, key=f"overview-{encode(evaluation.scenario)}") or first
    part = tables.within(frame, window)
    bars = tables.merged(part)
    lanes = tables.lanes(bars, window, evaluation.scenario.mtp + 1)
    draw_chart(charts.lanes_chart(lanes, theme, titles.window(window, int(part["repeat"].sum())), window))
    draw_chart(
        charts.queues_chart(tables.queues(bars, window), theme, titles.queues(int(part["waiting"].max())), window)
    )
    draw_step_table(tables.step_table(part), "aggsim-steps.csv")
