"""Bottom of a page: who computed the numbers, what they assume, how to get them without a browser."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import streamlit as st

from aggsim.planning.evaluation import Evaluation
from aggsim.report.words import assumptions
from aggsim.share import encode_short
from aggsim.ui.markdown import plain


def draw_foot(evaluation: Evaluation) -> None:
    """Engine, version, who else was asked, assumptions and the equivalent command line."""
    engine = evaluation.engine
    st.divider()
    words, command = st.columns(2, gap="large")
    with words:
        asked = ", chosen by auto" if engine.asked == "auto" else ""
        why = f" · {plain(engine.fallback)}" if engine.fallback else ""
        st.caption(f"**Engine** {plain(engine.name)} {plain(engine.version)}{asked}{why}")
        st.caption("\n".join(f"- {plain(sentence)}" for sentence in assumptions(evaluation)))
    with command:
        st.caption("**The same answer on the command line**")
        st.code(
            f'python -m aggsim evaluate "{encode_short(evaluation.asked) or "v=1"}"', language="bash", wrap_lines=True
        )


def draw_warnings(evaluation: Evaluation) -> None:
    """What the engine, the model and the workload want the reader to know; why auto fell back says the foot."""
    draw_sentences([sentence for sentence in evaluation.warnings if sentence != evaluation.engine.fallback])


def draw_sentences(warnings: Sequence[str]) -> None:
    """One line a warning."""
    if warnings:
        items = "".join(f"<div>⚠ {escape(sentence)}</div>" for sentence in warnings)
        st.html(f'<div class="aggsim-warnings">{items}</div>')
