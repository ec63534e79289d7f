"""Search: the best layout and batch size under the limits, and what the others would give."""

import streamlit as st

from aggsim.errors import AggsimError
from aggsim.report.search_tables import points_frame
from aggsim.report.search_titles import question_words
from aggsim.ui import search_state
from aggsim.ui import search_view as view
from aggsim.ui.frame import current_answer
from aggsim.ui.header import draw_title, page_body
from aggsim.ui.markdown import plain
from aggsim.ui.navigation import require_app
from aggsim.ui.search_controls import draw_controls
from aggsim.ui.search_run import search_result
from aggsim.ui.sizing_view import draw_sizing

require_app()
answer = current_answer()
if answer.asked is None:
    draw_title("Search", "", "")
    st.stop()
question = search_state.question(answer.asked)
draw_title("Search", question_words(question, answer.evaluation), search_state.link(answer.asked))
with page_body() as theme:
    draw_controls(answer.asked.model)
    try:
        result = search_result(question)
    except AggsimError as error:
        st.error(plain(str(error)), icon=":material/error:")
        st.stop()
    if result is not None:
        view.draw_answer(result)
        draw_sizing(question, theme)
        points = points_frame(result)
        view.draw_charts(result, points, theme)
        view.draw_top(result)
        view.draw_rejected(result)
        view.draw_limits(result, theme)
        view.draw_details(result, points, theme)
        view.draw_warnings(result)
        view.draw_downloads(result)
