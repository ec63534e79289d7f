"""Metric tiles and the verdict as HTML: st.metric has no bar towards a limit and no second reading."""

from __future__ import annotations

from html import escape

import streamlit as st

from aggsim.report.theme import Theme
from aggsim.report.tiles import Tile


def draw_verdict(ok: bool, sentence: str, more: str, theme: Theme) -> None:
    """One sentence with a sign and a colour, and a quieter second one."""
    mark, colour = ("✓", theme.memory) if ok else ("✗", theme.bad)
    st.html(
        f'<div class="aggsim-verdict" role="status"><span class="mark" style="color:{colour}">{mark}</span>'
        f'{escape(sentence)}<span class="more">{escape(more)}</span></div>'
    )


def draw_headline(sentence: str, more: str) -> None:
    """A page's finding in one sentence, and below it what kind of run that is."""
    st.html(f'<div class="aggsim-verdict">{escape(sentence)}</div><div class="aggsim-line">{escape(more)}</div>')


def draw_tiles(tiles: list[Tile], theme: Theme) -> None:
    """A grid of tiles; hover tells the exact number, what it means and who says so."""
    st.html(f'<div class="aggsim-tiles" role="list">{"".join(_tile(tile, theme) for tile in tiles)}</div>')


def _tile(tile: Tile, theme: Theme) -> str:
    hover = escape("\n".join(filter(None, (tile.exact, tile.help, tile.source))), quote=True)
    colour = f' style="color:{theme.bad}"' if tile.ok is False else ""
    bar = ""
    if tile.share is not None:
        fill = theme.bad if tile.ok is False else theme.prefill
        width = min(max(tile.share, 0.0), 1.0)
        bar = f'<div class="bar" aria-hidden="true"><i style="width:{width:.1%};background:{fill}"></i></div>'
    return (
        f'<div class="aggsim-tile" role="listitem" title="{hover}"><div class="label">{escape(tile.label)}</div>'
        f'<div class="value"{colour}>{escape(tile.value)}<span class="unit">{escape(tile.unit)}</span></div>'
        f'{bar}<div class="note">{escape(tile.note).replace(chr(10), "<br>")}</div></div>'
    )
