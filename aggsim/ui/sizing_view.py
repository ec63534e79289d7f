"""The smallest deployment for a load, below the answer of a search."""

from __future__ import annotations

import streamlit as st

from aggsim import service
from aggsim.errors import AggsimError
from aggsim.planning.deployment import Load
from aggsim.report import sizing
from aggsim.report.theme import Theme
from aggsim.scenario_search import SearchQuestion
from aggsim.service_search import is_slow
from aggsim.ui import search_state
from aggsim.ui.chart import draw_chart
from aggsim.ui.markdown import plain
from aggsim.ui.search_view import open_on_plan
from aggsim.ui.table import draw_csv

_ARGUMENTS = {"target_tokens_per_s": "output_tokens_per_s", "target_requests_per_s": "requests_per_s"}


def draw_sizing(question: SearchQuestion, theme: Theme) -> None:
    """Nothing where no load is given."""
    target = search_state.target()
    if target is None:
        return
    if is_slow(question.base):
        st.info(f"Engine {plain(question.base.engine)} is too slow to size deployments.", icon=":material/info:")
        return
    try:
        result = service.size(question, Load(**{_ARGUMENTS[target[0]]: target[1]}))
    except AggsimError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    frame = sizing.sizing_frame(result)
    if len(frame):
        words, chart = st.columns([3, 4], gap="large")
        with words:
            st.markdown(f"**{plain(sizing.headline(result))}**")
            st.markdown("\n".join(f"- {plain(line)}" for line in sizing.sentences(result)))
            with st.container(horizontal=True):
                st.button(
                    "Open one replica on Plan",
                    key="sizing-open",
                    icon=":material/speed:",
                    on_click=open_on_plan,
                    args=(result.sizings[0].candidate, question),
                )
                draw_csv(frame, "aggsim-sizing.csv")
        with chart:
            draw_chart(sizing.sizing_chart(frame, theme, sizing.title(result)))
    else:
        st.warning(plain(sizing.headline(result)), icon=":material/error:")
