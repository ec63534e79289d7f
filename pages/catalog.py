"""Catalog: the models and devices there are, and how to bring one's own."""

import streamlit as st

from aggsim.report.theme import theme_named
from aggsim.report.words import scenario_words
from aggsim.share import encode
from aggsim.ui import catalog_view as view
from aggsim.ui import own_device_view, own_link, own_model_view
from aggsim.ui.frame import current_answer
from aggsim.ui.header import draw_title
from aggsim.ui.navigation import require_app
from aggsim.ui.own_forms import SECTION, SECTIONS
from aggsim.ui.style import asset

require_app()
answer = current_answer()
evaluation = answer.evaluation
query = encode(evaluation.scenario) + own_link.query(evaluation.asked) if evaluation else ""
draw_title("Catalog", scenario_words(evaluation) if evaluation else "", query)
st.html(f"<style>{asset('catalog.css')}</style>")
theme = theme_named(st.context.theme.type)
section = st.segmented_control(
    "Show", list(SECTIONS.values()), default=SECTIONS["models"], required=True, key=SECTION, persist_state="session",
    label_visibility="collapsed",
)  # fmt: skip
if answer.asked is None:
    st.stop()
if section == SECTIONS["models"]:
    view.draw_models(answer.asked.model, theme)
elif section == SECTIONS["devices"]:
    view.draw_devices(answer.asked.device, theme)
elif section == SECTIONS["model"]:
    own_model_view.draw_own_model(answer.asked.model, theme)
else:
    own_device_view.draw_own_device(answer.asked.device, theme)
