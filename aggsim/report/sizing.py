"""The smallest deployment for a load: in words, as a table, as a chart."""

from __future__ import annotations

import math
from typing import Any

import altair as alt
import pandas as pd

from aggsim.planning.deployment import Sizing, SizingResult
from aggsim.report.charts import finished
from aggsim.report.format import count, number, percent
from aggsim.report.search_words import (
    device_words,
    layout_words,
    load_words,
    operating_words,
    sizing_words,
    spare_words,
)
from aggsim.report.theme import Theme
from aggsim.scenario_own import named
from aggsim.units import ms


def headline(result: SizingResult) -> str:
    """E.g. "24 × H200 SXM 141G carry 50,000 output tokens/s (33.3 requests/s, 117,000 prompt tokens/s)"."""
    load = load_words(result)
    if not result.sizings:
        return f"No layout meets the limits on {', '.join(map(named, result.without))}: {load} cannot be carried."
    first = result.sizings[0]
    carry = "carries" if first.num_devices == 1 else "carry"
    return f"{device_words(first.candidate.scenario.device_name, first.num_devices)} {carry} {load}"


def sentences(result: SizingResult) -> list[str]:
    """What is deployed and what happens when a replica is lost, of the smallest; then the other kinds of device."""
    first, *others = result.sizings
    lines = [sizing_words(first), spare_words(first), *map(sizing_words, others)]
    if result.without:
        lines.append(f"No layout meets the limits on {', '.join(map(named, result.without))}.")
    return lines


def title(result: SizingResult) -> str:
    """How full the smallest deployment is."""
    first = result.sizings[0]
    replicas = count(first.num_replicas, "replica")
    lost = first.with_replicas(first.num_replicas - 1)
    survives = "survives" if lost.carries else "does not survive"
    return (
        f"{replicas} of {layout_words(first.candidate)}, {percent(first.utilization)} used; "
        f"{survives} the loss of one; bar: capacity, line: the load, mark: one replica lost"
    )


def sizing_frame(result: SizingResult) -> pd.DataFrame:
    """One row a kind of device, fewest devices first. Rates in output tokens/s."""
    rows = []
    for sizing in result.sizings:
        candidate, lost = sizing.candidate, sizing.with_replicas(sizing.num_replicas - 1)
        rows.append(
            {
                "device": candidate.scenario.device_name,
                "devices": sizing.num_devices,
                "replicas": sizing.num_replicas,
                "devices_per_replica": candidate.layout.num_devices,
                "layout": layout_words(candidate),
                "batch": candidate.scenario.batch,
                "load_tokens_per_s": sizing.load_tokens_per_s,
                "capacity_tokens_per_s": sizing.capacity_tokens_per_s,
                "capacity_prompt_tokens_per_s": sizing.num_replicas * candidate.prompt_tokens_per_s,
                "capacity_requests_per_s": sizing.num_replicas * candidate.requests_per_s,
                "headroom": sizing.headroom,
                "one_lost_tokens_per_s": lost.capacity_tokens_per_s,
                "one_lost_headroom": lost.headroom,
                "spare_replicas_needed": sizing.spares_needed(),
                "n_plus_1_devices": sizing.with_replicas(sizing.num_replicas + 1).num_devices,
            }
        )
    return pd.DataFrame(rows)


def loss_frame(sizing: Sizing) -> pd.DataFrame:
    """The deployment as sized, with one replica lost, and with one to spare, each under the whole load.

    Rates and times are of one replica at the smallest evaluated batch size that makes its share; empty: none does.
    """
    cases = {"as sized": 0, "one replica lost": -1, "one to spare (N+1)": 1}
    scenario = sizing.candidate.scenario
    rows = []
    for name, more in cases.items():
        case = sizing.with_replicas(sizing.num_replicas + more)
        point, share = case.operating_point, case.load_per_replica_tokens_per_s
        requests = share / scenario.output
        rows.append(
            {
                "case": name,
                "replicas": case.num_replicas,
                "devices": case.num_devices,
                "carried": "✓ carried" if case.carries else "✗ short",
                "headroom": case.headroom,
                "batch": point.batch_size if point else None,
                "tpot_ms": ms(point.tpot_s) if point else None,
                "ttft_ms": ms(point.ttft_s) if point else None,
                "tokens_per_s_each": share,
                "prompt_tokens_per_s_each": requests * scenario.input,
                "requests_per_s_each": requests,
                "limits": operating_words(case) if case.num_replicas else "nothing is left",
            }
        )
    return pd.DataFrame(rows).replace(math.inf, None).astype({"batch": "Int64"})


def sizing_chart(frame: pd.DataFrame, theme: Theme, finding: str) -> Any:
    """Capacity beside the load, a bar a kind of device. frame: sizing_frame."""
    words = [device_words(device, devices) for device, devices in zip(frame["device"], frame["devices"], strict=True)]
    labels = [
        f"{number(rate)}, {number(100 * room, 2)}% to spare"
        for rate, room in zip(frame["capacity_tokens_per_s"], frame["headroom"], strict=True)
    ]
    frame = frame.assign(deployment=words, label=labels)
    most = float(frame["capacity_tokens_per_s"].max())
    y = alt.Y("deployment:N", title=None, sort=None, axis=alt.Axis(labelColor=theme.ink, labelLimit=190))
    scale = alt.Scale(domain=[0, 1.8 * most], nice=False)
    x = alt.X("capacity_tokens_per_s:Q", title="output tokens/s", scale=scale, axis=alt.Axis(tickCount=5))
    tooltip = [
        alt.Tooltip("deployment:N"),
        alt.Tooltip("replicas:Q"),
        alt.Tooltip("layout:N"),
        alt.Tooltip("batch:Q", format=","),
        alt.Tooltip("capacity_tokens_per_s:Q", title="capacity (tokens/s)", format=",.5~f"),
        alt.Tooltip("one_lost_tokens_per_s:Q", title="one replica lost (tokens/s)", format=",.5~f"),
        alt.Tooltip("n_plus_1_devices:Q", title="devices of N+1", format=","),
    ]
    bars = alt.Chart(frame).mark_bar(size=18, color=theme.decode, opacity=0.85).encode(y, x, tooltip=tooltip)
    text = alt.Chart(frame).mark_text(align="left", dx=8, color=theme.ink).encode(y, x, alt.Text("label:N"))
    lost = alt.Chart(frame).mark_tick(thickness=2, size=24, color=theme.ink)
    load = alt.Chart(frame.head(1)).mark_rule(color=theme.bad, strokeWidth=2, strokeDash=[5, 3])
    layers = [bars, lost.encode(y, alt.X("one_lost_tokens_per_s:Q"), tooltip=tooltip), text,
              load.encode(alt.X("load_tokens_per_s:Q"))]  # fmt: skip
    return finished(layers, theme, "Smallest deployments", finding, 95 + 34 * len(frame))
