"""Charts and tables of a search."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from aggsim.planning.search_result import Candidate, SearchResult
from aggsim.report import search_charts as charts
from aggsim.report import search_tables as tables
from aggsim.report import search_titles as titles
from aggsim.report.format import count
from aggsim.report.search_words import candidate_words
from aggsim.report.theme import Theme
from aggsim.scenario import Scenario
from aggsim.scenario_search import SearchQuestion
from aggsim.share_search import encode_search_short
from aggsim.ui import form, search_state
from aggsim.ui.chart import draw_chart
from aggsim.ui.table import draw_csv

TOP = 20
"""Rows of the table on screen until all are asked for."""
_OPENED_KEYS = ("device", "devices", "tp", "pp", "ep", "moe_dp")


def draw_charts(result: SearchResult, theme: Theme) -> None:
    """Pareto, throughput over batch size, heat map; devices where there are several."""
    points = tables.points_frame(result)
    if not len(points):
        st.info("No point could be priced: see the rejected layouts below.", icon=":material/info:")
        return
    series, limit = tables.series_names(result), result.question.base.tpot
    edge = tables.frontier_frame(result)
    stops = tables.stops_frame(result, per_device=result.by_device)
    left, right = st.columns(2, gap="large")
    with left:
        draw_chart(charts.pareto_chart(points, edge, series, theme, titles.pareto(result, edge), limit))
    with right:
        if len(stops):
            title = titles.throughput(result)
            draw_chart(charts.batch_chart(points, stops, series, theme, title, per_device=result.by_device))
    devices = list(dict.fromkeys(points["device"]))
    places = st.columns(2, gap="large") if len(devices) > 1 else [st.container()]
    with places[0]:
        heat = tables.heat_frame(result)
        draw_chart(charts.heat_chart(heat, theme, titles.heat(heat)))
    if len(devices) > 1:
        with places[1]:
            edges = pd.concat([tables.frontier_frame(result, device) for device in devices])
            title = titles.devices(tables.device_table(result))
            draw_chart(charts.device_chart(points, edges, devices, theme, title, limit))


def draw_top(result: SearchResult) -> None:
    """The best layouts; a click on a row opens it on Plan."""
    if not result.candidates:
        return
    st.html('<div class="aggsim-section">Best of each layout<span>choose a row to open it on Plan</span></div>')
    every = len(result.candidates)
    wanted = every if every <= TOP or st.session_state.get("search-all") else TOP
    shown = result.candidates[:wanted]
    frame = tables.top_table(shown, result)
    ms, rate = (st.column_config.NumberColumn(format=spelled) for spelled in ("%.1f", "%,.0f"))
    st.dataframe(
        frame,
        hide_index=True,
        key="search-top",
        on_select=_open_row,
        selection_mode="single-row",
        height=min(36 * (len(frame) + 1), 400),
        alt="The best batch size of each layout, best first",
        column_config={
            "rank": st.column_config.NumberColumn("#", width=40),
            "layout": st.column_config.TextColumn("layout", width="medium"),
            "ttft_ms": ms | {"label": "TTFT (ms)"},
            "tpot_ms": ms | {"label": "TPOT (ms)"},
            "tokens_per_s": rate | {"label": "tokens/s"},
            "per_device": st.column_config.NumberColumn("per device", format="%.1f"),
            "requests_per_s": st.column_config.NumberColumn("requests/s", format="%.2f"),
            "behind": st.column_config.NumberColumn("behind", format="percent"),
            "memory_left_gib": st.column_config.NumberColumn("memory left (GiB)", format="%.1f"),
            "stopped_by": st.column_config.TextColumn("what stops the next batch size"),
        },
    )
    st.session_state["_search_shown"] = (shown, result.question)
    if every > TOP:
        st.checkbox(f"Show all {every} layouts", key="search-all")


def draw_rejected(result: SearchResult) -> None:
    """What has no answer, with reasons."""
    if result.rejected:
        words = f"{count(len(result.rejected), 'rejected layout')} with reasons"
        with st.expander(words, expanded=not result.candidates):
            frame = tables.rejected_table(result)
            st.dataframe(frame, hide_index=True, height=min(36 * (len(frame) + 1), 360))


def draw_downloads(result: SearchResult) -> None:
    """All points as CSV, and the command line."""
    csv, command = st.columns([1, 3], vertical_alignment="center")
    with csv:
        draw_csv(tables.all_points_table(result), "aggsim-search.csv")
    with command:
        query = encode_search_short(result.question) or "v=1"
        st.code(f'python -m aggsim search "{query}"', language="bash", wrap_lines=True)


def draw_open_best(result: SearchResult) -> None:
    """A button for the winner: the keyboard's way to Plan."""
    if result.best is not None:
        st.button(
            f"Open {candidate_words(result.best, result.question)} on Plan",
            key="search-open-best",
            icon=":material/speed:",
            on_click=open_on_plan,
            args=(result.best, result.question),
        )


def open_on_plan(candidate: Candidate, question: SearchQuestion) -> None:
    """A callback: the form becomes that layout, and Plan is next. The batch size is found again, the same one."""
    scenario = opened_scenario(candidate, question)
    form.fill(scenario)
    st.session_state[form.TOUCHED] = True
    search_state.leave(scenario, question)


def opened_scenario(candidate: Candidate, question: SearchQuestion) -> Scenario:
    """The question's base with what the layout settles; formats only where they vary."""
    keys = [*_OPENED_KEYS[: 6 if candidate.is_moe else 4], *(question.varied.keys() - set(_OPENED_KEYS))]
    return question.base.replace(**{key: getattr(candidate.scenario, key) for key in keys})


def _open_row() -> None:
    rows = st.session_state["search-top"]["selection"]["rows"]
    shown, question = st.session_state["_search_shown"]
    if rows and rows[0] < len(shown):
        open_on_plan(shown[rows[0]], question)
