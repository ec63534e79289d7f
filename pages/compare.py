"""Compare: up to six scenarios side by side, measured against one of them."""

import streamlit as st

from aggsim.report.compare_titles import comparison_words
from aggsim.ui import compare_state
from aggsim.ui import compare_view as view
from aggsim.ui.foot import draw_sentences
from aggsim.ui.frame import current_answer
from aggsim.ui.header import draw_title, page_body
from aggsim.ui.navigation import require_app

require_app()
answer = current_answer()
if answer.asked is None:
    draw_title("Compare", "", "")
    st.stop()
comparison = compare_state.comparison(answer.asked)
entries = view.answered(comparison, answer.evaluation)
names, baseline = view.named(entries), comparison.baseline_index
draw_title("Compare", comparison_words(entries), *view.links(comparison, entries))
with page_body() as theme:
    view.draw_check(comparison, entries)
    view.draw_answer(entries, names, baseline)
    view.draw_chips(comparison, entries, names)
    if len(entries) == 1:
        view.draw_nothing_yet()
        st.stop()
    view.draw_baseline(comparison, entries)
    view.draw_table(entries, names, baseline)
    view.draw_charts(entries, names, baseline, theme)
    view.offer_report(entries, names, baseline)
    draw_sentences(list(dict.fromkeys(s for e in entries if e.evaluation for s in e.evaluation.warnings)))
