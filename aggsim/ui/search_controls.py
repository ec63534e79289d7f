"""What a search varies: one button a field, which says what it stands at and opens its values."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from aggsim.parameters_choices import EXPERT_KEYS
from aggsim.planning.deployment import MAX_LOAD
from aggsim.planning.layouts import powers_of_two_in
from aggsim.report.format import number
from aggsim.report.words import mode_words
from aggsim.scenario import PARAMETER
from aggsim.scenario_search import ALL, OPEN, WITHOUT_ALL, Value
from aggsim.ui import form, search_state, shelf
from aggsim.ui.catalog import device_ids, is_moe
from aggsim.ui.markdown import plain

_NAMES = {
    "device": "",
    "devices": "Devices",
    "tp": "TP",
    "pp": "PP",
    "ep": "EP",
    "moe_dp": "MoE-DP",
    "linear": "Linear",
    "experts": "Experts",
    "attention": "KV cache",
    "mtp": "MTP",
}
_SPELLED = 3
"""More values are counted, not listed."""
_COUNTS = tuple(1 << i for i in range(13))


def draw_controls(base_model: str) -> None:
    """A row of buttons above the answer."""
    with st.container(horizontal=True, gap="small", key="search-axes"):
        for key, name in _NAMES.items():
            if key not in EXPERT_KEYS or is_moe(base_model):
                _draw_axis(key, name)
        _draw_load()


def _draw_axis(key: str, name: str) -> None:
    chosen, widget = search_state.shown(key), f"axis-{key}"
    st.session_state[widget] = chosen
    several = len(chosen) > 1 or chosen == [ALL]
    parameter = PARAMETER[key]
    words = f"**{plain(_words(key, chosen))}**" if several else plain(_words(key, chosen))
    with st.popover(f"{name}: {words}" if name else words):
        st.caption(f"**{parameter.label}.** {parameter.help}")
        options = _options(key, chosen)
        if key == "device":
            st.multiselect(
                "Values to try", options, key=widget, format_func=_device, on_change=_vary, args=(key, widget)
            )
        else:
            st.pills("Values to try", options, selection_mode="multi", key=widget, on_change=_vary, args=(key, widget))
        st.caption(_hint(key))


def _options(key: str, chosen: Sequence[Value]) -> list[Value]:
    """ALL, the sensible values, and whatever a link has brought."""
    if key == "device":
        values: list[Value] = list(device_ids())
    elif key == "devices":
        values = list(_COUNTS)
    elif key == "mtp":
        values = list(range(int(PARAMETER[key].maximum) + 1))
    elif PARAMETER[key].kind == "whole":
        values = list(powers_of_two_in(int(st.session_state["devices"] or 1)))
    else:
        values = [choice for choice in PARAMETER[key].choices if choice != "auto"]
    brought = [value for value in chosen if value not in values and value != ALL]
    if PARAMETER[key].kind == "whole":
        values = sorted([*values, *brought], key=int)
    return values if key in WITHOUT_ALL else [ALL, *values]


def _words(key: str, chosen: Sequence[Value]) -> str:
    if not chosen:
        return "auto"
    if len(chosen) > _SPELLED or (key == "device" and len(chosen) > 1):
        return f"{len(chosen)} {'devices' if key == 'device' else 'values'}"
    return ", ".join(_word(key, value) for value in chosen)


def _word(key: str, value: Value) -> str:
    if value == ALL or key == "device":
        return _device(value).replace("_", " ")
    if isinstance(value, int):
        return number(value)
    return mode_words(value, "16 bit" if key == "attention" else "unquantized")


def _device(value: Value) -> str:
    return shelf.label("device", str(value))


def _hint(key: str) -> str:
    if key in OPEN:
        return "all: every power of two that divides the devices."
    if key in WITHOUT_ALL:
        return "Several counts are compared per device."
    return "Several values are tried with every layout; one is the value in the form."


def _vary(key: str, widget: str) -> None:
    st.session_state[form.TOUCHED] = True
    search_state.vary(key, list(st.session_state[widget]))


def _draw_load() -> None:
    given = search_state.target()
    words = f"{number(given[1])} {search_state.LOADS[given[0]]}" if given else "none"
    kinds = list(search_state.LOADS)
    st.session_state["load-kind"] = given[0] if given else st.session_state.get("load-kind", kinds[0])
    st.session_state["load-value"] = given[1] if given else None
    with st.popover(f"Load: **{words}**" if given else f"Load: {words}"):
        st.caption("**Load to carry.** The smallest deployment of each device that carries it within the limits.")
        st.segmented_control(
            "Of",
            kinds,
            key="load-kind",
            format_func=search_state.LOADS.__getitem__,
            on_change=_aim,
            label_visibility="collapsed",
        )
        st.number_input(
            "Load", key="load-value", min_value=0.0, max_value=MAX_LOAD, value=None, format="%g",
            placeholder="none", on_change=_aim,
        )  # fmt: skip


def _aim() -> None:
    st.session_state[form.TOUCHED] = True
    search_state.aim(st.session_state["load-kind"] or next(iter(search_state.LOADS)), st.session_state["load-value"])
