"""What Compare shows beyond the form: the pins, whether the form's own scenario is left out, and the baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from urllib.parse import parse_qsl

import streamlit as st

from aggsim.scenario import Scenario
from aggsim.share_compare import (
    COMPARE_KEYS,
    Comparison,
    DecodedComparison,
    decode_comparison_lenient,
    encode_comparison_short,
)
from aggsim.share_frozen import FROZEN
from aggsim.ui import freeze, pin

PAGE = "compare"
"""Path of the page whose links may hold several scenarios."""
_HIDDEN = "_compare_hidden"
"""The Scenario of the form that is left out; another one is shown again."""
_BASELINE = "_compare_baseline"
"""A Scenario, or CURRENT: the form's, whatever it is."""
_WRITTEN = "_compare_written"
"""Every address of a comparison that this session has had: to tell them on other pages, where Back comes by."""
CURRENT: Literal["current"] = "current"


def load(query: Mapping[str, list[str]], *, is_other_page: bool) -> DecodedComparison:
    """Take the pins and the baseline of a link; its current scenario is what the form shows.

    is_other_page: the address comes with a change of page. Where it is one of this session's own, Back led here:
    what was pinned meanwhile stays.
    """
    decoded = decode_comparison_lenient(query)
    comparison = decoded.comparison
    if not (is_other_page and is_own(query)):
        pin.set_pins(comparison.pins)
        hide(comparison.current if comparison.is_current_hidden else None)
        choose_baseline(comparison.shown[comparison.baseline_index], comparison.current)
    return decoded


def is_own(query: Mapping[str, list[str]]) -> bool:
    """It is an address that a comparison of this session has had: Back comes by there, on other pages too."""
    return _flat(query) in _written()


def without_pins(query: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """What another page reads of such an address: the current scenario."""
    return {key: texts for key, texts in query.items() if key not in (*COMPARE_KEYS, FROZEN)}


def comparison(current: Scenario) -> Comparison:
    """Of the form's scenario and the pins."""
    chosen: Scenario | str | None = st.session_state.get(_BASELINE)
    baseline = current if isinstance(chosen, str) else chosen
    return Comparison(
        current=current,
        pins=pin.pins(),
        is_current_hidden=st.session_state.get(_HIDDEN) == current and bool(pin.pins()),
        baseline=baseline,
    )


def choose_baseline(scenario: Scenario, current: Scenario) -> None:
    """The form's own scenario stays the baseline while it is edited, unless it is pinned."""
    is_the_form_s = scenario == current and scenario not in pin.pins()
    st.session_state[_BASELINE] = CURRENT if is_the_form_s else scenario


def hide(scenario: Scenario | None) -> None:
    """The form's scenario is left out while it is this one."""
    st.session_state[_HIDDEN] = scenario


def pairs(current: Scenario) -> dict[str, str]:
    """Key → text for the address bar."""
    asked = comparison(current)
    frozen = freeze.pairs(asked, is_comparison=True)
    query = frozen or dict(parse_qsl(encode_comparison_short(asked), keep_blank_values=True))
    _written().add(tuple(sorted(query.items())))
    return query


def _flat(query: Mapping[str, list[str]]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, texts[-1]) for key, texts in query.items()))


def _written() -> set[tuple[tuple[str, str], ...]]:
    known: set[tuple[tuple[str, str], ...]] = st.session_state.setdefault(_WRITTEN, set())
    return known
