"""The scenario form in the sidebar, made from PARAMETERS: one widget a field, its key the field's key."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from html import escape
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from aggsim.errors import AggsimError, InputError
from aggsim.parameters_choices import EXPERT_KEYS
from aggsim.parameters_load import USED_BY, is_used
from aggsim.planning.evaluation import Evaluation
from aggsim.report.format import number
from aggsim.scenario import GROUPS, PARAMETERS, Parameter, Scenario
from aggsim.ui import shelf
from aggsim.ui.catalog import device_ids, engine_ids, is_moe, model_ids
from aggsim.ui.preset_select import draw_preset
from aggsim.ui.trace_upload import draw_trace_upload

_FILLED = "_form_filled_s"
_DELIVERY_S = 3.0
"""A run that is followed by another at once may never reach the browser: values are said again for so long."""
TOUCHED = "_form_touched"
"""Set by a widget's callback: in this run the form speaks, not the address bar."""
_WIDE = frozenset({"model", "device", "batch", "law", "scheduler", "max_batched_tokens", "mtp_rates"})
_WIDE |= {"arrival", "trace", "length_spread", "max_num_seqs"}
_FOLDED = ("Arrivals", "Advanced")
_AS_TEXT = ("rates", "law", "spread", "trace")
_STEPS = {
    "input": 100,
    "output": 100,
    "reserved_gib": 1.0,
    "ttft": 100.0,
    "tpot": 5.0,
    "prefix_hit": 0.05,
    "max_batched_tokens": 1024,
}


def fill(scenario: Scenario) -> None:
    """Set every widget to the scenario's value; an empty one stands for auto and none."""
    shelf.keep("model", [scenario.model])
    shelf.keep("device", [scenario.device])
    for parameter in PARAMETERS:
        value = getattr(scenario, parameter.key)
        if parameter.kind in _AS_TEXT:
            value = "" if value is None else parameter.format(value)
        elif value == "auto":
            value = None
        st.session_state[parameter.key] = value
    st.session_state[_FILLED] = time.monotonic()


def read() -> tuple[Scenario | None, Mapping[str, AggsimError]]:
    """The scenario the widgets spell, or what is wrong, by field."""
    values: dict[str, Any] = {}
    errors: dict[str, AggsimError] = {}
    for parameter in PARAMETERS:
        try:
            values[parameter.key] = _value(parameter)
        except InputError as error:
            errors[parameter.key] = error
    if errors:
        return None, errors
    try:
        return Scenario(**values), {}
    except InputError as error:
        return None, {error.field: error}


def _value(parameter: Parameter) -> Any:
    value = st.session_state[parameter.key]
    if parameter.kind in _AS_TEXT:
        return parameter.parse(value) if value.strip() else parameter.check(None)
    return parameter.check("auto" if value is None and "auto" in parameter.choices else value)


def draw(answer: Evaluation | None, errors: Mapping[str, AggsimError]) -> None:
    """All groups; `answer` (None: there is none for these values) says what auto came to."""
    if time.monotonic() - st.session_state.get(_FILLED, -_DELIVERY_S) < _DELIVERY_S:
        for parameter in PARAMETERS:  # Streamlit sends a widget's value only in the run after it was set
            st.session_state[parameter.key] = st.session_state[parameter.key]
    shown = [parameter for parameter in PARAMETERS if _is_shown(parameter.key)]
    st.sidebar.html('<div class="aggsim-brand">aggsim<span>LLM serving capacity</span></div>')
    for group in GROUPS:
        fields = [parameter for parameter in shown if parameter.group == group]
        folded = group in _FOLDED
        wrong = any(parameter.key in errors for parameter in fields) or (group == "Arrivals" and _is_load())
        if not folded:
            st.sidebar.html(f'<div class="aggsim-group">{group}</div>')
        with st.sidebar.expander(group, expanded=wrong) if folded else st.sidebar:
            if group == "Workload":
                draw_preset(_mark_touched)
            _draw_fields(fields, answer, errors)
            if group == "Device and layout" and answer:
                st.caption(_derived_words(answer))


def _is_shown(key: str) -> bool:
    """Fields that only some scenarios have are shown where they apply, or where a value was given for them."""
    if key in EXPERT_KEYS:
        return is_moe(st.session_state["model"]) or st.session_state[key] is not None
    if key == "law":
        return st.session_state["engine"] == "linear" or bool(st.session_state[key])
    if key in USED_BY:
        return is_used(key, st.session_state["arrival"])
    return True


def _is_load() -> bool:
    """Requests arrive one by one: what there is to say about that is not folded away."""
    return bool(st.session_state["arrival"] != "burst")


def _draw_fields(fields: list[Parameter], answer: Evaluation | None, errors: Mapping[str, AggsimError]) -> None:
    """Two to a row, except the wide ones."""
    free: list[DeltaGenerator] = []
    for parameter in fields:
        if parameter.key in _WIDE:
            free, place = [], st.container()
        else:
            free = free or list(st.columns(2, gap="small"))
            place = free.pop(0)
        with place:
            _draw_field(parameter, answer)
            if parameter.key == "trace":
                draw_trace_upload(_mark_touched)
            if error := errors.get(parameter.key):
                words = str(error).removeprefix(f"{parameter.key}: ")
                st.html(f'<div class="aggsim-error" role="alert">✗ {escape(words)}</div>')


def _draw_field(parameter: Parameter, answer: Evaluation | None) -> None:
    label, full = _label(parameter)
    none = f" {parameter.none_word.capitalize()}: {parameter.none_help}." if parameter.none_word else ""
    common: dict[str, Any] = {
        "label": label,
        "key": parameter.key,
        "help": f"**{full}.** {parameter.help}{none}",
        "on_change": _touched,
        "args": (parameter.key,),
    }
    placeholder = _none_words(parameter, answer)
    if options := _options(parameter):
        # Streamlit finds the value again by its label, which must not change between runs: only own ids have one.
        index = None if placeholder else 0
        kind: shelf.Kind = "model" if parameter.key == "model" else "device"
        named: dict[str, Any] = {"format_func": partial(shelf.label, kind)} if parameter.key in shelf.KINDS else {}
        st.selectbox(options=options, index=index, placeholder=placeholder, **named, **common)
    elif parameter.kind == "whole":
        st.number_input(value=None, step=_STEPS.get(parameter.key, 1), format="%d", placeholder=placeholder, **common)
    elif parameter.kind == "number":
        st.number_input(value=None, step=_STEPS.get(parameter.key, 1.0), format="%g", placeholder=placeholder, **common)
    else:
        st.text_input(placeholder=placeholder or parameter.format(parameter.default), **common)


def _label(parameter: Parameter) -> tuple[str, str]:
    """What stands above a field, with its unit, and the full name for its tooltip ("Tensor parallel (TP)" is TP)."""
    name = parameter.label
    short = name[name.index("(") + 1 : -1] if name.endswith(")") else name
    repeats = parameter.unit and parameter.unit.lower() in name.lower()
    return (f"{short} ({parameter.unit})" if parameter.unit and not repeats else short), name


def _options(parameter: Parameter) -> list[str]:
    if parameter.key == "model":
        return model_ids()
    if parameter.key == "engine":
        return engine_ids()
    choices = device_ids() if parameter.key == "device" else list(parameter.choices)
    return [choice for choice in choices if choice != "auto"]


def _none_words(parameter: Parameter, answer: Evaluation | None) -> str:
    """What stands in an empty field: "auto: 8", or "none"; nothing where a field may not be empty."""
    word = "auto" if "auto" in parameter.choices else parameter.none_word
    if word != "auto" or answer is None:
        return word
    found = getattr(answer.scenario, parameter.key)
    return f"auto: {number(found) if isinstance(found, int) else found}"


def _derived_words(answer: Evaluation) -> str:
    """How the layout comes out: "dp 2 = 8 / (4·1)"."""
    layout = answer.layout
    words = f"dp {layout.dp} = {layout.num_devices} / ({layout.tp}·{layout.pp})"
    if answer.is_moe:
        words += f"; moe_tp {layout.moe_tp} = {layout.tp * layout.dp} / ({layout.ep}·{layout.moe_dp})"
    return words


def _mark_touched() -> None:
    st.session_state[TOUCHED] = True


def _touched(key: str) -> None:
    """A change of the model or the engine takes the fields along that no longer apply."""
    st.session_state[TOUCHED] = True
    if key == "model" and not is_moe(st.session_state["model"]):
        st.session_state.update(dict.fromkeys(EXPERT_KEYS))
    if key == "engine" and st.session_state["engine"] != "linear":
        st.session_state["law"] = ""
    if key == "arrival":  # Streamlit forgets a widget that is no longer drawn, unless its value is set
        st.session_state.update({other: st.session_state[other] for other in USED_BY})
