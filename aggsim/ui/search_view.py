"""Charts and tables of a search."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

from aggsim import service
from aggsim.planning.search_result import Candidate, SearchResult
from aggsim.report import search_charts as charts
from aggsim.report import search_tables as tables
from aggsim.report import search_titles as titles
from aggsim.report.export_html import report_html
from aggsim.report.format import count
from aggsim.report.search_words import candidate_words, search_headline
from aggsim.report.theme import Theme
from aggsim.scenario import Scenario
from aggsim.scenario_search import SearchQuestion
from aggsim.service_search import is_slow
from aggsim.share_search import encode_search_short
from aggsim.ui.chart import draw_chart
from aggsim.ui.download import base_address, offer_file, offer_table, reported
from aggsim.ui.explain_view import draw_explanation
from aggsim.ui.foot import draw_sentences
from aggsim.ui.jump import PLAN, open_scenario
from aggsim.ui.search_pins import PIN_TABLE, draw_row_action, pin_rows
from aggsim.ui.table import draw_csv, explained
from aggsim.ui.tiles import draw_headline

REPORTED = 3
"""Layouts in the report."""
TOP = 20
"""Rows of the table on screen until all are asked for."""
AT_ONCE = "Requests that one replica serves at once, on average."
_OPENED_KEYS = ("device", "devices", "tp", "pp", "ep", "moe_dp")


def draw_charts(result: SearchResult, points: pd.DataFrame, theme: Theme) -> None:
    """Pareto, and throughput over batch size. points: points_frame."""
    if not len(points):
        st.info("No point could be priced: see the rejected layouts below.", icon=":material/info:")
        return
    series, limit = tables.series_names(result), result.question.base.tpot
    edge = tables.frontier_frame(result)
    stops = tables.stops_frame(result, per_device=result.by_device)
    left, right = st.columns(2, gap="large")
    with left:
        draw_chart(charts.pareto_chart(points, edge, series, theme, titles.pareto(edge), limit))
    with right:
        if len(stops):
            title = titles.throughput(result)
            of_load = result.question.base.is_load
            draw_chart(
                charts.batch_chart(points, stops, series, theme, title, per_device=result.by_device, of_load=of_load)
            )


def draw_details(result: SearchResult, points: pd.DataFrame, theme: Theme) -> None:
    """tp × batch size, and devices where there are several. points: points_frame."""
    if len(points):
        heat = tables.heat_frame(result)
        draw_chart(charts.heat_chart(heat, theme, titles.heat(heat), of_load=result.question.base.is_load))
        _draw_devices(result, points, theme, result.question.base.tpot)


def _draw_devices(result: SearchResult, points: pd.DataFrame, theme: Theme, limit_ms: float | None) -> None:
    """Nothing for one kind of device."""
    devices = list(dict.fromkeys(candidate.scenario.device_name for candidate in result.candidates))
    if len({*points["device"]}) < 2 or not devices:
        return
    chart, table = st.columns(2, gap="large")
    best = tables.device_table(result)
    offer_table(best, "aggsim-devices.csv")
    with chart:
        edges = pd.concat([tables.frontier_frame(result, device) for device in devices])
        answered = points[points["device"].isin(devices)]
        draw_chart(charts.device_chart(answered, edges, devices, theme, titles.devices(best), limit_ms))
    with table:
        st.markdown("**Best of each kind and number of devices**")
        st.dataframe(
            best.drop(columns="device"),
            hide_index=True,
            column_config=explained(
                best.drop(columns="device"),
                {
                    "tpot_ms": st.column_config.NumberColumn("TPOT (ms)", format="%.1f"),
                    "per_device": st.column_config.NumberColumn("tokens/s per device", format="%,.0f"),
                    "tokens_per_s": st.column_config.NumberColumn("tokens/s", format="%,.0f"),
                    "prompt_tokens_per_s": st.column_config.NumberColumn("prompt tokens/s", format="%,.0f"),
                    "requests_per_s": st.column_config.NumberColumn("requests/s", format="%.2f"),
                },
            ),
        )


def draw_limits(result: SearchResult, theme: Theme) -> None:
    """What holds the best layout back, and what would help."""
    if result.best is not None and not is_slow(result.question.base):
        draw_explanation(opened_scenario(result.best, result.question), theme)


def draw_top(result: SearchResult) -> None:
    """The best layouts; a click on a row opens it on Plan."""
    if not result.candidates:
        return
    pinning, is_load = draw_row_action(), result.question.base.is_load
    every = len(result.candidates)
    wanted = every if every <= TOP or st.session_state.get("search-all") else TOP
    shown = result.candidates[:wanted]
    offer_table(tables.top_table(result.candidates, result), "aggsim-layouts.csv")
    frame = tables.top_table(shown, result)
    ms, rate = (st.column_config.NumberColumn(format=spelled) for spelled in ("%,.1f", "%,.0f"))
    st.dataframe(
        frame,
        hide_index=True,
        key=PIN_TABLE if pinning else "search-top",
        on_select=_pin_rows if pinning else _open_row,
        selection_mode="multi-row" if pinning else "single-row",
        height=min(35 * (len(frame) + 1) + 3, 400),
        alt=f"The best {'load' if is_load else 'batch size'} of each layout, best first",
        column_config=explained(
            frame,
            {
                "rank": st.column_config.NumberColumn("#", width=40),
                "layout": st.column_config.TextColumn("layout", width=230),
                "ttft_ms": ms | {"label": "TTFT (ms)"},
                "tpot_ms": ms | {"label": "TPOT (ms)"},
                "tokens_per_s": rate | {"label": "tokens/s"},
                "per_device": st.column_config.NumberColumn("per device", format="%.1f"),
                "requests_per_s": st.column_config.NumberColumn("requests/s", format="%.2f"),
                **({"batch": st.column_config.NumberColumn("at once", help=AT_ONCE)} if is_load else {}),
                "behind": st.column_config.NumberColumn("behind (%)", format="%.1f"),
                "memory_left_gib": st.column_config.NumberColumn("memory left (GiB)", format="%.1f"),
                "prompt_tokens_per_s": rate | {"label": "prompt tokens/s"},
                "stopped_by": st.column_config.TextColumn(
                    "what stops a higher load" if is_load else "what stops the next batch size",
                    help="The first higher load that was looked at and breaks a limit"
                    if is_load
                    else "The first larger batch size that was looked at and breaks a limit",
                ),
            },
        ),
    )
    st.session_state["_search_rows"] = (shown, result.question)
    if every > TOP:
        st.checkbox(f"Show all {every} layouts", key="search-all")


def draw_rejected(result: SearchResult) -> None:
    """What has no answer, with reasons."""
    if result.rejected:
        words = f"{count(len(result.rejected), 'rejected layout')} with reasons"
        with st.expander(words, expanded=not result.candidates):
            frame = tables.rejected_table(result)
            offer_table(frame, "aggsim-rejected.csv")
            st.dataframe(
                frame,
                hide_index=True,
                height=min(35 * (len(frame) + 1) + 3, 360),
                column_config=explained(
                    frame, {"stopped_by": st.column_config.TextColumn(help="The limit that stops it at batch size 1")}
                ),
            )


def draw_downloads(result: SearchResult) -> None:
    """All points as CSV, the best layouts as a report, and the command line."""
    if result.candidates and not is_slow(result.question.base):
        offer_file(
            "Best layouts (HTML)",
            "aggsim-search.html",
            "text/html",
            partial(_best_report, result, base_address()),
            f"One printable page: the {min(REPORTED, len(result.candidates))} best layouts beside each other.",
        )
    csv, command = st.columns([1, 3], vertical_alignment="center")
    with csv:
        draw_csv(tables.all_points_table(result), "aggsim-search.csv")
    with command:
        query = encode_search_short(result.question) or "v=1"
        st.code(f'python -m aggsim search "{query}"', language="bash", wrap_lines=True)


def _best_report(result: SearchResult, base: str) -> str:
    """Made in a thread of its own when somebody asks for it."""
    best = result.candidates[:REPORTED]
    answers = [service.evaluate(candidate.scenario) for candidate in best]
    names = [candidate_words(candidate, result.question) for candidate in best]
    entries = [reported(answer, base, name) for answer, name in zip(answers, names, strict=True)]
    return report_html(entries, f"aggsim search: the best of {count(result.num_layouts, 'layout')}")


def draw_answer(result: SearchResult) -> None:
    """Who wins, and a button that opens it on Plan: the keyboard's way there."""
    words, button = st.columns([5, 2], vertical_alignment="center")
    with words:
        draw_headline(search_headline(result), titles.effort_words(result))
    if result.best is not None:
        with button:
            st.button(
                "Open the best on Plan",
                key="search-open-best",
                icon=":material/speed:",
                on_click=open_on_plan,
                args=(result.best, result.question),
            )


def draw_warnings(result: SearchResult) -> None:
    """Of the best layout."""
    draw_sentences(result.best.warnings if result.best else ())


def open_on_plan(candidate: Candidate, question: SearchQuestion) -> None:
    """A callback: Plan shows that layout. The batch size is found again, the same one."""
    open_scenario(opened_scenario(candidate, question), PLAN)


def opened_scenario(candidate: Candidate, question: SearchQuestion) -> Scenario:
    """The question's base with what the layout settles; formats only where they vary."""
    keys = [*_OPENED_KEYS[: 6 if candidate.is_moe else 4], *(question.varied.keys() - set(_OPENED_KEYS))]
    return question.base.replace(**{key: getattr(candidate.scenario, key) for key in keys})


def _pin_rows() -> None:
    shown, question = st.session_state["_search_rows"]
    pin_rows([opened_scenario(candidate, question) for candidate in shown])


def _open_row() -> None:
    rows = st.session_state["search-top"]["selection"]["rows"]
    shown, question = st.session_state["_search_rows"]
    if rows and rows[0] < len(shown):
        open_on_plan(shown[rows[0]], question)
