"""What a load comes to as HTML tables, for the Plan page and the printable report."""

from __future__ import annotations

from html import escape

from aggsim.planning.load_result import LoadResult
from aggsim.report.load_tables import QUANTILES, facts, time_rows

__all__ = ["facts_table", "times_table"]


def times_table(load: LoadResult, asked: str) -> str:
    """TTFT, TPOT, ITL and end to end by percentile; asked: the one that the limits hold for, which is marked."""
    marks = [
        ' class="asked" title="What the tiles show and the limits hold for"' if q == asked else "" for q in QUANTILES
    ]
    head = "".join(f"<th{mark}>{name}</th>" for mark, name in zip(marks, QUANTILES.values(), strict=True))
    rows = ""
    for row in time_rows(load):
        cells = "".join(
            f'<td{mark}>{escape(cell)}<span class="sure">{escape(sure)}</span></td>'
            for mark, cell, sure in zip(marks, row.cells, row.plus_minus, strict=True)
        )
        name = f'{escape(row.name)}<span class="unit">{row.unit}</span>'
        rows += f'<tr><th title="{escape(row.help, quote=True)}">{name}</th>{cells}</tr>'
    return f'<table class="aggsim-times"><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table>'


def facts_table(load: LoadResult) -> str:
    """State, throughput as measured, goodput, queue and KV cache."""
    rows = "".join(
        f'<tr title="{escape(text, quote=True)}"><th>{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value, text in facts(load)
    )
    return f'<table class="aggsim-facts"><tbody>{rows}</tbody></table>'
