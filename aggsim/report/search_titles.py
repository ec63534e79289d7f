"""Chart titles and sentences of the Search page."""

from __future__ import annotations

import pandas as pd

from aggsim.planning.evaluation import Evaluation
from aggsim.planning.search_result import SearchResult
from aggsim.report.format import count, duration, number
from aggsim.report.load_words import load_name
from aggsim.report.search_words import device_words, point_words
from aggsim.report.words import LIMIT_NAMES, mode_words, short_model, stop_words
from aggsim.scenario_search import SearchQuestion
from aggsim.units import seconds

MAX_TITLE_CHARS = 48
"""Longer ones are cut beside another chart on a narrow screen."""


def question_words(question: SearchQuestion, evaluation: Evaluation | None) -> str:
    """What every layout has in common: "Qwen3-32B · 8 × H200 SXM 141G · FP8 · 3,500 → 1,500 tokens · TPOT ≤ 50 ms"."""
    base, varied = question.base, question.varied
    parts = [short_model(base.model_name)]
    if not {"device", "devices"} & varied.keys():
        parts.append(device_words(base.device_name, base.devices))
    if "linear" not in varied and evaluation is not None:
        parts.append(mode_words(evaluation.quantization.linear, "unquantized"))
    parts.append(f"{number(base.input)} → {number(base.output)} tokens")
    if base.is_load:
        parts.append(load_name(base))
    elif base.batch is not None:
        parts.append(f"batch {number(base.batch)} only")
    parts += [
        f"{name} ≤ {duration(seconds(limit))}"
        for name, limit in (("TTFT", base.ttft), ("TPOT", base.tpot))
        if limit is not None
    ]
    return " · ".join(parts)


def effort_words(result: SearchResult) -> str:
    """E.g. "98 points of 4 layouts; TPOT stops batch 211: 50.1 ms > 50 ms."."""
    words = f"{count(result.evaluated, 'point')} of {count(result.num_layouts, 'layout')} evaluated"
    if result.rejected:
        words += f", {count(len(result.rejected), 'layout')} rejected"
    best = result.best
    if best is None:
        return f"{words}. Relax a limit, add devices, or open more of the layout."
    stop = best.next_stop
    behind = f" {stop_words(best.scenario, stop)}" if stop else ""
    return f"{words}.{behind}{_level_words(result)}"


def _level_words(result: SearchResult) -> str:
    """Why all layouts are level."""
    base = result.question.base
    if base.arrival == "open" and base.rate is not None:
        return (
            " All that carry this rate make as many tokens: with the rate on auto, the search finds who carries most."
        )
    if base.arrival == "trace":
        return " All that carry this trace make as many tokens."
    return ""


def pareto(edge: pd.DataFrame) -> str:
    """Who holds the frontier, from most throughput to fastest reader. edge: search_tables.frontier_frame."""
    if not len(edge):
        return "No point meets the limits; each × breaks one"
    holders = list(dict.fromkeys(edge.sort_values("per_user")["layout"]))
    legend = "filled marks meet the limits, × breaks one; nothing beats the line"
    if len(holders) == 1:
        return f"{holders[0]} is best at every speed; {legend}"
    pair = f"{holders[0]} for throughput, {holders[-1]} for speed"
    return f"{pair if len(pair) < MAX_TITLE_CHARS else f'{holders[0]} for throughput'}; {legend}"


def throughput(result: SearchResult) -> str:
    """What ends the best layout."""
    best = result.best
    if best is None or best.best is None:
        return "No layout meets the limits"
    stop = best.next_stop
    limit = LIMIT_NAMES[stop.verdict.limit] if stop and stop.verdict.limit else ""
    limit = "what it carries" if stop and stop.verdict.limit == "rate" else limit
    at = f"the best layout at {point_words(best.scenario, best.best)}"
    words = f"{limit[:1].upper()}{limit[1:]} ends {at}" if stop else f"Nothing stops {at}"
    return f"{words}; mark: the best {'load' if best.scenario.is_load else 'batch size'}, dotted: beyond it"


def heat(frame: pd.DataFrame) -> str:
    """Where the best cell is."""
    if not (frame["per_device"] > 0).any():
        return "No cell meets the limits; each names what stops it"
    best = frame.sort_values("per_device", ascending=False).to_dict("records")[0]
    words = f"{best['tp']} at {best['at']} is best: {number(best['per_device'])} tokens/s per device"
    columns = "batch size" if best["at"].startswith("batch ") else "number served at once"
    return f"{words}; best layout of each TP and {columns}, empty cells name what stops them"


def devices(table: pd.DataFrame) -> str:
    """Which device carries most, and how far ahead of the next one it is. table: search_tables.device_table."""
    if not len(table):
        return "No device meets the limits"
    best = table.drop_duplicates("device")
    names, rates = [name.replace("_", " ") for name in best["device"]], list(best["per_device"])
    note = f"{number(rates[0])} tokens/s per device; nothing on the same device beats its line"
    if len(rates) > 1 and rates[1]:
        return f"{names[0]} carries {number(rates[0] / rates[1])} × {names[1]}; {note}"
    return f"{names[0]} is best; {note}"
