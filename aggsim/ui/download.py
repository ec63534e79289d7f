"""What can be taken along: everything on the page in one menu. Bytes are made when a button is clicked.

What is drawn with ui.chart and ui.table lies on the shelf by itself; a page offers more with offer_file. The menu is a
fragment, drawn last, and looks at the shelf when it is opened: pages cost nothing for it, and it has what fragments
drew later.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from aggsim import service
from aggsim.errors import AggsimError
from aggsim.planning.evaluation import Evaluation
from aggsim.report.export_chart import file_stem, png, svg
from aggsim.report.export_code import command_line, python_snippet
from aggsim.report.export_html import Reported, report_html
from aggsim.report.export_load_trace import load_trace_json
from aggsim.report.export_trace import trace_json
from aggsim.report.json_form import evaluation_text
from aggsim.report.theme import Theme, theme_named
from aggsim.service_own import find_device, find_model
from aggsim.share import encode
from aggsim.ui.copy_link import PUBLIC_URL

_SHELF = "_download_shelf"
_PLACE = "_download_place"
_OPEN = "download-menu"
REPORT = "Report (HTML)"

_T = TypeVar("_T")
Maker = Callable[[], str | bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    name: str
    mime: str
    make: Maker
    help: str


@dataclass(slots=True)
class _Shelf:
    """Of the page on screen, in the order drawn."""

    page_path: str
    files: dict[str, _File] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    charts: dict[str, Any] = field(default_factory=dict)


def clear_shelf(page_path: str) -> None:
    """Before a page is drawn."""
    st.session_state[_SHELF] = _Shelf(page_path)


def offer_chart(chart: Any) -> None:
    """A chart with a description, as it has just been drawn; a later one of the same name takes its place."""
    _shelf().charts[file_stem(chart)] = chart


def offer_table(frame: pd.DataFrame, file_name: str) -> None:
    """A table, in full precision."""
    _shelf().tables[file_name] = frame


def offer_file(label: str, file_name: str, mime: str, make: Maker, help: str = "") -> None:
    """Any other file: make() is called when somebody clicks, in a thread of its own (no Streamlit in it).

    The label REPORT takes the place of the report of the one scenario.
    """
    _shelf().files[label] = _File(name=file_name, mime=mime, make=make, help=help)


def reported(evaluation: Evaluation, base: str, name: str = "") -> Reported:
    """An answer with its sources and the link to it on Plan, for report_html. base: base_address(), asked for while the
    page is drawn."""
    scenario = evaluation.scenario
    return Reported(
        evaluation=evaluation,
        name=name,
        link=f"{base}/?{encode(scenario)}",
        model=_found(find_model, scenario.model),
        device=_found(find_device, scenario.device),
    )


def _found(find: Callable[[str], _T], entry_id: str) -> _T | None:
    """None where it only labels the answer and cannot be read."""
    try:
        return find(entry_id)
    except AggsimError:
        return None


def keep_place(place: DeltaGenerator) -> None:
    """Where the menu comes to stand when the page is done."""
    st.session_state[_PLACE] = place


def draw_kept_menu(evaluation: Evaluation | None) -> None:
    """Nothing where no place was kept in this run."""
    place: DeltaGenerator | None = st.session_state.pop(_PLACE, None)
    if place is not None:
        with place:
            draw_menu(evaluation)


@st.fragment
def draw_menu(evaluation: Evaluation | None) -> None:
    """The button with the menu; evaluation: of the scenario on screen, None where there is none."""
    menu = st.popover("Download", icon=":material/download:", key=_OPEN, on_change="rerun", help="Files of this page")
    if menu.open:
        theme = theme_named(st.context.theme.type)
        with menu, st.container(width=470, gap="small", key="download-list"):
            _draw_files(evaluation)
            _draw_tables()
            _draw_charts(theme)
            if evaluation is not None:
                _draw_code(evaluation)


def _draw_files(evaluation: Evaluation | None) -> None:
    offered = _shelf().files
    own: dict[str, _File] = {}
    if evaluation is not None:
        one = reported(evaluation, base_address())
        own = {
            REPORT: _File(name="aggsim-report.html", mime="text/html", make=partial(report_html, [one]),
                            help="One printable page: numbers, charts, assumptions, sources, link. Loads nothing."),
            "Answer (JSON)": _File(name="aggsim-evaluation.json", mime="application/json",
                          make=partial(evaluation_text, evaluation),
                          help="The whole evaluation, as the command line prints it with --json."),
            "Trace (Perfetto)": _File(name="aggsim-trace.json", mime="application/json",
                           make=partial(_trace, evaluation),
                           help="The timeline as a Chrome trace: open it in Perfetto or chrome://tracing."),
        }  # fmt: skip
        own |= {label: file for label, file in offered.items() if label in own}
    whole = {label: file for label, file in offered.items() if label not in own}
    for title, files in (("This page", whole), ("The form's scenario" if whole else "This scenario", own)):
        if files:
            st.caption(f"**{title}**")
            with st.container(horizontal=True, gap="small"):
                for label, file in files.items():
                    _button(label, file)


def _draw_tables() -> None:
    tables = _shelf().tables
    if tables:
        st.caption("**Tables** (CSV, full precision)")
        with st.container(horizontal=True, gap="small"):
            for name, frame in tables.items():
                make = partial(csv_text, frame)
                label = name.removeprefix("aggsim-").removesuffix(".csv").replace("-", " ").capitalize()
                _button(label, _File(name=name, mime="text/csv", make=make, help=f"{len(frame):,} rows: {name}"))


def _draw_charts(theme: Theme) -> None:
    drawn = _shelf().charts
    if drawn:
        st.caption("**Charts**")
    for stem, chart in drawn.items():
        name, *pictures = st.columns([4, 1.35, 1.35], vertical_alignment="center", gap="small")
        name.markdown(str(chart.description).partition(":")[0])
        makers: tuple[Callable[[Any, Theme], str | bytes], ...] = (svg, png)
        for column, kind, mime, make in zip(pictures, ("SVG", "PNG"), ("image/svg+xml", "image/png"), makers,
                                            strict=True):  # fmt: skip
            with column:
                file = _File(name=f"{stem}.{kind.lower()}", mime=mime, make=partial(make, chart, theme), help="")
                _button(kind, file)


def _trace(evaluation: Evaluation) -> str:
    """Of the burst, or of one replica under the load that was simulated."""
    if evaluation.load is None:
        return trace_json(evaluation)
    return load_trace_json(evaluation, service.load_run(evaluation.scenario))


def _draw_code(evaluation: Evaluation) -> None:
    st.caption("**The same answer on the command line and in Python**")
    st.code(command_line(evaluation.asked), language="bash", wrap_lines=True)
    st.code(python_snippet(evaluation.asked).rstrip(), language="python")


def csv_text(frame: pd.DataFrame) -> str:
    """The table as CSV, full precision."""
    return str(frame.to_csv(index=False))


def _button(label: str, file: _File) -> None:
    # "ignore": the page stays as it is.
    st.download_button(
        label, file.make, file.name, file.mime, key=f"get-{file.name}", help=file.help or None, on_click="ignore"
    )


def _shelf() -> _Shelf:
    shelf: _Shelf = st.session_state.setdefault(_SHELF, _Shelf(""))
    return shelf


def base_address() -> str:
    """Where this server is reached: what the team types, else what the browser shows."""
    if given := os.environ.get(PUBLIC_URL, ""):
        return given.rstrip("/")
    return (st.context.url or "").partition("?")[0].rstrip("/").removesuffix(f"/{_shelf().page_path}").rstrip("/")
