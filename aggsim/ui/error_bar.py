"""How far off the engine was where something like this was measured, below the tiles of an answer."""

from __future__ import annotations

import streamlit as st

from aggsim.planning.evaluation import Evaluation
from aggsim.planning.neighbours import can_compare, neighbours
from aggsim.report.accuracy_words import error_bar_words

HELP = (
    "Of the nearest measurements eight in ten lie in this range: predicted ÷ measured − 1. Nearest: the same model or "
    "its family, the same device or its generation, then layout, load and lengths."
)


def draw_error_bar(evaluation: Evaluation) -> None:
    """One quiet line; none for devices and engines that nobody measured anything of."""
    if can_compare(evaluation):
        arrival = evaluation.scenario.arrival
        st.caption(error_bar_words(evaluation.engine.name, neighbours(evaluation), arrival), help=HELP)
