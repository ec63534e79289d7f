"""What a load comes to, on Plan: how long requests take, what is carried, queue and KV blocks over time."""

from __future__ import annotations

from html import escape

import streamlit as st

from aggsim.planning.evaluation import Evaluation
from aggsim.planning.load_result import LoadResult
from aggsim.report import load_charts as charts
from aggsim.report import load_tables as tables
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
        st.html(f"<style>{asset('load.css')}</style>{_times(load, evaluation.scenario.percentile)}{_facts(load)}")
    with drawn:
        draw_chart(charts.queue_chart(load, theme))
        if load.series.kv_share and load.kv.blocks:
            draw_chart(charts.kv_chart(load, theme))
    st.caption(tables.passes_words(evaluation))


def _times(load: LoadResult, asked: str) -> str:
    """asked: the percentile that the limits hold for, which is the one on the tiles."""
    marks = [' class="asked" title="What the tiles show and the limits hold for"' if q == asked else "" for q in
             tables.QUANTILES]  # fmt: skip
    head = "".join(f"<th{mark}>{name}</th>" for mark, name in zip(marks, tables.QUANTILES.values(), strict=True))
    rows = ""
    for row in tables.time_rows(load):
        cells = "".join(
            f'<td{mark}>{escape(cell)}<span class="sure">{escape(sure)}</span></td>'
            for mark, cell, sure in zip(marks, row.cells, row.plus_minus, strict=True)
        )
        name = f'{escape(row.name)}<span class="unit">{row.unit}</span>'
        rows += f'<tr><th title="{escape(row.help, quote=True)}">{name}</th>{cells}</tr>'
    return f'<table class="aggsim-times"><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _facts(load: LoadResult) -> str:
    rows = "".join(
        f'<tr title="{escape(text, quote=True)}"><th>{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value, text in tables.facts(load)
    )
    return f'<table class="aggsim-facts"><tbody>{rows}</tbody></table>'
