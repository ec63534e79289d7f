"""A trace from a file: kept by what it says, and named so in the form and in the link."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import streamlit as st

from aggsim import service
from aggsim.errors import InputError
from aggsim.report.format import count, duration
from aggsim.service_traces import trace_extent
from aggsim.serving.arrivals import MAX_TRACE_ROWS

KEY = "trace-upload"
MAX_MB = 5
_SAID = "_trace_said"
"""What came of the last file: whether it was taken, and in words."""


def draw_trace_upload(touched: Callable[[], None]) -> None:
    """Below the field `trace`, which gets the name of what is uploaded; touched: the form has been changed."""
    st.file_uploader(
        "Upload a trace (CSV)",
        ["csv", "txt"],
        key=KEY,
        max_upload_size=MAX_MB,
        on_change=_take,
        args=(touched,),
        help="A header line **arrival_s,input,output**, then one line for each request: seconds since the start, "
        f"tokens of the prompt, tokens to generate. At most {MAX_TRACE_ROWS:,} requests and {MAX_MB} MB. It is kept on "
        "this server; the link names it by its content.",
    )
    ok, words = st.session_state.get(_SAID, (True, ""))
    if words and ok:
        st.caption(f"✓ {words}")
    elif words:
        st.html(f'<div class="aggsim-error" role="alert">✗ {escape(words)}</div>')


def _take(touched: Callable[[], None]) -> None:
    """A callback. A file that is no trace changes nothing but what is said of it."""
    file = st.session_state[KEY]
    st.session_state[_SAID] = (True, "")
    if file is None:
        return
    try:
        name = service.keep_trace(_text(file.getvalue()))
    except InputError as error:
        st.session_state[_SAID] = (False, str(error).removeprefix("trace: "))
        return
    requests, seconds = trace_extent(name)
    st.session_state[_SAID] = (True, f"{count(requests, 'request')} over {duration(seconds)}")
    st.session_state["trace"] = name
    touched()


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("trace", f"byte {error.start + 1:,} of the file", "a CSV file in UTF-8") from error
