"""Search: the best layout and batch size under the limits, and what the others would give."""

from aggsim.report.search_titles import effort_words, question_words
from aggsim.report.search_words import search_headline
from aggsim.ui import search_state
from aggsim.ui import search_view as view
from aggsim.ui.foot import draw_warnings
from aggsim.ui.header import draw_header, page_body
from aggsim.ui.navigation import require_app
from aggsim.ui.search_controls import draw_controls
from aggsim.ui.search_run import search_result
from aggsim.ui.tiles import draw_headline

require_app()
evaluation = draw_header(
    "Search",
    line=lambda answer: question_words(search_state.question(answer.asked), answer),
    link=lambda answer: search_state.link(answer.asked),
)
with page_body() as theme:
    draw_controls(evaluation.asked.model)
    result = search_result(search_state.question(evaluation.asked))
    draw_headline(search_headline(result), effort_words(result))
    view.draw_open_best(result)
    view.draw_charts(result, theme)
    view.draw_top(result)
    view.draw_rejected(result)
    draw_warnings(evaluation)
    view.draw_downloads(result)
