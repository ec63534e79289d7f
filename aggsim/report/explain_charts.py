"""What would help: single changes ranked by the throughput they buy."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from aggsim.planning.explain import Explanation
from aggsim.report.charts import finished
from aggsim.report.explain_words import change_words, gain_words, helps
from aggsim.report.format import number
from aggsim.report.theme import Theme

SELECTION = "change"
"""Name of the selection: the bar that was clicked, by the column `row`."""
MAX_BARS = 10
OTHER_ENGINE_OPACITY = 0.55
"""Of the fill of a bar that another engine than the answer's has priced; its outline stays."""


def changes_frame(explanation: Explanation) -> pd.DataFrame:
    """What helps, most first. Columns: row (index into explanation.changes), change, gain, per_device, batch, engine,
    same_engine, label."""
    rows = []
    for row, change in enumerate(explanation.changes):
        if not helps(change) or change.best is None:
            continue
        per_device = change.output_tokens_per_s_per_device
        gain = change.gain if change.gain is not None else per_device
        other = "" if change.engine == explanation.engine else f" ({change.engine})"
        label = f"{gain_words(change)} · {number(per_device)}{other}"
        rows.append((row, change_words(change), gain, per_device, change.best.batch_size, change.engine,
                     change.engine == explanation.engine, label))  # fmt: skip
    columns = ["row", "change", "gain", "per_device", "batch", "engine", "same_engine", "label"]
    return pd.DataFrame(rows[:MAX_BARS], columns=columns)


def changes_chart(frame: pd.DataFrame, theme: Theme, title: str) -> Any:
    """frame: changes_frame, not empty. A click on a bar selects it."""
    y = alt.Y("change:N", title=None, sort=None, axis=alt.Axis(labelColor=theme.ink, labelLimit=190))
    scale = alt.Scale(domain=[0, 1.6 * float(frame["gain"].max())], nice=False)
    is_share = bool((frame["gain"] < frame["per_device"]).all())
    axis = alt.Axis(tickCount=5, format="+.0%" if is_share else ",.0f")
    x = alt.X("gain:Q", title="more output tokens/s per device", scale=scale, axis=axis)
    tooltip = [
        alt.Tooltip("change:N"),
        alt.Tooltip("gain:Q", format="+.2%" if is_share else ",.5~f"),
        alt.Tooltip("per_device:Q", title="output tokens/s per device", format=",.5~f"),
        alt.Tooltip("batch:Q", title="batch size", format=","),
        alt.Tooltip("engine:N", title="priced by engine"),
    ]
    click = alt.selection_point(name=SELECTION, fields=["row"])
    opacities = alt.Scale(domain=[True, False], range=[1, OTHER_ENGINE_OPACITY])
    sure = alt.FillOpacity("same_engine:N", legend=None, scale=opacities)
    bars = alt.Chart(frame).mark_bar(size=15, color=theme.decode, stroke=theme.decode, cursor="pointer")
    bars = bars.encode(y, x, sure, alt.Detail("row:Q"), tooltip=tooltip).add_params(click)
    text = alt.Chart(frame).mark_text(align="left", dx=5, color=theme.muted).encode(y, x, alt.Text("label:N"))
    return finished([bars, text], theme, "What would help", title, 88 + 24 * len(frame))
