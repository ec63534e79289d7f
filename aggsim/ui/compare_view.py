"""The Compare page's parts: chips and controls, the table, the charts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape

import streamlit as st

from aggsim import service
from aggsim.errors import AggsimError
from aggsim.planning.evaluation import Evaluation
from aggsim.report import compare_charts as charts
from aggsim.report import compare_titles as titles
from aggsim.report.compare_inputs import entry_names, input_rows
from aggsim.report.comparison import LETTERS, Cell, Entry, Row, result_rows, results_frame
from aggsim.report.export_html import report_html
from aggsim.report.theme import Theme
from aggsim.scenario import Scenario
from aggsim.share_compare import MAX_SCENARIOS, Comparison, encode_comparison
from aggsim.ui import compare_state, pin
from aggsim.ui.chart import draw_chart
from aggsim.ui.compare_links import draw_add_links
from aggsim.ui.download import base_address, offer_file, reported
from aggsim.ui.freeze import frozen_query
from aggsim.ui.freeze_view import draw_checks
from aggsim.ui.jump import PLAN, open_scenario
from aggsim.ui.markdown import plain
from aggsim.ui.style import asset
from aggsim.ui.table import draw_csv
from aggsim.ui.tiles import draw_headline


def answered(comparison: Comparison, of_form: Evaluation | None) -> list[Entry]:
    """Every scenario with its answer, or the reason why there is none. of_form: the form's, known already."""
    entries = []
    with st.spinner("Answering every scenario …", show_time=True):
        for letter, scenario in zip(LETTERS, comparison.shown, strict=False):
            is_current = scenario == comparison.current
            evaluation, error = of_form if is_current else None, ""
            if evaluation is None:
                try:
                    evaluation = service.evaluate(scenario)
                except AggsimError as problem:
                    error = str(problem)
            entries.append(
                Entry(letter=letter, asked=scenario, evaluation=evaluation, error=error, is_current=is_current)
            )
    return entries


def links(comparison: Comparison, entries: Sequence[Entry]) -> tuple[str, str]:
    """The complete link of the comparison, every auto resolved, and the same with its results frozen."""
    settled = {entry.asked: entry.settled for entry in entries}
    resolved = comparison.mapped(lambda scenario: settled.get(scenario, scenario))
    by_settled = {entry.settled: entry.evaluation for entry in entries}
    link = encode_comparison(resolved)
    return link, frozen_query(link, [by_settled.get(scenario) for scenario in resolved.shown])


def draw_check(comparison: Comparison, entries: Sequence[Entry]) -> None:
    """Where a frozen comparison was opened."""
    checked = [(entry.letter, entry.asked, entry.evaluation, entry.error) for entry in entries]
    draw_checks(comparison, checked, is_comparison=True)


def draw_chips(comparison: Comparison, entries: Sequence[Entry], names: Sequence[str]) -> None:
    """One chip a scenario: what it is, a click to open it, another one to take it off."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="chips"):
        for entry, name in zip(entries, names, strict=True):
            with st.container(horizontal=True, gap="small", vertical_alignment="center", border=True, width="content"):
                mark = "" if entry.evaluation else ":material/error: "
                role = " :small[· in the form]" if entry.is_current else ""
                st.markdown(f"{mark}**{entry.letter}**  {plain(name)}{role}", width="content")
                st.button("Open", key=f"open-{entry.letter}", type="tertiary", help=f"Opens {entry.letter} on Plan.",
                          on_click=partial(open_scenario, entry.asked, PLAN))  # fmt: skip
                if len(entries) > 1 or entry.asked in comparison.pins:
                    st.button("Remove", key=f"remove-{entry.letter}", type="tertiary", icon=":material/close:",
                              help=f"Takes {entry.letter} out of the comparison.",
                              on_click=partial(_remove, entry.asked))  # fmt: skip
        draw_add_links()
        if comparison.is_current_hidden:
            st.button("Show the form's scenario", key="show-current", type="tertiary", icon=":material/add:",
                      on_click=partial(compare_state.hide, None))  # fmt: skip
    if len(comparison.pins) == MAX_SCENARIOS and comparison.current not in comparison.pins:
        st.caption(f"{MAX_SCENARIOS} scenarios are pinned: there is no room for the form's own. Remove one to see it.")
    for entry in entries:
        if entry.error:
            st.error(f"**{entry.letter}** has no answer: {plain(entry.error)}", icon=":material/error:")


def draw_baseline(comparison: Comparison, entries: Sequence[Entry]) -> None:
    """Which scenario the others are measured against."""
    letters = [entry.letter for entry in entries]
    st.session_state["compare-baseline"] = letters[comparison.baseline_index]
    st.segmented_control(
        "Baseline",
        letters,
        key="compare-baseline",
        help="The scenario that every other one is measured against.",
        on_change=_rebase,
        args=(entries, comparison.current),
        required=True,
    )


def draw_nothing_yet() -> None:
    """One scenario: how to get others beside it."""
    with st.container(border=True):
        st.markdown(
            "**How to compare**\n\n"
            f"- :material/keep: **Pin to compare** in the header of any page keeps the scenario on screen; then change "
            f"the form and pin the next one. Up to {MAX_SCENARIOS} fit side by side.\n"
            "- :material/link: **Add a link** takes any link that was copied from aggsim, a whole comparison too.\n"
            "- :material/travel_explore: On **Search**, rows of the table can be pinned instead of opened."
        )


def draw_table(entries: Sequence[Entry], names: Sequence[str], baseline: int) -> None:
    """What differs in the inputs, and every result with its delta."""
    inputs, results = input_rows(entries), result_rows(entries, baseline)
    heads = "".join(
        _head(entry, name, i == baseline) for i, (entry, name) in enumerate(zip(entries, names, strict=True))
    )
    body = _group("What differs" if inputs else "No input differs", len(entries))
    body += "".join(_row(row, baseline) for row in inputs) + _group("Results", len(entries))
    body += "".join(_row(row, baseline) for row in results)
    st.html(
        f"<style>{asset('compare.css')}</style>"
        f'<div class="aggsim-scroll" tabindex="0" role="region" aria-label="Comparison table">'
        f'<table class="aggsim-compare"><thead><tr><th></th>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
    )
    draw_csv(results_frame(entries, names, baseline), "aggsim-comparison.csv")


def draw_charts(entries: Sequence[Entry], names: Sequence[str], baseline: int, theme: Theme) -> None:
    """Metrics, passes, memory, timelines; scenarios without an answer are left out."""
    answers = [(e, name) for e, name in zip(entries, names, strict=True) if e.evaluation is not None]
    if not answers:
        st.info("No scenario has an answer: there is nothing to draw.", icon=":material/info:")
        return
    left, right = st.columns(2, gap="large")
    for column, name, keys in (
        (left, "Times compared", charts.time_keys(entries, baseline)),
        (right, "Throughput compared", list(charts.RATES)),
    ):
        with column:
            frame = charts.bars_frame(entries, names, baseline, keys)
            draw_chart(charts.bars_chart(frame, theme, name, titles.bars(entries, keys)))
    ends = charts.ends_frame(entries, names)
    strips = charts.timelines_frame(entries, names)
    if len(strips):
        draw_chart(charts.timelines_chart(strips, ends, theme, titles.timelines(entries)))
    left, right = st.columns(2, gap="large")
    for column, which in ((left, "prefill"), (right, "decode")):
        frame = charts.passes_frame(entries, names, which)
        with column:
            if len(frame):
                name = f"{which.capitalize()} passes compared"
                draw_chart(charts.passes_chart(frame, theme, name, titles.passes(entries, which, baseline)))
    frame = charts.memory_frame(entries, names)
    draw_chart(charts.memory_chart(frame, theme, titles.memory_left(entries)))


def draw_answer(entries: Sequence[Entry], names: Sequence[str], baseline: int) -> None:
    """The finding."""
    draw_headline(*titles.headline(entries, names, baseline))


def named(entries: Sequence[Entry]) -> list[str]:
    """What tells them apart."""
    return entry_names(entries)


def _remove(scenario: Scenario) -> None:
    pin.unpin(scenario)
    compare_state.hide(scenario)


def _rebase(entries: Sequence[Entry], current: Scenario) -> None:
    chosen = st.session_state["compare-baseline"]
    compare_state.choose_baseline(next(e.asked for e in entries if e.letter == chosen), current)


def _head(entry: Entry, name: str, is_base: bool) -> str:
    roles = [role for role, holds in (("baseline", is_base), ("in the form", entry.is_current)) if holds]
    role = f'<span class="role">{", ".join(roles)}</span>' if roles else ""
    kind = ' class="base"' if is_base else ""
    return f'<th scope="col"{kind}><span class="letter">{entry.letter}</span>{escape(name)}{role}</th>'


def _group(title: str, columns: int) -> str:
    return f'<tr class="group"><th colspan="{columns + 1}" scope="colgroup">{escape(title)}</th></tr>'


def _row(row: Row, baseline: int) -> str:
    cells = "".join(_cell(cell, i == baseline) for i, cell in enumerate(row.cells))
    return f'<tr><th scope="row" title="{escape(row.help, quote=True)}">{escape(row.label)}</th>{cells}</tr>'


def _cell(cell: Cell, is_base: bool) -> str:
    classes = [name for name, holds in (("base", is_base), ("stop", cell.better is False and not cell.note)) if holds]
    quality = {True: " good", False: " bad", None: ""}[cell.better]
    note = f'<div class="note{quality}">{escape(cell.note)}</div>' if cell.note else ""
    kind = f' class="{" ".join(classes)}"' if classes else ""
    hover = f' title="{escape(cell.exact, quote=True)}"' if cell.exact else ""
    return f'<td{kind}{hover}><div class="value">{escape(cell.text)}</div>{note}</td>'


def offer_report(entries: Sequence[Entry], names: Sequence[str], baseline: int) -> None:
    """All that have an answer as one printable page in the menu Download, the baseline first."""
    order = [baseline, *(i for i in range(len(entries)) if i != baseline)]
    base = base_address()
    answers = [(entries[i].evaluation, f"{entries[i].letter}: {names[i]}") for i in order]
    found = [reported(evaluation, base, name) for evaluation, name in answers if evaluation is not None]
    if found:
        make = partial(report_html, found)
        help_words = "One printable page: every scenario that has an answer, measured against the baseline."
        offer_file("Comparison (HTML)", "aggsim-comparison.html", "text/html", make, help_words)
