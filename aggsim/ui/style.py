"""Our stylesheet, what keeps the browser's history in order, and how files beside the modules are read."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import streamlit as st


@cache
def asset(name: str) -> str:
    """Text of a file of this folder."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def draw_style() -> None:
    """Once a run, before anything else is drawn."""
    st.html(f"<style>{asset('style.css')}</style>")
    st.html(f"<script>{asset('history.js')}</script>", unsafe_allow_javascript=True)
