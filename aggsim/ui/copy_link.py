"""A button that puts the complete link of the page on screen into the clipboard."""

from __future__ import annotations

import os
from typing import Any

import streamlit as st

from aggsim.ui.style import asset

PUBLIC_URL = "AGGSIM_PUBLIC_URL"
"""Environment variable: where colleagues reach this server; unset: the address the browser itself used."""


@st.cache_resource
def _button() -> Any:
    html, css, js = (asset(f"copy_link.{kind}") for kind in ("html", "css", "js"))
    return st.components.v2.component("aggsim_copy_link", html=html, css=css, js=js)


def draw_copy_link(query: str, page_path: str) -> None:
    """query: the complete one of share.encode; page_path: of the page on screen."""
    _button()(data={"query": query, "page": page_path, "base": os.environ.get(PUBLIC_URL, "")}, key="copy_link")
