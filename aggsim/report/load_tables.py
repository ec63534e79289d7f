"""What a load comes to, for the Plan page: how long requests take, what is carried, and the simulation over time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from aggsim.planning.evaluation import Evaluation
from aggsim.planning.load_result import LoadResult, LoadSeries, Sampled
from aggsim.report.format import LONG_S, count, number, percent
from aggsim.units import ms

QUANTILES = {"mean": "mean", "p50": "P50", "p90": "P90", "p95": "P95", "p99": "P99"}
TIMES = {
    "ttft": ("TTFT", "From a request's arrival to its first token, waiting included."),
    "tpot": ("TPOT", "From the first token to the last, divided by the tokens after the first."),
    "itl": ("ITL", "Between two passes that yield a token to a request: what a reader sees as a pause."),
    "end_to_end": ("End to end", "From a request's arrival to its last token."),
}
"""Field of LoadResult → its name and what it is."""
PLUS_MINUS_HELP = "±: half of the 95% confidence interval over the seeds."


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRow:
    """One kind of time as the page shows it; the same unit in every cell."""

    name: str
    unit: str
    help: str
    cells: tuple[str, ...]
    """In the order of QUANTILES."""
    plus_minus: tuple[str, ...]
    """Beside them: "± 5.2"; "" where nothing is random."""


def time_rows(load: LoadResult) -> list[TimeRow]:
    """TTFT, TPOT, ITL and end to end."""
    return [_time_row(getattr(load, key), *named) for key, named in TIMES.items()]


def _time_row(sampled: Sampled, name: str, text: str) -> TimeRow:
    values = [sampled.value.at(quantile) for quantile in QUANTILES]
    largest = max((value for value in values if math.isfinite(value)), default=0.0)
    unit, scale = ("s", 1.0) if largest >= LONG_S else ("ms", 1e3)
    spread = sampled.plus_minus
    half = [math.nan if spread is None else spread.at(quantile) for quantile in QUANTILES]
    return TimeRow(
        name=name,
        unit=unit,
        help=f"{text} {PLUS_MINUS_HELP}" if spread is not None else text,
        cells=tuple(number(value * scale) for value in values),
        plus_minus=tuple(f"± {number(value * scale, 2)}" if math.isfinite(value) else "" for value in half),
    )


def percentile_table(load: LoadResult) -> pd.DataFrame:
    """The same for export, full precision: one row a kind of time, milliseconds, and how many values are behind it."""
    rows = []
    for key, (name, _) in TIMES.items():
        sampled: Sampled = getattr(load, key)
        row: dict[str, object] = {"time": name}
        for quantile in QUANTILES:
            row[f"{quantile}_ms"] = ms(sampled.value.at(quantile))
            row[f"{quantile}_plus_minus_ms"] = (
                None if sampled.plus_minus is None else ms(sampled.plus_minus.at(quantile))
            )
        rows.append(row | {"count": sampled.count})
    return pd.DataFrame(rows)


def facts(load: LoadResult) -> list[tuple[str, str, str]]:
    """Name, value and what it means, of what the tiles do not say."""
    sure = f" ± {number(load.requests_per_s_plus_minus, 2)}" if load.requests_per_s_plus_minus else ""
    spread = "one simulation" if load.num_seeds == 1 else f"{number(load.num_seeds)} seeds"
    return [
        ("State", state_words(load), "Whether the queue stays as it is, or grows as long as one looks."),
        (
            "Measured",
            f"{number(_three(load.requests_per_s))}{sure} requests/s, {number(_three(load.output_tokens_per_s))} "
            f"output tokens/s; {count(load.num_requests, 'request')}, {spread}",
            "What ended after the warm-up, over the whole deployment; the tiles have what that comes to in the long "
            "run.",
        ),
        ("Within the limits", goodput_words(load), "Goodput: requests that meet the limits on TTFT and TPOT, each by "
         "itself."),
        (
            "Each replica",
            f"{number(_three(load.waiting))} waiting, {number(_three(load.running))} of "
            f"{count(load.max_num_seqs, 'seat')} taken",
            "Means over time: requests for which nothing was computed yet, and those that are served.",
        ),
        ("KV cache", kv_words(load), "Mean share of the KV blocks that requests hold. A request is preempted when the "
         "next token of another finds no block; it is computed again later."),
    ]  # fmt: skip


def state_words(load: LoadResult) -> str:
    """One plain word, and how far from the edge."""
    if load.arrival == "closed":
        return "steady: users wait for their answers, so no queue can grow"
    if load.asked_per_s is None or load.carried_per_s is None:
        return "too few requests to speak of a rate"
    used = percent(load.utilization or 0.0)
    if load.state == "saturated":
        return f"saturated: {number(load.asked_per_s)} requests/s asked, {number(_three(load.carried_per_s))} carried"
    word = "steady" if load.state == "steady" else "near saturation"
    return f"{word}: {used} of the {number(_three(load.carried_per_s))} requests/s that can be carried"


def goodput_words(load: LoadResult) -> str:
    """Share and rate of the requests within the limits."""
    if load.goodput is None or load.goodput_per_s is None:
        return "no limit is set"
    return f"{percent(load.goodput)} of requests, {number(_three(load.goodput_per_s))} requests/s"


def kv_words(load: LoadResult) -> str:
    """How full, and how often it was too full."""
    often = load.preemptions_per_request
    preempted = f"{number(_three(100 * often))} preemptions per 100 requests" if often else "no preemption"
    if load.kv_share is None:
        return f"without end; {preempted}"
    return f"{percent(load.kv_share)} full, at most {percent(load.kv_share_max or 0.0)}; {preempted}"


def passes_words(evaluation: Evaluation) -> str:
    """What the passes below are of."""
    batch = number(evaluation.run.batch_size)
    return (
        f"Passes, operators and memory below are those of a burst of batch {batch}, about as many requests as one "
        "replica serves at a time."
    )


def _three(value: float) -> float:
    """Three digits, so that what is whole but for rounding is written as whole."""
    return float(f"{value:.3g}") if abs(value) < 1000 else value


def series_queue(series: LoadSeries) -> pd.DataFrame:
    """Columns time_s, queue (waiting, served), requests; means over equal bins of one replica."""
    frame = pd.DataFrame({"time_s": series.time_s, "waiting": series.waiting, "served": series.running})
    return frame.melt("time_s", ["waiting", "served"], var_name="queue", value_name="requests")


def series_kv(series: LoadSeries, blocks: int) -> pd.DataFrame:
    """Columns time_s, share (of the capacity), blocks; series.kv_share must not be empty."""
    frame = pd.DataFrame({"time_s": series.time_s, "share": series.kv_share})
    return frame.assign(blocks=frame["share"] * blocks)


def queue_title(load: LoadResult) -> str:
    """E.g. "3.2 requests wait on average, 113 are served; one replica, first seed"."""
    waiting, running = _three(load.waiting), _three(load.running)
    waits = f"{count(waiting, 'request')} {'waits' if waiting == 1 else 'wait'}" if waiting else "No request waits"
    return f"{waits} on average, {number(running)} {'is' if running == 1 else 'are'} served; {_drawn(load)}"


def kv_title(load: LoadResult) -> str:
    """E.g. "KV cache 61% full on average, at most 93%; one replica, first seed"."""
    share, most = percent(load.kv_share or 0.0), percent(load.kv_share_max or 0.0)
    return f"KV cache {share} full on average, at most {most}; {_drawn(load)}"


def _drawn(load: LoadResult) -> str:
    seed = "" if load.num_seeds == 1 else ", first seed"
    return f"drawn: one replica{seed}, averaged over {number(len(load.series.time_s))} bins"
