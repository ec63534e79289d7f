"""Text of users inside Streamlit's Markdown and inside HTML: shown, never interpreted."""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"([!-/:-@\[-`{-~])")


def plain(text: str) -> str:
    """Markdown that shows `text` as it is: every ASCII punctuation mark escaped, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
