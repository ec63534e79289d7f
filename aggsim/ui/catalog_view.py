"""The catalog to look through: a table, a chart beside it, and what one of them is made of."""

from __future__ import annotations

import json
from functools import cache
from html import escape
from typing import Any

import pandas as pd
import streamlit as st

from aggsim import service
from aggsim.devices.parse import device_to_toml
from aggsim.devices.spec import DeviceSpec
from aggsim.models.parameters import count_parameters
from aggsim.models.spec import ModelSpec
from aggsim.report import catalog_charts as charts
from aggsim.report import catalog_tables as tables
from aggsim.report.format import number, percent
from aggsim.report.theme import Theme
from aggsim.scenario_own import OWN, is_own, named
from aggsim.service_own import IN_STORE_NOTE, is_in_store, own_config
from aggsim.ui import own_forms, own_use, shelf
from aggsim.ui.catalog import problem
from aggsim.ui.chart import draw_chart
from aggsim.ui.foot import draw_sentences
from aggsim.ui.markdown import plain
from aggsim.ui.refused_view import draw_refused_devices, draw_refused_models
from aggsim.ui.table import draw_csv

ROW_PX, MAX_ROWS = 35, 9.5
"""More rows are scrolled to, and the half row says so."""


@cache
def _catalog_models() -> pd.DataFrame:
    return tables.models_frame(service.models())


@cache
def _catalog_devices() -> pd.DataFrame:
    return tables.devices_frame(service.devices())


def found(kind: shelf.Kind) -> list[str]:
    """Own entries that can be read; the others (a store has forgotten them) are told and left out."""
    problems = {entry_id: problem(kind, entry_id) for entry_id in shelf.entries(kind)}
    for error in filter(None, problems.values()):
        st.warning(plain(str(error)), icon=":material/link_off:")
    return [entry_id for entry_id, error in problems.items() if error is None]


def draw_facts(title: str, more: str, facts: list[tuple[str, str]]) -> None:
    """A heading and what belongs to it, as a list of terms."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts)
    heading = f'<div class="aggsim-entry">{escape(title)}<span>{escape(more)}</span></div>'
    st.html(f'{heading}<dl class="aggsim-facts">{rows}</dl>')


def draw_models(current: str, theme: Theme) -> None:
    """current: the scenario's model, shown where no row is chosen."""
    own = {model_id: service.find_model(model_id) for model_id in found("model")}
    frame = pd.concat([tables.models_frame(own), _catalog_models()], ignore_index=True)
    text, numbers = st.column_config.TextColumn, st.column_config.NumberColumn
    chosen = _draw_table(
        frame,
        "catalog-models",
        current,
        {
            "model": text("model", width=250, help="Its id in the catalog, or the name of one's own"),
            "parameters_b": _bar(frame, "parameters_b", "parameters (billions)", "All of them; MTP layers not counted"),
            "active_b": numbers("active (billions)", format="%.3g", help="Those that one token passes"),
            "attention": text("attention", width=190, help="Kinds of mixers; GQA 64:8 has 64 query and 8 KV heads"),
            "kv_kib_per_token": _bar(frame, "kv_kib_per_token", "KV per token (KiB)",
                                     "Cache of one more token in 16 bits, over all layers that keep the whole context"),
            "quantization": text("weights", help="Number format of the checkpoint's own weights"),
            "experts": text("experts", help="Routed experts that one token passes"),
            "layers": numbers("layers", help="Of the language model; MTP layers not counted"),
            "context_tokens": numbers("context (tokens)", format="localized", help="Longest context it was made for"),
            "unread": numbers("unknown fields", help="Fields of its config.json that aggsim does not understand"),
            "source": text("source", help="Where its description comes from"),
        },
    )  # fmt: skip
    draw_csv(frame.drop(columns="id"), "aggsim-models.csv")
    draw_refused_models()
    spec = service.find_model(chosen)
    facts, chart = st.columns([1, 1], gap="large")
    with facts:
        used = "the scenario's model" if chosen == current else ""
        draw_facts(named(chosen), used, tables.model_facts(spec))
        draw_sentences(spec.warnings)
        _draw_buttons("model", chosen, current)
    with chart:
        _draw_model_charts(frame, chosen, spec, theme)


def _draw_model_charts(frame: pd.DataFrame, chosen: str, spec: ModelSpec, theme: Theme) -> None:
    among, parts, cache_tab = st.tabs(["Among the others", "Parameters", "KV cache"], key="model-charts")
    with among:
        draw_chart(charts.model_map(frame, chosen, theme))
    with parts:
        draw_parameters(spec, theme)
    with cache_tab:
        draw_cache(spec, theme)


def draw_parameters(spec: ModelSpec, theme: Theme) -> None:
    """Where the parameters of a model are."""
    size = count_parameters(spec)
    title = (
        f"{number(size.total / tables.BILLION)} billion parameters; {percent(size.active / size.total)} of them active"
    )
    draw_chart(charts.parameters_chart(tables.parameters_frame(spec), theme, title))


def draw_cache(spec: ModelSpec, theme: Theme) -> None:
    """The KV cache of one request of a model."""
    frame = tables.cache_frame({spec.model_id: spec})
    if not float(frame["gib"].max()):
        st.info("It keeps no cache.", icon=":material/info:")
        return
    last = frame.iloc[-1]
    title = f"{number(float(last['gib']))} GiB for one request of {number(int(last['tokens']))} tokens"
    draw_chart(charts.cache_chart(frame, theme, title))


def draw_devices(current: str, theme: Theme) -> None:
    """current: the scenario's device, shown where no row is chosen."""
    own = {device_id: service.find_device(device_id) for device_id in found("device")}
    frame = pd.concat([tables.devices_frame(own), _catalog_devices()], ignore_index=True)
    text, numbers = st.column_config.TextColumn, st.column_config.NumberColumn
    peak = "Dense peak of the matrix units; empty: it has none for this format"
    chosen = _draw_table(
        frame,
        "catalog-devices",
        current,
        {
            "device": text("device", width=230, help="Its id in the catalog, or the name of one's own"),
            "vendor": text("vendor", help="Who makes it"),
            "memory_gib": _bar(frame, "memory_gib", "memory (GiB)", "What one device holds"),
            "bandwidth_tb_s": _bar(frame, "bandwidth_tb_s", "bandwidth (TB/s)", "Peak of the device memory"),
            "bf16_tflops": _bar(frame, "bf16_tflops", "BF16 (TFLOP/s)", peak),
            "fp8_tflops": numbers("FP8 (TFLOP/s)", format="%.4g", help=peak),
            "int8_tops": numbers("INT8 (TOP/s)", format="%.4g", help=peak),
            "fp4_tflops": numbers("FP4 (TFLOP/s)", format="%.4g", help=peak),
            "flop_per_byte": numbers("FLOP/byte", format="%.0f",
                                     help="BF16 peak over bandwidth: below this intensity, memory is the limit"),
            "per_node": numbers("in a node", help="Devices joined by every level but the outermost one"),
            "node_gb_s": numbers("inner link (GB/s)", format="%.4g", help="One way, per device, innermost level"),
            "outer_gb_s": numbers("outer link (GB/s)", format="%.4g", help="One way, per device, outermost level"),
            "source": text("source", help="Where its numbers come from"),
        },
    )  # fmt: skip
    draw_csv(frame.drop(columns="id"), "aggsim-devices.csv")
    draw_refused_devices()
    spec = service.find_device(chosen)
    facts, chart = st.columns([1, 1], gap="large")
    with facts:
        used = "the scenario's device" if chosen == current else ""
        draw_facts(named(chosen), used, tables.device_facts(spec))
        _draw_buttons("device", chosen, current)
    with chart:
        roofline, among = st.tabs(["Roofline", "Among the others"], key="device-charts")
        with roofline:
            draw_chart(charts.device_roofline({named(chosen): spec}, theme, roofline_title(spec)))
        with among:
            draw_chart(charts.device_map(frame, chosen, theme))


def roofline_title(spec: DeviceSpec) -> str:
    """Where memory stops being the limit, and what the lines are."""
    dtype = next((dtype for dtype in ("bf16", "fp16", "fp32") if dtype in spec.mma_ops_per_s), None)
    if dtype is None:
        return "Memory alone limits it; solid: peaks, dashed: reachable"
    ridge = spec.mma_ops_per_s[dtype] / spec.memory_bandwidth_bytes_per_s
    return f"Memory-bound below {number(ridge)} FLOP/byte in {dtype.upper()}; solid: peaks, dashed: reachable"


def _bar(frame: pd.DataFrame, key: str, label: str, text: str) -> object:
    """A column of numbers with a bar each."""
    most = float(frame[key].max())
    return st.column_config.ProgressColumn(label, help=text, format="%.4g", min_value=0, max_value=most, width=120)


def _draw_table(frame: pd.DataFrame, key: str, current: str, columns: dict[str, Any]) -> str:
    """The id of the chosen row, else `current`. A click on a heading sorts; the first columns stay in sight."""
    event = st.dataframe(
        frame,
        hide_index=True,
        height=int(ROW_PX * min(len(frame) + 1, MAX_ROWS)) + 3,
        column_order=list(columns),
        column_config=columns,
        placeholder="–",
        key=f"{key}-{'-'.join(str(hash(entry)) for entry in frame['id'] if is_own(entry))}",
        on_select="rerun",
        selection_mode="single-row",
        alt=f"{len(frame)} rows: {', '.join(columns)}",
    )
    rows = event["selection"]["rows"]
    ids = list(frame["id"])
    return str(ids[rows[0]] if rows and rows[0] < len(ids) else current if current in ids else ids[0])


def _draw_buttons(kind: shelf.Kind, chosen: str, current: str) -> None:
    is_used = chosen in (current, st.session_state[kind])
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Plan with it", key=f"plan-{kind}", icon=":material/speed:", help="Shows the scenario on Plan with it.",
            on_click=own_use.plan_with, args=(kind, chosen),
        )  # fmt: skip
        if kind == "device" or own_forms.has_config(chosen):
            st.button(
                "Edit" if is_own(chosen) else "Edit a copy",
                key=f"edit-{kind}",
                icon=":material/edit:",
                help="Opens it in the form for one's own.",
                on_click=own_forms.edit,
                args=(kind, chosen),
            )
        name = named(chosen).removeprefix(OWN)
        if kind == "device":
            text = device_to_toml(service.find_device(chosen)).replace(f'"{named(chosen)}"', f'"{name}"', 1)
            _draw_file("TOML", text, f"{name}.toml", "application/toml")
        elif is_own(chosen):
            _draw_file("config.json", json.dumps(own_config(chosen), indent=2), f"{name}.json", "application/json")
        if is_own(chosen):
            st.button(
                "Remove",
                key=f"remove-{kind}",
                icon=":material/delete:",
                disabled=is_used,
                help="Forgets it in this session. Links that hold it keep it."
                + (" The scenario uses it: choose another one first." if is_used else ""),
                on_click=own_use.forget,
                args=(kind, chosen),
            )
    if is_own(chosen) and is_in_store(chosen):
        st.caption(f":material/link_off: {plain(IN_STORE_NOTE)}")


def _draw_file(label: str, text: str, file_name: str, mime: str) -> None:
    st.download_button(label, text, file_name, mime, key=f"file-{label}", icon=":material/download:", on_click="ignore")
