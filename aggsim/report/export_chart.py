"""Charts as pictures: SVG and PNG by vl-convert, which draws Vega-Lite without a browser and loads nothing.

vl-convert takes most of a second the first time: it is imported when somebody asks for a picture.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any

import altair as alt
import pandas as pd

from aggsim.report.theme import Theme

__all__ = ["file_stem", "named_svg", "png", "svg"]

WIDTH_PX = 860
"""Of the plot: on screen it takes the width of its column."""
PNG_SCALE = 2.0
PADDING_PX = 10
_ID = re.compile(r'(\bid="|url\(#|href="#)([^")]+)')
_VEGA_LITE = re.compile(r"v?(\d+\.\d+)")


def svg(chart: Any, theme: Theme, width_px: int = WIDTH_PX) -> str:
    """The chart as it is on screen, on the theme's background. The same chart always gives the same text."""
    return named_svg(chart, theme, "aggsim", width_px)


def png(chart: Any, theme: Theme, width_px: int = WIDTH_PX) -> bytes:
    """The same in pixels, at twice the size for projectors and print."""
    import vl_convert

    spec, version = _spec(chart, theme, width_px), _vega_lite_version()
    data: bytes = vl_convert.vegalite_to_png(spec, vl_version=version, scale=PNG_SCALE)
    return data


def named_svg(chart: Any, theme: Theme, name: str, width_px: int) -> str:
    """To stand among others in one HTML page: its ids begin with `name`, and it says what it shows to be read aloud."""
    import vl_convert

    text: str = vl_convert.vegalite_to_svg(_spec(chart, theme, width_px), vl_version=_vega_lite_version())
    numbers: dict[
        str, int
    ] = {}  # Vega numbers its ids on and on: by order of appearance they do not depend on the past
    text = _ID.sub(lambda found: f"{found[1]}{name}-{numbers.setdefault(found[2], len(numbers))}", text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{escape(_description(chart), quote=True)}" ', 1)


def file_stem(chart: Any) -> str:
    """A file name for the chart, of letters, digits and dashes: what its description says before the colon."""
    return "aggsim-" + re.sub(r"[^a-z0-9]+", "-", _description(chart).partition(":")[0].lower()).strip("-")


def _description(chart: Any) -> str:
    return str(chart.description)


def _spec(chart: Any, theme: Theme, width_px: int) -> dict[str, Any]:
    """Vega-Lite with its data inside. Altair turns frames into data by a setting of the whole process, which Streamlit
    changes while it draws: frames are replaced here, so that a download never meets another session's setting."""
    spec: dict[str, Any] = _with_inline_data(chart).to_dict()
    spec.pop("params", None)  # what is there to drag or click on screen
    return spec | {"width": width_px, "background": theme.surface, "padding": PADDING_PX}


def _with_inline_data(chart: Any) -> Any:
    copy = chart.copy(deep=False)
    if isinstance(copy.data, pd.DataFrame):
        rows: Any = alt.utils.sanitize_pandas_dataframe(copy.data).to_dict(orient="records")
        copy.data = alt.InlineData(values=rows)
    if isinstance(copy, alt.LayerChart):
        copy.layer = [_with_inline_data(layer) for layer in copy.layer]
    return copy


def _vega_lite_version() -> str:
    """Altair's own Vega-Lite where vl-convert has it, else vl-convert's newest."""
    import vl_convert

    known: list[str] = vl_convert.get_vegalite_versions()
    found = _VEGA_LITE.match(alt.SCHEMA_VERSION)
    return found[1] if found and found[1] in known else known[-1]
