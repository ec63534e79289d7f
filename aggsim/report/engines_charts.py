"""Where two engines disagree, operator kind by operator kind."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from aggsim.planning.compare_engines import Phase
from aggsim.report.charts import finished
from aggsim.report.theme import Theme

__all__ = ["differences_chart"]

ROOM = 0.8
"""Of the longest bar, on either side, for the label beyond it."""


def differences_chart(frame: pd.DataFrame, theme: Theme, phase: Phase, title: str) -> Any:
    """Diverging bars around zero, the largest first. frame: engines_tables.difference_frame, not empty."""
    longest = float(frame["difference_ms"].abs().max()) or 1.0
    low = min(float(frame["difference_ms"].min()), 0.0)
    high = max(float(frame["difference_ms"].max()), 0.0)
    domain = [low - ROOM * longest * (low < 0), high + ROOM * longest * (high > 0)]
    y = alt.Y("kind:N", title=None, sort=None, axis=alt.Axis(labelColor=theme.ink, labelLimit=170))
    x = alt.X(
        "difference_ms:Q",
        title="ms per pass: left of 0 shorter, right of 0 longer",
        scale=alt.Scale(domain=domain, nice=False),
        axis=alt.Axis(tickCount=5, format="~g"),
    )
    tooltip = [
        alt.Tooltip("kind:N"),
        alt.Tooltip("base_ms:Q", title="engine on screen (ms)", format=",.5~f"),
        alt.Tooltip("other_ms:Q", title="other engine (ms)", format=",.5~f"),
        alt.Tooltip("difference_ms:Q", title="difference (ms)", format="+,.5~f"),
        alt.Tooltip("share:Q", title="of the engine on screen", format="+.1%"),
    ]
    colour = theme.prefill if phase == "prefill" else theme.decode
    bars = alt.Chart(frame).mark_bar(size=15, color=colour).encode(y, x, tooltip=tooltip)
    layers = [bars]
    labels: tuple[tuple[bool, dict[str, Any]], ...] = (
        (True, {"align": "left", "dx": 5}),
        (False, {"align": "right", "dx": -5}),
    )
    for is_right, placed in labels:
        side = frame[(frame["difference_ms"] >= 0) == is_right]
        if len(side):
            mark = alt.Chart(side).mark_text(color=theme.muted, **placed)
            layers.append(mark.encode(y, x, alt.Text("label:N")))
    zero = alt.Chart(pd.DataFrame({"zero": [0.0]})).mark_rule(color=theme.ink).encode(alt.X("zero:Q"))
    return finished([*layers, zero], theme, "Engines compared", title, 88 + 24 * len(frame))
