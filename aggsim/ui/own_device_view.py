"""Bring a device: a form that starts from an existing one, its roofline as one types, TOML in and out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from html import escape
from typing import Any

import streamlit as st

from aggsim.devices import editing
from aggsim.devices.editing import Field, link_key
from aggsim.devices.parse import MAX_LINK_LEVELS, device_to_toml
from aggsim.devices.spec import DeviceSpec
from aggsim.errors import AggsimError, InputError
from aggsim.report import catalog_charts as charts
from aggsim.report.theme import Theme
from aggsim.scenario_own import checked_name, named
from aggsim.service_own import own_device
from aggsim.ui import own_forms as forms
from aggsim.ui import own_use, shelf
from aggsim.ui.catalog import device_ids
from aggsim.ui.catalog_view import roofline_title
from aggsim.ui.chart import draw_chart
from aggsim.ui.markdown import plain
from aggsim.ui.own_model_view import link_words

_PROPOSED = "my-device"
_LINK_WIDTHS = (3, 4, 4, 4, 3)
_LINK_HEADS = ("Joins", "GB/s", "Latency µs", "Reach %")


@st.fragment
def draw_own_device(current: str, theme: Theme) -> None:
    """A fragment. current: the scenario's device, to start from."""
    own_use.let_go()
    if st.session_state.get(forms.START) not in device_ids():
        st.session_state[forms.START] = current
    if forms.BEGUN not in st.session_state:
        forms.begin_from(current)
    with st.container(key="own-device"):
        form, chart = st.columns([1, 1], gap="large")
        with form:
            _draw_start()
            place = st.container()
        start: DeviceSpec = st.session_state[forms.BEGUN]
        with place:
            spec, errors = _form(start)
        with chart:
            _draw_result(start, spec, errors, theme)


def _draw_start() -> None:
    st.selectbox(
        "Start from",
        device_ids(),
        key=forms.START,
        format_func=partial(shelf.label, "device"),
        on_change=lambda: forms.begin_from(st.session_state[forms.START]),
        persist_state="session",
        help="Fills every field below from this device.",
    )
    with st.expander("Import TOML", icon=":material/upload_file:"):
        st.file_uploader(
            "A device file", ["toml", "txt"], key=forms.FILE, max_upload_size=1, on_change=forms.import_file
        )
        st.text_area("Or paste it here, then press Ctrl+Enter", key=forms.TOML, height=140, on_change=forms.import_text)
        if wrong := st.session_state.get(forms.IMPORT):
            st.error(plain(wrong), icon=":material/error:")


def _form(start: DeviceSpec) -> tuple[DeviceSpec | None, dict[str, InputError]]:
    """Every field; the device they spell (None: none), and what is wrong, by key."""
    levels = int(st.session_state[forms.LEVELS] or 1)
    keys = [*(field.key for field in _groups_fields()), *_link_keys(levels)]
    for key in keys:
        st.session_state.setdefault(forms.widget(key), "")
    texts = {key: str(st.session_state[forms.widget(key)] or "") for key in keys}
    meshes = tuple(bool(st.session_state.get(forms.widget(link_key(i, "full_mesh")), False)) for i in range(levels))
    vendor, source = st.session_state.get(forms.VENDOR) or "", st.session_state.get(forms.SOURCE) or ""
    spec, errors = editing.device_of(texts, meshes, start, vendor, source)
    name, maker = st.columns([3, 2])
    name.text_input("Name", key=forms.NAME, live=True, persist_state="session", help="Letters, digits, and _ . -")
    maker.text_input("Vendor", key=forms.VENDOR, live=True, persist_state="session",
                     help="Decides the default formats: W8A8 on ascend, else FP8 where there is one.")  # fmt: skip
    _draw_row(editing.MEMORY, errors)
    st.caption("**Matrix units**, dense peaks; empty: none")
    _draw_row(editing.MATRIX[:3], errors)
    _draw_row(editing.MATRIX[3:], errors)
    _draw_links(levels, errors)
    folded = (*editing.VECTOR, *editing.SHARES, *editing.COSTS)
    is_wrong = "" in errors or any(field.key in errors for field in folded)
    with st.expander("Vector units, efficiencies, static costs, source", expanded=is_wrong):
        _draw_row(editing.VECTOR, errors)
        _draw_row(editing.SHARES, errors)
        _draw_row(editing.COSTS, errors)
        st.text_area("Source", key=forms.SOURCE, height=90, persist_state="session",
                     help="Where the numbers are from: shown with every answer.")  # fmt: skip
    return spec, errors


def _groups_fields() -> Sequence[Field]:
    return (*editing.MEMORY, *editing.MATRIX, *editing.VECTOR, *editing.SHARES, *editing.COSTS)


def _link_keys(levels: int) -> list[str]:
    return [link_key(level, field.key) for level in range(levels) for field in editing.LINK_FIELDS]


def _draw_row(fields: Sequence[Field], errors: Mapping[str, InputError]) -> None:
    for column, field in zip(st.columns(len(fields)), fields, strict=True):
        with column:
            _draw_field(field, field.key, errors)


def _draw_field(field: Field, key: str, errors: Mapping[str, InputError], level: int | None = None) -> None:
    """level: of links, whose fields stand below one heading."""
    label = f"{field.label} ({field.unit})" if field.unit else field.label
    st.text_input(
        label if level is None else f"Link {level + 1}, {label[0].lower()}{label[1:]}",
        label_visibility="visible" if level is None else "collapsed",
        key=forms.widget(key),
        live=True,
        persist_state="session",
        help=f"{field.help} Allowed: {field.allowed}.",
        placeholder="none" if field.optional else "",
    )
    if level is None and (error := errors.get(key)):
        _draw_error(str(error).removeprefix(f"{field.label}: "))


def _draw_error(words: str) -> None:
    st.html(f'<div class="aggsim-error" role="alert">✗ {escape(words)}</div>')


def _draw_links(levels: int, errors: Mapping[str, InputError]) -> None:
    """A heading, and a row for each level."""
    words, number = st.columns([3, 2], vertical_alignment="center")
    words.caption("**Links**, outermost level first")
    number.number_input("Levels", 1, MAX_LINK_LEVELS, key=forms.LEVELS, persist_state="session",
                        on_change=forms.fill_levels, label_visibility="collapsed")  # fmt: skip
    heads = st.columns(_LINK_WIDTHS)
    for head, name, field in zip(heads, _LINK_HEADS, editing.LINK_FIELDS, strict=False):
        head.caption(name, help=f"{field.help} Allowed: {field.allowed}.")
    heads[-1].caption("Mesh", help="Point-to-point links to every peer: n out of m have (n−1)/(m−1) of the bandwidth.")
    for level in range(levels):
        columns = st.columns(_LINK_WIDTHS, vertical_alignment="center")
        for column, field in zip(columns, editing.LINK_FIELDS, strict=False):
            with column:
                _draw_field(field, link_key(level, field.key), errors, level)
        columns[-1].checkbox(f"Link {level + 1} is a full mesh", key=forms.widget(link_key(level, "full_mesh")),
                             persist_state="session", label_visibility="collapsed")  # fmt: skip
        for key in _link_keys(levels):
            if key in errors and key.startswith(link_key(level, "")):
                _draw_error(str(errors[key]))


def _draw_result(start: DeviceSpec, spec: DeviceSpec | None, errors: Mapping[str, InputError], theme: Theme) -> None:
    """Roofline, what is wrong, buttons."""
    name, entry_id = st.session_state[forms.NAME] or "", None
    wrong = [str(errors[""])] if "" in errors else []
    try:
        checked_name(name)
        entry_id = own_device(spec, name) if spec else None
    except AggsimError as error:
        wrong.append(str(error))
    if fields := [error.field for key, error in errors.items() if key]:
        wrong.append(f"Not possible yet: {', '.join(fields)}")
    shown: DeviceSpec = spec or st.session_state.get(forms.VALID, start)
    st.session_state[forms.VALID] = shown
    if wrong:
        kept = "" if spec else ". The roofline is that of the last valid values."
        st.error(plain("; ".join(wrong)) + kept, icon=":material/error:")
    lines = {name or _PROPOSED: shown, f"start: {named(start.device_id)}": start}
    draw_chart(charts.device_roofline(lines, theme, f"{roofline_title(shown)}; grey: {named(start.device_id)}"))
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        common: dict[str, Any] = {"disabled": entry_id is None, "args": ("device", entry_id)}
        st.button("Plan with it", type="primary", icon=":material/speed:", key="own-device-plan",
                  on_click=own_use.plan_with, help="Adds it to this session's devices and shows the scenario on Plan "
                  "with it.", **common)  # fmt: skip
        st.button("Add and stay here", icon=":material/add:", key="own-device-add", on_click=own_use.use,
                  help="Adds it to this session's devices and chooses it in the form.", **common)  # fmt: skip
        text = device_to_toml(spec).replace(f'"{start.device_id}"', f'"{name}"', 1) if spec and entry_id else ""
        st.download_button("TOML", text, f"{name}.toml", "application/toml", key="own-device-toml-out",
                           icon=":material/download:", on_click="ignore", disabled=not text)  # fmt: skip
    if entry_id:
        st.caption(link_words(entry_id))
