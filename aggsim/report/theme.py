"""Colours of the concepts and the look of every chart, light and dark; both palettes are safe for colour-blind eyes.

On the page's own ground every mark has at least 3:1 and every text 4.5:1 (WCAG 2.2, AA); a test computes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

FONT: Final = '"Source Sans", "Source Sans Pro", "DejaVu Sans", sans-serif'
CONCEPTS: Final = ("prefill", "decode", "memory", "communication", "matrix", "vector")
"""What has one colour each in every chart of every page, in palette order."""
BOUND_CONCEPT: Final = {
    "memory": "memory",
    "communication": "communication",
    "mma": "matrix",
    "gp": "vector",
    "unknown": "other",
}
"""What the result objects call a bound → the word and colour on screen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """Hex colours. `mixed` is for steps that do both, `other` for what has no concept of its own."""

    name: str
    ink: str
    muted: str
    grid: str
    surface: str
    prefill: str
    decode: str
    memory: str
    communication: str
    matrix: str
    vector: str
    mixed: str
    other: str
    bad: str

    def colours(self, concepts: tuple[str, ...]) -> list[str]:
        """The palette for a colour scale whose domain is `concepts`."""
        return [getattr(self, concept) for concept in concepts]

    def on(self, concept: str) -> str:
        """Black or white, whichever is read better on the concept's colour."""
        return ink_on(getattr(self, concept))


LIGHT: Final = Theme(
    name="light",
    ink="#1B2430",
    muted="#5B6675",
    grid="#E4E8EE",
    surface="#FFFFFF",
    prefill="#0072B2",
    decode="#C78200",
    memory="#009E73",
    communication="#C56F9B",
    matrix="#3897D3",
    vector="#D55E00",
    mixed="#A08C55",
    other="#818B98",
    bad="#B3261E",
)
DARK: Final = Theme(
    name="dark",
    ink="#E6EAF0",
    muted="#9BA7B6",
    grid="#2A3340",
    surface="#11161D",
    prefill="#56B4E9",
    decode="#E69F00",
    memory="#2EC4A0",
    communication="#E59BC6",
    matrix="#8AB8FF",
    vector="#FF8A50",
    mixed="#B9A878",
    other="#7C8796",
    bad="#FF8F85",
)


def theme_named(name: str | None) -> Theme:
    """What the browser reports; None (not known yet) is light."""
    return DARK if name == "dark" else LIGHT


def ink_on(colour: str) -> str:
    """Near-black or white: the one with more contrast on `colour` (WCAG relative luminance)."""
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#FFFFFF" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else "#10151C"


def chart_config(theme: Theme) -> dict[str, Any]:
    """Vega-Lite config: calm axes, titles that read as sentences, no frame."""
    axis = {
        "labelColor": theme.muted,
        "titleColor": theme.muted,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "gridColor": theme.grid,
        "domain": False,
        "tickColor": theme.grid,
        "tickSize": 4,
        "labelPadding": 6,
        "titlePadding": 8,
        "labelLimit": 260,
    }
    return {
        "background": "transparent",
        "font": FONT,
        "view": {"stroke": None},
        "axis": axis,
        "axisY": {"grid": False, "ticks": False},
        "title": {
            "anchor": "start",
            "frame": "bounds",
            "color": theme.ink,
            "fontSize": 15,
            "fontWeight": 600,
            "offset": 10,
            "subtitleColor": theme.muted,
            "subtitleFontSize": 12,
            "subtitlePadding": 4,
        },
        "legend": {
            "labelColor": theme.muted,
            "labelFontSize": 12,
            "title": None,
            "orient": "bottom",
            "symbolType": "square",
            "symbolSize": 90,
            "columnPadding": 14,
            "offset": 6,
        },
        "text": {"color": theme.ink, "fontSize": 12},
        "rule": {"color": theme.muted},
    }
