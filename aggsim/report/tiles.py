"""The headline numbers of an answer, each with its limit, its second reading and what it means."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from aggsim.planning.evaluation import Evaluation
from aggsim.report.format import compared, count, duration, full, memory, number, percent, split_duration
from aggsim.report.provenance import tile_source
from aggsim.report.words import TPOT_LABELS
from aggsim.units import gib, ms, seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One number. `exact` is for hover; `share` draws a small bar (of the limit, or of the device's memory)."""

    label: str
    value: str
    unit: str
    help: str
    exact: str
    note: str = ""
    """One or two lines."""
    share: float | None = None
    ok: bool | None = None
    """Meets its limit or not; None: it has none."""
    source: str = ""
    """Who says so, for hover."""


_DECIDED_BY = {"TTFT": ("prefill",), "Concurrency": None, "Memory left": ()}
"""Tile → the passes that decide it; the others are decided by both. None: it is an input, or counted."""


def tiles(evaluation: Evaluation) -> list[Tile]:
    """The eight tiles of the Plan page, in reading order, each with its source."""
    found = []
    for tile in _tiles(evaluation):
        passes = _DECIDED_BY.get(tile.label, ("decode", "prefill"))
        found.append(tile if passes is None else replace(tile, source=tile_source(evaluation, *passes)))
    return found


def _tiles(evaluation: Evaluation) -> list[Tile]:
    return [
        _ttft(evaluation),
        _tpot(evaluation),
        _rate(
            "Output",
            evaluation.output_tokens_per_s,
            "tokens/s",
            f"prompts {number(evaluation.prompt_tokens_per_s)} tokens/s",
            "Generated tokens per second, over the whole deployment.",
        ),
        _rate(
            "Output per device",
            evaluation.output_tokens_per_s_per_device,
            "tokens/s",
            f"over {count(evaluation.scenario.devices, 'device')}",
            "Output tokens per second, divided by all devices: compares deployments of different size.",
        ),
        _concurrency(evaluation),
        _memory_left(evaluation),
        _end_to_end(evaluation),
        _rate(
            "Requests",
            evaluation.requests_per_s,
            "requests/s",
            f"{number(evaluation.requests_per_s * 3600)} per hour",
            "Finished requests per second, over the whole deployment.",
        ),
    ]


def _ttft(evaluation: Evaluation) -> Tile:
    share, ok, note = _limit(evaluation.ttft_s, evaluation.scenario.ttft)
    value, unit = split_duration(evaluation.ttft_s)
    return Tile(
        label="TTFT",
        value=value,
        unit=unit,
        note=note or "no limit",
        help=f"Time to first token: {_which(evaluation)}, waiting for prefill included.",
        exact=full(ms(evaluation.ttft_s), "ms"),
        share=share,
        ok=ok,
    )


def _which(evaluation: Evaluation) -> str:
    """What of many times is shown."""
    if evaluation.load is None:
        return "mean over all requests of the burst"
    name = evaluation.scenario.percentile
    return (
        "mean over all requests"
        if name == "mean"
        else f"{name.upper()}, which {name[1:]}% of the requests do not exceed"
    )


def _tpot(evaluation: Evaluation) -> Tile:
    timing = evaluation.tpot_timing
    other = next(name for name in TPOT_LABELS if name != timing)
    share, ok, note = _limit(evaluation.tpot_s, evaluation.scenario.tpot)
    value, unit = split_duration(evaluation.tpot_s)
    beside = f"{TPOT_LABELS[other]} {duration(evaluation.tpot_other_s)}"
    return Tile(
        label=f"TPOT {TPOT_LABELS[timing]}",
        value=value,
        unit=unit,
        note=f"{note}\n{beside}" if note else beside,
        help=f"Time per output token, {_which(evaluation)}. The field uses two definitions: one spreads TTFT over the "
        "output tokens, the other starts after the first token. Limits apply to the large number.",
        exact=f"{full(ms(evaluation.tpot_s), 'ms')}; {TPOT_LABELS[other]} {full(ms(evaluation.tpot_other_s), 'ms')}",
        share=share,
        ok=ok,
    )


def _concurrency(evaluation: Evaluation) -> Tile:
    replicas = evaluation.layout.dp * evaluation.layout.pp
    batch = f"batch {number(evaluation.run.batch_size)}"
    if evaluation.load is not None:
        return Tile(
            label="Concurrency",
            value=number(evaluation.concurrency),
            unit="requests",
            note=f"{number(float(f'{evaluation.load.waiting * replicas:.3g}'))} of them waiting",
            help="Requests in the whole deployment at a time, on average: those that wait and those that are served.",
            exact=full(evaluation.load.concurrency, "requests"),
        )
    return Tile(
        label="Concurrency",
        value=number(evaluation.concurrency),
        unit="requests",
        note=f"{batch} × {number(replicas)} (DP · PP)" if replicas > 1 else f"{batch}, one replica",
        help="Requests in flight over the whole deployment: batch size · DP · PP.",
        exact=full(evaluation.concurrency, "requests"),
    )


def _memory_left(evaluation: Evaluation) -> Tile:
    left, last, total = (
        evaluation.run.memory_left_bytes,
        evaluation.memory_left_at_last_token_bytes,
        evaluation.memory.total,
    )
    used = (total - left) / total if total > 0 else None
    return Tile(
        label="Memory left",
        value=number(gib(left)),
        unit="GiB",
        note=f"{'✗ ' if last < 0 else ''}at the last token {memory(last)}",
        help=f"Per device, in the tightest priced pass{_of_burst(evaluation)}; passes are priced in the middle of the "
        "output. At the last token every request of the burst holds its full context, and memory is needed most.",
        exact=f"{full(gib(left), 'GiB')} of {full(gib(total), 'GiB')}",
        share=used,
        ok=left >= 0,
    )


def _of_burst(evaluation: Evaluation) -> str:
    """Passes are priced in detail for a burst only."""
    return "" if evaluation.load is None else " of a burst of about as many requests"


def _end_to_end(evaluation: Evaluation) -> Tile:
    value, unit = split_duration(evaluation.end_to_end_s)
    load = evaluation.load
    tokens = count(evaluation.scenario.output, "token")
    if load is not None and round(load.mean_output_tokens) != evaluation.scenario.output:
        tokens = f"{count(round(load.mean_output_tokens), 'token')} on average"
    return Tile(
        label="End to end",
        value=value,
        unit=unit,
        note=f"for {tokens}",
        help=f"Time from a request's arrival to its last token: {_which(evaluation)}.",
        exact=full(evaluation.end_to_end_s, "s"),
    )


def _rate(label: str, value: float, unit: str, note: str, text: str) -> Tile:
    return Tile(label=label, value=number(value), unit=unit, note=note, help=text, exact=full(value, unit))


def _limit(value_s: float, limit_ms: float | None) -> tuple[float | None, bool | None, str]:
    """Share of the limit used, met or not, and the words; nothing without a limit."""
    if limit_ms is None:
        return None, None, ""
    share = value_s / seconds(limit_ms)
    if share <= 1:
        return share, True, f"✓ limit {duration(seconds(limit_ms))}"
    over = f"{percent(share - 1)} over " if math.isfinite(share) else "over "
    return share, False, f"✗ {over}{compared(value_s, seconds(limit_ms))[1]}"
