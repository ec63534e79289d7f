"""Requests that arrive, in sentences: the load's name, whether the queue grows without end, what meets the limits."""

from __future__ import annotations

import math

from aggsim.planning.evaluation import Evaluation, TriedBatch, Verdict
from aggsim.planning.load_result import LoadResult, Sampled
from aggsim.report.format import compared, count, duration, number, percent
from aggsim.scenario import Scenario
from aggsim.units import seconds

__all__ = [
    "load_assumptions",
    "load_limit_words",
    "load_name",
    "load_rows",
    "load_stop_words",
    "load_verdict_words",
    "saturation_words",
    "steady_words",
    "waiting_words",
]

_NAMES = {"ttft": "TTFT", "tpot": "TPOT"}


def load_name(scenario: Scenario, point: TriedBatch | None = None) -> str:
    """E.g. "5 requests/s", "64 users", "this trace"; of the point of a search, or of a scenario."""
    rate, users = (point.rate, point.users) if point else (scenario.rate, scenario.users)
    if scenario.arrival == "open":
        return f"{number(rate)} requests/s" if rate else "any rate"
    if scenario.arrival == "closed":
        return count(users, "user") if users else "any number of users"
    return "this trace"


def waiting_words(scenario: Scenario) -> str:
    """What is being done while the answer to a load is awaited."""
    if scenario.arrival == "open" and not scenario.rate:
        return "Looking for the highest rate within the limits, request by request"
    if scenario.arrival == "closed" and not scenario.users and not scenario.batch:
        return "Looking for the most users within the limits, request by request"
    what = "as many users as the batch size asks for" if load_name(scenario).startswith("any") else load_name(scenario)
    return f"Simulating {what}, request by request"


def saturation_words(load: LoadResult) -> str:
    """A warning where more comes than can be served, or nearly so; else nothing."""
    asked, carried, used = load.asked_per_s, load.carried_per_s, load.utilization
    if asked is None or carried is None or used is None or load.state == "steady":
        return ""
    if load.state == "saturated":
        grows = "grows without end" if load.arrival == "open" else "grows as long as the trace lasts"
        return f"The queue {grows}: {number(asked)} requests/s asked, {number(carried)} carried."
    return (
        f"Near saturation: {percent(used)} of the {number(carried)} requests/s that can be carried; "
        "the longer one looks, the longer the queue may get."
    )


def load_verdict_words(evaluation: Evaluation, load: LoadResult) -> tuple[str, str]:
    """The verdict in one sentence, and a second one: what stops a higher load, or what to change."""
    scenario, verdict = evaluation.scenario, evaluation.verdict
    where = f"{'with' if scenario.arrival == 'trace' else 'at'} {load_name(scenario)}"
    if verdict.ok:
        limits = scenario.ttft is not None or scenario.tpot is not None
        met = f"Meets the limits {where}" if limits else f"Serves {load_name(scenario)}"
        stop = evaluation.next_stop
        more = [saturation_words(load), load_stop_words(scenario, stop) if stop else ""]
        return f"{met}.", " ".join(filter(None, more))
    if verdict.limit == "rate":
        return saturation_words(load), "More replicas, or a lower rate, would end that."
    if verdict.limit == "memory" or verdict.limit is None:
        return f"Does not fit {where}.", ""
    value_s = evaluation.ttft_s if verdict.limit == "ttft" else evaluation.tpot_s
    words = load_limit_words(scenario, verdict, value_s)
    advice = "More replicas, or fewer requests at a time, would help."
    return f"Too slow {where}: {words}.", " ".join(filter(None, (saturation_words(load), advice)))


def load_limit_words(scenario: Scenario, verdict: Verdict, value_s: float) -> str:
    """E.g. "P99 TTFT 812 ms > 500 ms, 62% over"."""
    limit_ms = scenario.ttft if verdict.limit == "ttft" else scenario.tpot
    name = _NAMES.get(verdict.limit or "", "")
    which = "" if scenario.percentile == "mean" else f"{scenario.percentile.upper()} "
    value, limit = compared(value_s, seconds(limit_ms or 0.0))
    over = f", {percent(verdict.margin)} over" if verdict.margin is not None and math.isfinite(verdict.margin) else ""
    return f"{which}{name} {value} > {limit}{over}"


def load_stop_words(scenario: Scenario, stop: TriedBatch) -> str:
    """Which limit stops a load: "P99 TTFT stops 12.4 requests/s: 812 ms > 500 ms."."""
    verdict, where = stop.verdict, load_name(scenario, stop)
    if verdict.limit == "rate":
        return f"{where[:1].upper()}{where[1:]} is more than can be carried."
    if verdict.limit not in _NAMES:
        return f"Memory stops {where}." if verdict.limit else ""
    words = load_limit_words(scenario, verdict, stop.ttft_s if verdict.limit == "ttft" else stop.tpot_s)
    return f"{where[:1].upper()}{where[1:]} would be too slow: {words}."


def steady_words(load: LoadResult, users: int) -> str:
    """One line beside a burst: what its users see once each sends the next request as the last one ends."""
    parts = [
        f"TTFT {duration(load.ttft.value.mean)}",
        f"TPOT {duration(load.tpot.value.mean)}",
        f"{number(load.output_tokens_per_s)} tokens/s",
    ]
    return f"Steady state, {count(users, 'user')} asking again and again: {', '.join(parts)}."


def load_rows(load: LoadResult) -> dict[str, str]:
    """Label → text, for the command line."""

    def times(name: str) -> str:
        sampled: Sampled = getattr(load, name)
        value, sure = sampled.value, sampled.plus_minus
        parts = [f"mean {duration(value.mean)}" + (f" ± {duration(sure.mean)}" if sure else "")]
        return ", ".join([*parts, *(f"{p.upper()} {duration(value.at(p))}" for p in ("p50", "p90", "p95", "p99"))])

    of = "" if load.asked_per_s is None else f" of {number(load.asked_per_s)} asked"
    most = "" if load.carried_per_s is None else f", at most {number(load.carried_per_s)} carried"
    good = "" if load.goodput is None else f"; {percent(load.goodput)} within the limits"
    kv = (
        ""
        if load.kv_share is None
        else f"; KV blocks {percent(load.kv_share)}, at most {percent(load.kv_share_max or 0)}"
    )
    return {
        "TTFT": times("ttft"),
        "TPOT": times("tpot"),
        "ITL": times("itl"),
        "End to end": times("end_to_end"),
        "Requests": f"{number(load.requests_per_s)} per s{of}{most}{good}",
        "Tokens": f"{number(load.prompt_tokens_per_s)} of prompts, {number(load.output_tokens_per_s)} of output per s",
        "A replica": f"{number(load.waiting)} waiting, {number(load.running)} served on average{kv}",
    }


def load_assumptions(evaluation: Evaluation, load: LoadResult) -> list[str]:
    """What these numbers take for granted, one sentence each."""
    scenario = evaluation.scenario
    come = {
        "open": "Requests come by themselves, "
        + ("evenly" if scenario.cv == 0 else f"at random (CV {number(scenario.cv)})"),
        "closed": "Each user sends the next request as soon as the last one ends",
        "trace": "Requests come as the trace says",
    }[scenario.arrival]
    where = "" if evaluation.layout.dp == 1 else f"; one of {number(evaluation.layout.dp)} equal replicas is simulated"
    size = (
        "without end"
        if load.kv.blocks is None
        else f"for {number(load.kv.tokens)} tokens in blocks of {load.kv.block_tokens}"
    )
    runs = f"{count(load.num_seeds, 'simulation')} of {count(load.num_steps, 'step')} in all"
    prices = {"fused": "one batch", "max": "two passes that overlap", "sum": "two passes one after the other"}
    return [
        f"{come}{where}.",
        f"Each replica has {count(load.max_num_seqs, 'seat')}, room {size}, and a budget of "
        f"{number(load.max_batched_tokens)} tokens a step; {scenario.scheduler} decides every step.",
        f"A step with prefill and decode is priced as {prices[scenario.mixed]}.",
        f"{count(load.num_requests, 'request')} measured in {runs}, after {number(load.num_warm_up)} of warm-up each.",
        f"{number(scenario.reserved_gib)} GiB per device are reserved for the serving software.",
    ]
