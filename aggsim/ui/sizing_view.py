"""The smallest deployment for a load, below the answer of a search."""

from __future__ import annotations

import streamlit as st

from aggsim import service
from aggsim.errors import AggsimError
from aggsim.planning.deployment import Load, Sizing
from aggsim.report import sizing
from aggsim.report.search_words import device_words
from aggsim.report.theme import Theme
from aggsim.scenario_search import SearchQuestion
from aggsim.service_search import is_slow
from aggsim.ui import search_state
from aggsim.ui.chart import draw_chart
from aggsim.ui.download import offer_table
from aggsim.ui.markdown import plain
from aggsim.ui.search_view import open_on_plan
from aggsim.ui.table import draw_csv, explained

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
        _draw_loss(result.sizings[0])
    else:
        st.warning(plain(sizing.headline(result)), icon=":material/error:")


def _draw_loss(smallest: Sizing) -> None:
    """The whole load on all replicas, on one less, on one more."""
    frame = sizing.loss_frame(smallest)
    offer_table(frame, "aggsim-one-lost.csv")
    name = device_words(smallest.candidate.scenario.device, smallest.num_devices)
    st.markdown(f"**If a replica is lost** :small[{plain(name)}; its load spreads evenly over the others]")
    rate, ms = (st.column_config.NumberColumn(format=spelled) for spelled in ("%,.0f", "%,.1f"))
    st.dataframe(
        frame,
        hide_index=True,
        placeholder="–",
        alt="The whole load on all replicas, with one lost, and with one to spare",
        column_config=explained(
            frame,
            {
                "case": st.column_config.TextColumn("deployment", width=150),
                "carried": st.column_config.TextColumn("load"),
                "headroom": st.column_config.NumberColumn("headroom", format="percent"),
                "tokens_per_s_each": rate | {"label": "output tokens/s each"},
                "prompt_tokens_per_s_each": rate | {"label": "prompt tokens/s each"},
                "requests_per_s_each": st.column_config.NumberColumn("requests/s each", format="%.2f"),
                "batch": st.column_config.NumberColumn(
                    "batch", help="Smallest evaluated batch size with which a replica makes its share"
                ),
                "ttft_ms": ms | {"label": "TTFT (ms)"},
                "tpot_ms": ms | {"label": "TPOT (ms)"},
                "limits": st.column_config.TextColumn("at that batch size", width=300),
            },
        ),
    )
