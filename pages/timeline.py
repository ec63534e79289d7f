"""Timeline: what the scheduler did, step by step."""

import streamlit as st

from aggsim.report.timeline_tables import steps_frame
from aggsim.report.words import out_of_memory_words, timeline_words, timing_words
from aggsim.ui.foot import draw_foot, draw_warnings
from aggsim.ui.header import draw_header, page_body
from aggsim.ui.load_timeline_view import draw_load_page
from aggsim.ui.navigation import require_app
from aggsim.ui.provenance_view import draw_provenance
from aggsim.ui.tiles import draw_headline
from aggsim.ui.timeline_view import draw_timeline

require_app()
evaluation = draw_header("Timeline")
with page_body() as theme:
    if evaluation.scenario.is_load:
        draw_load_page(evaluation, theme)
    else:
        draw_headline(timeline_words(evaluation), timing_words(evaluation))
        draw_provenance(evaluation, does="Steps priced by")
        if stopped := out_of_memory_words(evaluation):
            st.error(stopped, icon=":material/memory_alt:")
        steps = steps_frame(evaluation.run.timeline)
        if len(steps) and evaluation.run.timeline.end_s > 0:
            draw_timeline(evaluation, steps, theme)
        else:
            st.info("There is no step to draw.", icon=":material/info:")
    draw_warnings(evaluation)
    draw_foot(evaluation)
