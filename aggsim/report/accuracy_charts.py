"""Predicted against measured, on log axes."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from aggsim.report.charts import finished
from aggsim.report.theme import Theme

__all__ = ["parity_chart"]

BAND = 0.2


def parity_chart(frame: pd.DataFrame, theme: Theme, quantity: str, title: str) -> Any:
    """A point a row, its colour the model and its shape the framework, with the line of equality and ±20% around it.

    frame: accuracy_tables.predictions_table, not empty. quantity: TTFT or TPOT.
    """
    measured, predicted = f"measured {quantity}", f"predicted {quantity}"
    low = float(frame[[measured, predicted]].min().min()) * 0.8
    high = float(frame[[measured, predicted]].max().max()) * 1.25
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    x = alt.X(f"{measured}:Q", title=f"measured {quantity}, ms", scale=scale)
    y = alt.Y(f"{predicted}:Q", title=f"predicted {quantity}, ms", scale=scale)
    ends = pd.DataFrame({measured: [low, high], predicted: [low, high]})
    ends = ends.assign(low=ends[measured] * (1 - BAND), high=ends[measured] * (1 + BAND))
    band = alt.Chart(ends).mark_area(opacity=0.18, color=theme.memory, clip=True)
    line = alt.Chart(ends).mark_line(color=theme.muted, strokeDash=[4, 3], clip=True)
    points = alt.Chart(frame).mark_point(size=30, opacity=0.65, filled=True)
    return finished(
        [
            band.encode(x, alt.Y("low:Q", title=f"predicted {quantity}, ms", scale=scale), alt.Y2("high:Q")),
            line.encode(x, y),
            points.encode(
                x,
                y,
                alt.Color(
                    "model:N",
                    title="model",
                    scale=alt.Scale(scheme="tableau20"),
                    legend=alt.Legend(orient="right", symbolOpacity=1, labelLimit=260),
                ),
                alt.Shape(
                    "backend:N", title="framework", legend=alt.Legend(orient="right", symbolFillColor=theme.muted)
                ),
                tooltip=[
                    *(alt.Tooltip(f"{name}:N") for name in ("model", "system", "backend", "layout", "lengths")),
                    alt.Tooltip("users:Q"),
                    *(alt.Tooltip(f"{name}:Q", format=",.3~r") for name in (measured, predicted)),
                ],
            ),
        ],
        theme,
        "Accuracy",
        title,
        height=520,
    )
