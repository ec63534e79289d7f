"""Chart titles and sentences of the Search page."""

from __future__ import annotations

import pandas as pd

from aggsim.planning.evaluation import Evaluation
from aggsim.planning.search_result import SearchResult
from aggsim.report.format import count, duration, number
from aggsim.report.search_words import candidate_words, device_words
from aggsim.report.words import LIMIT_NAMES, mode_words, short_model, stop_words
from aggsim.scenario_search import ALL, SearchQuestion
from aggsim.units import seconds


def question_words(question: SearchQuestion, evaluation: Evaluation) -> str:
    """What every layout has in common: "Qwen3-32B · 8 × H200 SXM 141G · FP8 · 3,500 → 1,500 tokens · TPOT ≤ 50 ms"."""
    base, varied = question.base, question.varied
    parts = [short_model(base.model)]
    if not {"device", "devices"} & varied.keys():
        parts.append(device_words(base.device, base.devices))
    if "linear" not in varied:
        parts.append(mode_words(evaluation.quantization.linear, "unquantized"))
    parts.append(f"{number(base.input)} → {number(base.output)} tokens")
    if base.batch is not None:
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
    return f"{words}.{behind}"


def pareto(result: SearchResult, edge: pd.DataFrame) -> str:
    """Who holds the frontier, from most throughput to fastest reader."""
    if not len(edge):
        return "No point meets the limits; crosses break one"
    holders = list(dict.fromkeys(edge.sort_values("per_user")["layout"]))
    legend = "filled: meets the limits, ×: breaks one, line: nothing beats it"
    if len(holders) == 1:
        return f"{holders[0]} is best at every speed; {legend}"
    return f"{holders[0]} for throughput, {holders[-1]} for speed; {legend}"


def throughput(result: SearchResult) -> str:
    """What ends the best layout."""
    best = result.best
    if best is None or best.best is None:
        return "No layout meets the limits"
    name, stop = candidate_words(best, result.question), best.next_stop
    limit = LIMIT_NAMES[stop.verdict.limit] if stop and stop.verdict.limit else ""
    words = f"{limit} ends {name} at batch {number(best.best.batch_size)}" if stop else f"Nothing stops {name}"
    return f"{words}; mark: the best batch size, dotted: beyond it"


def heat(frame: pd.DataFrame) -> str:
    """Where the best cell is."""
    if not (frame["per_device"] > 0).any():
        return "No cell meets the limits; each names what stops it"
    best = frame.loc[frame["per_device"].idxmax()]
    words = f"{best['tp']} at batch {number(best['batch'])} is best: {number(best['per_device'])} tokens/s per device"
    return f"{words}; best layout of each TP and batch size, empty cells name what stops them"


def devices(table: pd.DataFrame) -> str:
    """Which device carries most, per device."""
    if not len(table):
        return "No device meets the limits"
    first = table.iloc[0]
    return f"{first['deployment']}: {number(first['per_device'])} tokens/s per device; lines: the best of each device"


def axis_words(question: SearchQuestion, key: str) -> str:
    """What an empty axis control stands for."""
    values = question.varied.get(key)
    if values == (ALL,):
        return "every one"
    base = getattr(question.base, key)
    return "every one" if base is None and key in ("tp", "ep", "moe_dp") else f"as in the form: {base or 'auto'}"
