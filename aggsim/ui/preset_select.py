"""The select of workload presets, above the fields that it fills."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from aggsim.scenario_presets import CUSTOM, FIELDS, PRESETS, preset_named

_KEY = "preset"
_BY_NAME = {preset.name: preset for preset in PRESETS}


def draw_preset(touched: Callable[[], None]) -> None:
    """Shows what the fields amount to; touched() is called after a choice has filled them."""
    found = preset_named({key: st.session_state.get(key) for key in FIELDS}, st.session_state["arrival"])
    st.session_state[_KEY] = found
    st.selectbox(
        "Preset",
        [CUSTOM, *_BY_NAME],
        key=_KEY,
        help="**Workload preset.** Fills input and output length, prefix cache hit rate, both limits and what they "
        "hold for with values that are typical of a use. Changed afterwards, it is custom. Sources are on Method.",
        on_change=_fill,
        args=(touched,),
    )
    if found in _BY_NAME:
        st.caption(f"{_BY_NAME[found].about} Lengths: {_BY_NAME[found].lengths_source}.")


def _fill(touched: Callable[[], None]) -> None:
    preset = _BY_NAME.get(st.session_state[_KEY])
    if preset is not None:
        st.session_state.update(preset.values)
        touched()
