"""The same scenario through every engine, worked out beside the page and only while the panel is open."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from html import escape

import pandas as pd
import streamlit as st

from aggsim.planning.compare_engines import EngineAnswer, EngineComparison, Phase
from aggsim.planning.evaluation import Evaluation
from aggsim.report import engines_tables as tables
from aggsim.report import engines_words as words
from aggsim.report.engines_charts import differences_chart
from aggsim.report.theme import Theme
from aggsim.service_engines import ask_engine, is_slow_engine, other_engines
from aggsim.ui.chart import draw_chart
from aggsim.ui.late import State, later
from aggsim.ui.markdown import plain
from aggsim.ui.style import asset
from aggsim.ui.table import draw_csv

PANEL = "engines-panel"
_WORK = "_engines_work"
_PATIENCE_S = 0.4
"""What is done by then is drawn with the page."""

Work = dict[str, "Future[EngineAnswer]"]
"""By engine."""


@st.cache_resource(show_spinner=False)
def _workers() -> ThreadPoolExecutor:
    """Two for all sessions: a slow engine does not keep a quick one waiting."""
    return ThreadPoolExecutor(2, thread_name_prefix="engines")


def draw_engines(evaluation: Evaluation, theme: Theme) -> None:
    """A folded panel; nothing is asked before it is opened."""
    panel = st.expander("Compare engines", key=PANEL, icon=":material/balance:", on_change="rerun")
    if not panel.open:
        return
    with panel:
        st.html(f"<style>{asset('engines.css')}</style>")
        work = _work(evaluation)
        wait(work.values(), _PATIENCE_S)
        state = _state(work)
        later(partial(_state, work), state)
        st.fragment(_body)(evaluation, work, theme)


def _state(work: Work) -> State:
    num_done = sum(future.done() for future in work.values())
    return num_done, num_done < len(work)


def _work(evaluation: Evaluation) -> Work:
    """Questions that are under way or answered; those about another scenario are given up."""
    kept: tuple[Evaluation, Work] | None = st.session_state.get(_WORK)
    if kept is None or kept[0] is not evaluation:
        if kept is not None:
            for future in kept[1].values():
                future.cancel()
        kept = (evaluation, {})
        st.session_state[_WORK] = kept
    work = kept[1]
    names = other_engines(evaluation)
    slow = [name for name in names if is_slow_engine(name)]
    wanted = not slow or st.toggle(
        f"Also ask {', '.join(slow)}: seconds a pass",
        value=evaluation.run.timing == "wave",
        key=f"engines-slow-{evaluation.run.timing}",
        help="Every pass that is priced is kept on disk. A run simulated step by step may need hundreds of them.",
    )
    for name in names:
        if name not in work and (wanted or name not in slow):
            work[name] = _workers().submit(ask_engine, name, evaluation)
    return work


def _body(evaluation: Evaluation, work: Work, theme: Theme) -> None:
    """A fragment: its switches cost no run of the page."""
    busy = [name for name, future in work.items() if not future.done()]
    done = {name: future for name, future in work.items() if future.done() and not future.cancelled()}
    if busy:
        st.caption(f":material/hourglass_top: Asking {plain(', '.join(busy))} …")
    if not done:
        return
    comparison = EngineComparison(base=evaluation, others=tuple(future.result() for future in done.values()))
    st.markdown(f"**{plain(words.headline(comparison))}**")
    if lines := words.agreement(comparison):
        st.markdown("\n".join(f"- {plain(line)}" for line in lines))
    _draw_table(comparison)
    if missing := words.left_out(comparison):
        st.caption("No answer from\n" + "\n".join(f"- {plain(line)}" for line in missing))
    if comparison.answered:
        _draw_differences(comparison, theme)
    draw_csv(tables.engine_frame(comparison), "aggsim-engines.csv")


def _draw_table(comparison: EngineComparison) -> None:
    """Figures of the engines that answer, the one on screen first."""
    rows = tables.engine_rows(comparison)
    helps = {
        "memory used": "Weights, KV cache and activations per device, of the tightest pass",
        "decode measured": "Share of a decode pass whose operators were measured as they are; the rest is interpolated "
        "or computed",
    }
    head = "".join(f'<th title="{escape(helps.get(name, ""), quote=True)}">{escape(name)}</th>' for name in rows[0])
    body = "".join(f"<tr>{''.join(_cell(*cell) for cell in row.values())}</tr>" for row in rows)
    st.html(f'<table class="aggsim-table numbers"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>')


def _cell(text: str, apart: str) -> str:
    return f"<td>{escape(text)}{f'<i>{escape(apart)}</i>' if apart else ''}</td>"


def _draw_mapping(frame: pd.DataFrame) -> None:
    """Which operators count as what; hover tells what a kind is."""
    engines = [name for name in frame.columns if name not in ("kind", "what counts")]
    head = "".join(f"<th>{escape(name)}</th>" for name in ("kind", *engines))
    body = "".join(
        f'<tr><td title="{escape(row["what counts"], quote=True)}">{escape(row["kind"])}</td>'
        + "".join(f"<td>{escape(row[engine])}</td>" for engine in engines)
        + "</tr>"
        for row in frame.to_dict("records")
    )
    st.html(f'<table class="aggsim-table names"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>')


def _draw_differences(comparison: EngineComparison, theme: Theme) -> None:
    answers = {answer.engine.name: answer for answer in comparison.answered}
    first, second = st.columns([1, 1], gap="large")
    with first:
        with st.container(horizontal=True):
            name = _choice("Engine beside the one on screen", list(answers), "engines-other")
            phase: Phase = (
                "prefill" if _choice("Pass", ["decode", "prefill"], "engines-phase") == "prefill" else "decode"
            )
        other = answers[name]
        frame = tables.difference_frame(comparison.base, other, phase)
        title = words.differences_title(comparison.base, other, phase)
        if len(frame):
            draw_chart(differences_chart(frame, theme, phase, title))
        else:
            st.info(plain(title), icon=":material/info:")
    with second:
        st.caption("**Which operators were put together**, since engines name and cut them each in their own way")
        _draw_mapping(tables.mapping_frame(comparison.base, other, phase))


def _choice(label: str, options: list[str], key: str) -> str:
    """A switch, the first option being on at the start; nothing is drawn where there is no choice."""
    if len(options) == 1:
        return options[0]
    if st.session_state.get(key, options[0]) not in options:
        del st.session_state[key]
    chosen = st.segmented_control(
        label, options, default=options[0], key=key, required=True, label_visibility="collapsed"
    )
    return chosen or options[0]
