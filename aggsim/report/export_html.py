"""One page of HTML for a scenario, or for several beside each other: numbers, charts, assumptions, sources, link.

Self-contained: one file without scripts, its charts inside as SVG; the browser is told to load nothing. No date and no
path goes in: the same answers give the same bytes. Everything that a person may have typed is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from aggsim import __version__
from aggsim.devices.spec import DeviceSpec
from aggsim.models.spec import ModelSpec
from aggsim.planning.evaluation import Evaluation
from aggsim.report import charts, load_charts, tables, titles
from aggsim.report.export_chart import named_svg
from aggsim.report.export_code import command_line, python_snippet
from aggsim.report.export_html_compare import inputs_table, results_table
from aggsim.report.load_html import facts_table, times_table
from aggsim.report.load_tables import passes_words
from aggsim.report.method_words import Note, limits, provenance
from aggsim.report.theme import LIGHT
from aggsim.report.tiles import tiles
from aggsim.report.timeline_charts import overview_chart
from aggsim.report.timeline_tables import overview, steps_frame
from aggsim.report.words import assumptions, scenario_words, timeline_words, verdict_words
from aggsim.units import gib

__all__ = ["Reported", "report_html"]

HALF_PX, WHOLE_PX = 440, 960
"""Plots in two columns, and over both."""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """One answer to report."""

    evaluation: Evaluation
    name: str = ""
    """What it is called among others; empty: a letter."""
    link: str = ""
    """To the answer on a page, complete; empty: there is none."""
    model: ModelSpec | None = None
    device: DeviceSpec | None = None
    """Whose sources are told; None: unknown."""


def report_html(reported: Sequence[Reported], title: str = "") -> str:
    """The whole page. Of several answers the first is the baseline that the others are compared with.

    Raises ValueError for none at all.
    """
    if not reported:
        raise ValueError("a report needs at least one answer")
    names = [one.name or chr(ord("A") + i) for i, one in enumerate(reported)]
    if len(reported) == 1:
        title = title or "aggsim report"
        body = [_one(reported[0], "a")]
    else:
        title = title or f"aggsim comparison of {len(reported)} scenarios"
        body = [_several(reported, names)]
    return "\n".join(
        (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>\n<style>\n{_css()}</style>\n</head>\n<body>",
            f"<h1>{escape(title)}</h1>",
            *body,
            f"<footer>aggsim {escape(__version__)}</footer>",
            "</body>\n</html>\n",
        )
    )


@cache
def _css() -> str:
    return Path(__file__).with_name("export_html.css").read_text(encoding="utf-8")


def _one(one: Reported, prefix: str) -> str:
    evaluation = one.evaluation
    return "\n".join(
        (
            f'<p class="line">{escape(scenario_words(evaluation))}</p>',
            _verdict(evaluation),
            f'<div class="tiles">{"".join(map(_tile, tiles(evaluation)))}</div>',
            _warnings(evaluation),
            _load(evaluation),
            _charts(evaluation, prefix),
            "<h2>Inputs</h2>",
            f'<div class="inputs">{inputs_table([evaluation], [""])}</div>',
            *_background([one], [""]),
        )
    )


def _several(reported: Sequence[Reported], names: Sequence[str]) -> str:
    evaluations = [one.evaluation for one in reported]
    parts = [
        "<h2>Results</h2>",
        f'<p class="line">In brackets: the difference to {escape(names[0])}.</p>',
        results_table(evaluations, names),
        "<h2>Inputs that differ</h2>",
        inputs_table(evaluations, names, differing=True),
    ]
    for i, (one, name) in enumerate(zip(reported, names, strict=True)):
        parts += [
            f"<h2>{escape(name)}: {escape(scenario_words(one.evaluation))}</h2>",
            _verdict(one.evaluation),
            _warnings(one.evaluation),
            _load(one.evaluation),
            _charts(one.evaluation, f"s{i}", brief=True),
        ]
    parts += [
        "<h2>Inputs that are the same</h2>",
        inputs_table(evaluations, names, differing=False),
        *_background(reported, names),
    ]
    return "\n".join(parts)


def _verdict(evaluation: Evaluation) -> str:
    sentence, more = verdict_words(evaluation)
    mark, kind = ("✓", "good") if evaluation.verdict.ok else ("✗", "bad")
    return (
        f'<p class="verdict"><span class="{kind}">{mark}</span> {escape(sentence)} '
        f'<span class="more">{escape(more)}</span></p>'
    )


def _tile(tile: Any) -> str:
    kind = " bad" if tile.ok is False else ""
    return (
        f'<div class="tile"><div class="label">{escape(tile.label)}</div>'
        f'<div class="value{kind}">{escape(tile.value)}<span class="unit">{escape(tile.unit)}</span></div>'
        f'<div class="note">{escape(tile.note)}</div></div>'
    )


def _warnings(evaluation: Evaluation) -> str:
    items = "".join(f"<li>⚠ {escape(sentence)}</li>" for sentence in evaluation.warnings)
    return f'<ul class="warnings">{items}</ul>' if items else ""


def _load(evaluation: Evaluation) -> str:
    """How long requests take, and what else there is to say of a load; nothing for a burst."""
    load = evaluation.load
    if load is None:
        return ""
    tables_of_it = times_table(load, evaluation.scenario.percentile) + facts_table(load)
    return f'<div class="load">{tables_of_it}</div><p class="line">{escape(passes_words(evaluation))}</p>'


def _charts(evaluation: Evaluation, prefix: str, *, brief: bool = False) -> str:
    """brief: without the operators, for one of several."""
    figures: list[tuple[Any, int]] = []
    split = tables.time_split(evaluation)
    if split["ms"].sum() > 0:
        figures.append((charts.time_split_chart(split, LIGHT, titles.time_split(evaluation)), HALF_PX))
    parts, capacity = tables.memory_parts(evaluation), gib(evaluation.memory.total)
    figures.append((charts.memory_chart(parts, LIGHT, titles.memory_use(evaluation), capacity), HALF_PX))
    passes = {name: cost for name, cost in tables.passes(evaluation).items() if len(cost.ops) > 1}
    for name, cost in ({} if brief else passes).items():
        title = titles.operators(name, cost)
        figures.append((charts.operators_chart(tables.operators(cost), LIGHT, f"{name} operators", title), HALF_PX))
    load, bins = evaluation.load, overview(steps_frame(evaluation.run.timeline))
    if load is not None:
        figures.append((load_charts.queue_chart(load, LIGHT), HALF_PX))
        if load.series.kv_share:
            figures.append((load_charts.kv_chart(load, LIGHT), HALF_PX))
    elif len(bins) and not evaluation.scenario.is_load:
        title = timeline_words(evaluation)
        # No window to drag on paper: it is drawn where it hides nothing.
        figures.append((overview_chart(bins, LIGHT, title, (0.0, 0.0)), WHOLE_PX))
    drawn = [
        f"<figure{' class=wide' if width == WHOLE_PX else ''}>{named_svg(chart, LIGHT, f'{prefix}{i}', width)}</figure>"
        for i, (chart, width) in enumerate(figures)
    ]
    return f'<div class="charts">{"".join(drawn)}</div>'


def _background(reported: Sequence[Reported], names: Sequence[str]) -> list[str]:
    """Assumptions, sources and how to get the same answers again; what holds for all is said once."""
    taken = [[Note("", sentence) for sentence in assumptions(one.evaluation)] for one in reported]
    left_out = [[limit for limit, concerns in limits(one.evaluation) if concerns] for one in reported]
    sources = [provenance(one.evaluation, one.model, one.device) for one in reported]
    items = "".join(f"<li>{escape(note.words)}{_of(whose)}</li>" for note, whose in _merged(taken, names))
    parts = [
        "<h2>Assumptions</h2>",
        f"<ul>{items}</ul>",
        "<h2>What the model leaves out</h2>",
        _notes(_merged(left_out, names)),
        "<h2>Sources</h2>",
        _notes(_merged(sources, names)),
        "<h2>The same answer again</h2>",
    ]
    for one, name in zip(reported, names, strict=True):
        scenario, words = one.evaluation.scenario, escape(one.link)
        is_address = one.link.startswith(("http://", "https://"))
        link = f'<a href="{words}">{words}</a>' if is_address else words
        parts += [
            f"<h3>{escape(name)}</h3>" if name else "",
            f"<p>Link: {link}</p>" if link else "",
            f"<pre>{escape(command_line(scenario, complete=True))}</pre>",
            f"<pre>{escape(python_snippet(scenario, complete=True).rstrip())}</pre>",
        ]
    return parts


def _merged(lists: Sequence[Sequence[Note]], names: Sequence[str]) -> list[tuple[Note, str]]:
    """Every note once, in the order met, and whose it is; "" where it is everybody's."""
    owners: dict[tuple[str, str], list[int]] = {}
    notes: dict[tuple[str, str], Note] = {}
    for i, some in enumerate(lists):
        for note in some:
            key = (note.name, note.words)
            notes.setdefault(key, note)
            owners.setdefault(key, []).append(i)
    return [
        (note, "" if len(owners[key]) == len(lists) else ", ".join(names[i] for i in owners[key]))
        for key, note in notes.items()
    ]


def _of(whose: str) -> str:
    return f' <span class="line">({escape(whose)})</span>' if whose else ""


def _notes(notes: Iterable[tuple[Note, str]]) -> str:
    items = (f"<dt>{escape(note.name)}{_of(whose)}</dt><dd>{escape(note.words)}</dd>" for note, whose in notes)
    return f"<dl>{''.join(items)}</dl>"
