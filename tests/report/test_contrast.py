"""WCAG 2.2, AA: what is read has 4.5:1 against its ground, what is looked at 3:1, in both themes."""

from __future__ import annotations

import itertools
import math
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from aggsim.report.charts import MEMORY_PARTS, mixed
from aggsim.report.search_charts import SERIES
from aggsim.report.theme import CONCEPTS, DARK, LIGHT, Theme, ink_on

ROOT = Path(__file__).parent.parent.parent
CONFIG: dict[str, Any] = tomllib.loads((ROOT / ".streamlit/config.toml").read_text())["theme"]
THEMES = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
MARKS = (*CONCEPTS, "mixed", "other", "bad")
TEXT, GRAPHICS, APART = 4.5, 3.0, 0.05
"""Contrast of text and of graphics; distance of two colours in OKLab that nobody takes for one another."""


def channels(colour: str) -> list[float]:
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def linear(colour: str) -> list[float]:
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels(colour)]


def contrast(one: str, other: str) -> float:
    light, dark = sorted(
        (sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear(colour), strict=True)) for colour in (one, other)),
        reverse=True,
    )
    return (light + 0.05) / (dark + 0.05)


def oklab(colour: str) -> tuple[float, ...]:
    cones = ((0.4122, 0.5363, 0.0514), (0.2119, 0.6807, 0.1074), (0.0883, 0.2817, 0.6300))
    lms = [sum(w * c for w, c in zip(row, linear(colour), strict=True)) ** (1 / 3) for row in cones]
    axes = ((0.2105, 0.7936, -0.0041), (1.9780, -2.4286, 0.4506), (0.0259, 0.7828, -0.8087))
    return tuple(sum(w * c for w, c in zip(row, lms, strict=True)) for row in axes)


def test_the_formula_knows_the_extremes() -> None:
    assert contrast("#FFFFFF", "#000000") == pytest.approx(21)
    assert contrast("#767676", "#FFFFFF") == pytest.approx(4.54, abs=0.01)
    assert contrast("#E69F00", "#FFFFFF") == pytest.approx(2.25, abs=0.01)


@THEMES
@pytest.mark.parametrize("mark", MARKS)
def test_marks_stand_out(theme: Theme, mark: str) -> None:
    assert contrast(getattr(theme, mark), theme.surface) >= GRAPHICS
    assert contrast(ink_on(getattr(theme, mark)), getattr(theme, mark)) >= TEXT


@THEMES
def test_marks_are_told_apart(theme: Theme) -> None:
    colours = {mark: getattr(theme, mark) for mark in MARKS}
    near = [
        (one, other)
        for (one, a), (other, b) in itertools.combinations(colours.items(), 2)
        if math.dist(oklab(a), oklab(b)) < APART
    ]
    assert near == []


@THEMES
def test_texts_are_readable(theme: Theme) -> None:
    for colour in (theme.ink, theme.muted, theme.bad, *SERIES[theme.name]):
        assert contrast(colour, theme.surface) >= TEXT, colour
    for weight in (1.0, 0.72, 0.48, 0.28):
        shade = mixed(theme.memory, theme.surface, weight)
        assert contrast(ink_on(shade), shade) >= TEXT
    assert len(MEMORY_PARTS) == 4


@THEMES
def test_the_frame_has_the_same_colours(theme: Theme) -> None:
    page, sidebar = CONFIG[theme.name], CONFIG[theme.name]["sidebar"]
    assert page["backgroundColor"] == theme.surface
    assert page["textColor"] == theme.ink
    assert set(page["chartCategoricalColors"]) >= {theme.prefill, theme.decode, theme.memory, theme.communication}
    grounds = {area[name] for area in (page, sidebar) for name in ("backgroundColor", "secondaryBackgroundColor")}
    for ground in grounds:
        assert contrast(theme.ink, ground) >= TEXT
        assert contrast(page["primaryColor"], ground) >= TEXT


@THEMES
def test_faded_text_stays_readable(theme: Theme) -> None:
    """Every opacity of the stylesheets but that of the answer to an older question, which is dimmed on purpose."""
    css = "".join((ROOT / "aggsim/ui" / name).read_text() for name in ("style.css", "method.css"))
    faded = {
        selector.strip(): float(value)
        for selector, value in re.findall(r"([^{}]+)\{[^{}]*?\bopacity:\s*([0-9.]+)", css)
        if "stale" not in selector
    }
    assert len(faded) > 8
    for ground in (theme.surface, CONFIG[theme.name]["sidebar"]["backgroundColor"]):
        for selector, opacity in faded.items():
            assert contrast(mixed(theme.ink, ground, opacity), ground) >= TEXT, selector


def test_the_report_is_readable_on_paper() -> None:
    css = (ROOT / "aggsim/report/export_html.css").read_text()
    colours = set(re.findall(r"(?<![-a-z])color:\s*(#[0-9A-Fa-f]{6})", css))
    assert len(colours) >= 5
    assert all(contrast(colour, "#FFFFFF") >= TEXT for colour in colours)
