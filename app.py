"""aggsim's dashboard: streamlit run app.py"""

import streamlit as st

from aggsim.ui import late
from aggsim.ui.frame import draw_frame
from aggsim.ui.navigation import in_app, page_list
from aggsim.ui.style import asset

st.set_page_config(page_title="aggsim", page_icon=asset("icon.svg"), layout="wide", initial_sidebar_state=340)

page = st.navigation(page_list(), position="top")
with in_app():
    with late.page():
        draw_frame(page.url_path)
        page.run()
    late.finish()
