"""Charts of the Catalog page: models and devices among their kind, and what one of them is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from aggsim.devices.spec import DeviceSpec
from aggsim.report.charts import finished, mixed, stacked
from aggsim.report.format import MISSING, number
from aggsim.report.method_tables import roofs
from aggsim.report.theme import Theme
from aggsim.report.words import short_model
from aggsim.units import TERA

__all__ = ["cache_chart", "device_map", "device_roofline", "model_map", "parameters_chart"]

HEIGHT = 300
ROOFLINE_HEIGHT = 330
_RIGHT_OF: dict[str, Any] = {"align": "left", "dx": 4, "dy": -13}
_LEFT_OF: dict[str, Any] = {"align": "right", "dx": 4, "dy": -13}
INTENSITY = (1.0, 10_000.0)
"""FLOP per byte: decode of one request to prefill of thousands of tokens."""


def model_map(frame: pd.DataFrame, chosen: str | None, theme: Theme) -> Any:
    """Every model by what a token costs: parameters to read, cache to keep. frame: models_frame."""
    frame = frame[frame["kv_kib_per_token"] > 0]
    title = "What a token costs: weights to pass, cache to keep; filled: mixture of experts"
    tooltip = [
        alt.Tooltip("model:N"),
        alt.Tooltip("active_b:Q", title="active (billions)", format=",.4~g"),
        alt.Tooltip("parameters_b:Q", title="all (billions)", format=",.4~g"),
        alt.Tooltip("kv_kib_per_token:Q", title="KV per token (KiB)", format=",.4~g"),
        alt.Tooltip("attention:N"),
    ]
    x = ("active_b", "active parameters (billions)")
    y = ("kv_kib_per_token", "KV cache per token (KiB)")
    return _map(frame, frame["experts"] != MISSING, "model", chosen, x, y, tooltip, theme, "Models", title)


def device_map(frame: pd.DataFrame, chosen: str | None, theme: Theme) -> Any:
    """Every device by its two ceilings. frame: devices_frame."""
    frame = frame[frame["bf16_tflops"] > 0]
    title = "Two ceilings: bandwidth and matrix units"
    tooltip = [
        alt.Tooltip("device:N"),
        alt.Tooltip("bandwidth_tb_s:Q", title="memory bandwidth (TB/s)", format=",.4~g"),
        alt.Tooltip("bf16_tflops:Q", title="BF16 (TFLOP/s)", format=",.4~g"),
        alt.Tooltip("memory_gib:Q", title="memory (GiB)", format=",.4~g"),
    ]
    x, y = ("bandwidth_tb_s", "memory bandwidth (TB/s)"), ("bf16_tflops", "BF16 peak (TFLOP/s)")
    return _map(frame, frame["id"] != "", "device", chosen, x, y, tooltip, theme, "Devices", title)


def _map(
    frame: pd.DataFrame,
    filled: Any,
    label: str,
    chosen: str | None,
    x_axis: tuple[str, str],
    y_axis: tuple[str, str],
    tooltip: list[alt.Tooltip],
    theme: Theme,
    name: str,
    title: str,
) -> Any:
    """Dots on two logarithmic axes; the chosen row and own ones are named."""
    is_chosen = frame["id"] == chosen
    is_own = frame["id"].str.startswith("own:")
    frame = frame.assign(
        fill=[theme.prefill if full else theme.surface for full in filled],
        ink=[theme.bad if c else theme.decode if o else theme.prefill for c, o in zip(is_chosen, is_own, strict=True)],
        size=[160 if c or o else 70 for c, o in zip(is_chosen, is_own, strict=True)],
    )
    x, y = (
        channel(f"{key}:Q", title=words, scale=alt.Scale(type="log", domain=_domain(frame[key]), nice=False),
                axis=alt.Axis(format=",~g", values=_ticks(frame[key]), grid=True))
        for channel, (key, words) in ((alt.X, x_axis), (alt.Y, y_axis))
    )  # fmt: skip
    base = frame.drop(columns=["source"]).assign(name=[short_model(name) for name in frame[label]])
    dots = (
        alt.Chart(base)
        .mark_point(filled=True, opacity=0.95, strokeWidth=1.6)
        .encode(
            x,
            y,
            alt.Fill("fill:N", scale=None),
            alt.Stroke("ink:N", scale=None),
            alt.Size("size:Q", scale=None),
            tooltip=tooltip,
        )
    )
    marked = base[is_chosen | is_own]
    middle = math.sqrt(math.prod(_domain(frame[x_axis[0]])))
    at_left = marked[x_axis[0]] < middle
    look: dict[str, Any] = {"fontSize": 12, "fontWeight": 600, "color": theme.ink}
    halo = look | {"stroke": theme.surface, "strokeWidth": 4, "strokeJoin": "round"}
    sides = [
        alt.Chart(part).mark_text(**ink, **side).encode(x, y, alt.Text("name:N"))
        for ink in (halo, look)
        for part, side in ((marked[at_left], _RIGHT_OF), (marked[~at_left], _LEFT_OF))
        if len(part)
    ]
    return finished([dots, *sides], theme, name, title, HEIGHT)


def _domain(values: pd.Series) -> list[float]:
    return [float(values.min()) / 1.4, float(values.max()) * 1.4]


def _ticks(values: pd.Series) -> list[float]:
    """1, 2 and 5 times the powers of ten inside; only the powers where that is too many."""
    low, high = _domain(values)
    steps = (1.0, 2.0, 5.0) if high / low < 300 else (1.0,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]


def parameters_chart(frame: pd.DataFrame, theme: Theme, title: str) -> Any:
    """Two stacked bars: all parameters, and those one token passes. frame: catalog_tables.parameters_frame."""
    most = float(frame["end"].max())
    shades = {
        "embeddings": theme.other,
        "dense": theme.matrix,
        "experts": mixed(theme.prefill, theme.surface, 0.75),
    }
    bars = stacked(
        frame[frame["billions"] > 0].assign(text=[number(size) for size in frame["billions"] if size > 0]),
        theme,
        shades,
        x=alt.X(
            "start:Q",
            title="billions of parameters",
            scale=alt.Scale(domain=[0, most], nice=False),
            axis=alt.Axis(tickCount=6),
        ),
        tooltip=[
            alt.Tooltip("row:N", title="counted"),
            alt.Tooltip("part:N"),
            alt.Tooltip("billions:Q", format=",.5~f"),
        ],
        width=most,
    )
    return finished(bars, theme, "Parameters", title, 240)


def cache_chart(frame: pd.DataFrame, theme: Theme, title: str) -> Any:
    """KV cache of one request over its context, both logarithmic. frame: catalog_tables.cache_frame, of one model."""
    frame = frame[frame["gib"] > 0]
    x = alt.X("tokens:Q", title="context (tokens)", scale=alt.Scale(type="log", base=2, nice=False),
              axis=alt.Axis(values=[128, 1024, 8192, 65_536, 524_288], format=",d", grid=True))  # fmt: skip
    y = alt.Y("gib:Q", title="GiB per request (16 bit)", scale=alt.Scale(type="log", nice=False),
              axis=alt.Axis(values=[10.0**power for power in range(-6, 4)], format=",~g", grid=True))  # fmt: skip
    tooltip = [alt.Tooltip("tokens:Q", format=","), alt.Tooltip("gib:Q", title="GiB", format=",.4~g")]
    line = alt.Chart(frame).mark_line(color=theme.memory, strokeWidth=2.2).encode(x, y)
    dots = alt.Chart(frame).mark_point(color=theme.memory, filled=True, size=40).encode(x, y, tooltip=tooltip)
    return finished([line, dots], theme, "KV cache", title, 240)


def device_roofline(devices: Mapping[str, DeviceSpec], theme: Theme, title: str) -> Any:
    """Roofs of devices by name, the first one in colour, a second one in grey behind it: solid peaks, dashed reach."""
    inks = [theme.prefill, theme.other]
    rows: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    for (name, spec), ink in zip(devices.items(), inks, strict=False):
        is_first = ink == inks[0]
        slope = spec.memory_bandwidth_bytes_per_s / TERA
        rows += [
            {"line": f"{name} memory", "ink": ink, "dash": False, "width": 1.0, "x": x, "y": x * slope}
            for x in (INTENSITY[0], *([] if roofs(spec) else [INTENSITY[1]]))
        ]
        for roof in roofs(spec):
            label = f"{name} {roof.formats} {'reachable' if roof.is_reachable else 'peak'}"
            corners = sorted({INTENSITY[0], min(max(roof.ridge, INTENSITY[0]), INTENSITY[1]), INTENSITY[1]})
            rows += [
                {"line": label, "ink": ink, "dash": roof.is_reachable, "width": 2.2 if is_first else 1.2,
                 "x": x, "y": min(x * roof.tb_per_s, roof.tflop_per_s)}
                for x in corners
            ]  # fmt: skip
            if is_first and not roof.is_reachable:
                words = f"{roof.formats} {number(roof.tflop_per_s)}"
                labels.append({"x": INTENSITY[1], "y": roof.tflop_per_s, "text": words})
    lines, heights = pd.DataFrame(rows), [row["y"] for row in rows]
    x = alt.X("x:Q", title="arithmetic intensity (FLOP per byte of memory)",
              scale=alt.Scale(type="log", domain=list(INTENSITY), nice=False),
              axis=alt.Axis(values=[1, 10, 100, 1000, 10_000], format=",~g", grid=True))  # fmt: skip
    y = alt.Y("y:Q", title="TFLOP/s", scale=alt.Scale(type="log", domain=[min(heights), 2 * max(heights)], nice=False),
              axis=alt.Axis(format=",~g", values=[10.0**power for power in range(-9, 10)], grid=True))  # fmt: skip
    drawn = (
        alt.Chart(lines)
        .mark_line()
        .encode(
            x,
            y,
            alt.Detail("line:N"),
            alt.Color("ink:N", scale=None),
            alt.StrokeWidth("width:Q", scale=None),
            alt.StrokeDash("dash:N", scale=alt.Scale(domain=[False, True], range=[[1, 0], [5, 4]]), legend=None),
            tooltip=[alt.Tooltip("line:N", title="roof"), alt.Tooltip("y:Q", title="TFLOP/s", format=",.4~g")],
        )
    )
    layers = [drawn]
    if labels:
        named = alt.Chart(pd.DataFrame(labels))
        place: dict[str, Any] = {"align": "right", "baseline": "bottom", "dy": -3, "fontSize": 12}
        halo: dict[str, Any] = {"stroke": theme.surface, "strokeWidth": 4}
        layers += [
            named.mark_text(**place, **look).encode(x, y, alt.Text("text:N")) for look in (halo, {"color": theme.ink})
        ]
    return finished(layers, theme, "Roofline of the device", title, ROOFLINE_HEIGHT)
