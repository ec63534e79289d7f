"""What the law misses: the residuals of a fit."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from aggsim.planning.law_fit import LawFit
from aggsim.report.charts import finished
from aggsim.report.law_tables import fit_table, worst_table
from aggsim.report.law_words import fit_title
from aggsim.report.theme import Theme

__all__ = ["residual_chart"]

MAX_POINTS = 2000
"""Of many rows every n-th is drawn, and the worst ones always."""
MARGIN = 1.25
"""Beside the first and the last point, as a factor."""
PHASES = ("prefill", "decode")


def residual_chart(fit: LawFit, theme: Theme) -> Any:
    """law ÷ measured − 1 over the measured latency; phases told by colour and shape, the worst row by its line."""
    frame, worst = fit_table(fit), worst_table(fit)
    step = -(-len(frame) // MAX_POINTS)
    shown = pd.concat([frame.iloc[::step], worst]).drop_duplicates("line")
    low, high = float(shown["measured_ms"].min()), float(shown["measured_ms"].max())
    x = alt.X(
        "measured_ms:Q",
        title="measured latency of the pass (ms, logarithmic)",
        scale=alt.Scale(type="log", domain=[low / MARGIN, high * MARGIN], nice=False),
        axis=alt.Axis(tickCount=6, format="~g", grid=False),
    )
    y = alt.Y(
        "error:Q",
        title="law ÷ measured − 1",
        axis=alt.Axis(format="+.0%", grid=True, tickCount=6),
        scale=alt.Scale(nice=True),
    )
    legend = alt.Legend(title=None)
    tooltip = [
        alt.Tooltip("line:Q", title="line"),
        alt.Tooltip("phase:N"),
        *(alt.Tooltip(f"{name}:Q", format=",") for name in ("requests", "query_len", "seq_len")),
        alt.Tooltip("measured_ms:Q", title="measured (ms)", format=",.5~g"),
        alt.Tooltip("law_ms:Q", title="law (ms)", format=",.5~g"),
        alt.Tooltip("error:Q", title="law ÷ measured − 1", format="+.1%"),
    ]
    points = (
        alt.Chart(shown)
        .mark_point(filled=True, size=55, opacity=0.85)
        .encode(
            x,
            y,
            alt.Color("phase:N", scale=alt.Scale(domain=list(PHASES), range=theme.colours(PHASES)), legend=legend),
            alt.Shape("phase:N", scale=alt.Scale(domain=list(PHASES), range=["circle", "triangle-up"]), legend=legend),
            tooltip=tooltip,
        )
    )
    zero = alt.Chart(pd.DataFrame({"error": [0.0]})).mark_rule(color=theme.ink).encode(y)
    names = (
        alt.Chart(worst.head(1).assign(name=[f"line {line}" for line in worst.head(1)["line"]]))
        .mark_text(align="right", dx=-8, color=theme.ink)
        .encode(x, y, alt.Text("name:N"))
    )
    return finished([zero, points, names], theme, "Residuals of the law", fit_title(fit), 300)
