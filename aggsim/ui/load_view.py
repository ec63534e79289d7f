"""What a load comes to, on Plan: how long requests take, what is carried, queue and KV blocks over time."""

from __future__ import annotations

import streamlit as st

from aggsim.planning.evaluation import Evaluation
from aggsim.report import load_charts as charts
from aggsim.report import load_tables as tables
from aggsim.report.load_html import facts_table, times_table
from aggsim.report.theme import Theme
from aggsim.ui.chart import draw_chart
from aggsim.ui.download import offer_table
from aggsim.ui.style import asset


def draw_load(evaluation: Evaluation, theme: Theme) -> None:
    """Nothing for a burst, and where not one request fits."""
    load = evaluation.load
    if load is None:
        return
    offer_table(tables.percentile_table(load), "aggsim-percentiles.csv")
    words, drawn = st.columns(2, gap="large")
    with words:
        st.markdown("**How long requests take**")
        times = times_table(load, evaluation.scenario.percentile)
        st.html(f"<style>{asset('load.css')}</style>{times}{facts_table(load)}")
    with drawn:
        draw_chart(charts.queue_chart(load, theme))
        if load.series.kv_share and load.kv.blocks:
            draw_chart(charts.kv_chart(load, theme))
    st.caption(tables.passes_words(evaluation))
