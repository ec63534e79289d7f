"""Buttons that put a complete link of the page on screen into the clipboard."""

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


def draw_copy_link(
    query: str, page_path: str, *, label: str = "Copy link", done: str = "Copied ✓", hint: str = "", icon: str = "link"
) -> None:
    """query: the complete one of share.encode; page_path: of the page on screen; hint: for hover, instead of the link;
    icon: link or frost."""
    base = os.environ.get(PUBLIC_URL, "")
    data = {"query": query, "page": page_path, "base": base, "label": label, "done": done, "hint": hint, "icon": icon}
    _button()(data=data, key=label.lower().replace(" ", "_"), width="content")
