"""What a simulated replica shows, in sentences and chart titles."""

from __future__ import annotations

import math

import pandas as pd

from aggsim.planning.evaluation import Evaluation
from aggsim.planning.load_runs import Measured
from aggsim.report.format import count, duration, number, percent
from aggsim.report.load_timeline_tables import warm_up_s
from aggsim.report.load_words import load_name, saturation_words


def headline(evaluation: Evaluation, measured: Measured) -> str:
    """E.g. "Queue of 3.2 requests on average; KV cache 61% full, at most 93%; 1% of requests preempted."."""
    waiting = float(f"{measured.times.mean_waiting(measured.span):.3g}")
    shares = measured.kv_shares()
    preempted = float((measured.times.preemptions[measured.ended] > 0).mean()) if measured.ended.any() else 0.0
    parts = [
        f"Queue of {number(waiting)} requests on average" if waiting else "No request waits",
        "KV cache without end"
        if shares is None
        else f"KV cache {percent(shares[0])} full, at most {percent(shares[1])}",
        f"{percent(preempted)} of requests preempted" if preempted else "no request preempted",
    ]
    grows = saturation_words(evaluation.load) if evaluation.load is not None else ""
    return " ".join(filter(None, [grows, f"{'; '.join(parts)}."]))


def run_words(evaluation: Evaluation, measured: Measured) -> str:
    """What is drawn: one replica, one seed, and what of it is measured."""
    scenario, replicas, load = evaluation.scenario, evaluation.layout.dp, evaluation.load
    where = "the only replica" if replicas == 1 else f"one of {number(replicas)} equal replicas"
    seeds = "" if load is None or load.num_seeds == 1 else f", the first of {count(load.num_seeds, 'seed')}"
    steps = count(int(measured.served.runs.repeat.sum()), "step")
    ended = count(int(measured.ended.sum()), "request")
    begin = warm_up_s(measured)
    after = f" after {duration(begin)} of warm-up" if begin else ""
    beside = " Plan has the averages of all seeds." if seeds else ""
    return (
        f"Simulated: {load_name(scenario)}, {where}{seeds}; {scenario.scheduler} decided {steps}; "
        f"{ended} measured{after}.{beside}"
    )


def overview_title(measured: Measured) -> str:
    """E.g. "274 s in 20,123 steps, idle 3% of the time; drag to choose the window below"."""
    runs = measured.served.runs
    end = float(runs.end_s[-1])
    idle = max(0.0, 1 - float((runs.end_s - runs.start_s).sum()) / end)
    rest = f", idle {percent(idle)} of the time" if idle > 1e-9 else ""
    return f"{duration(end)} in {count(int(runs.repeat.sum()), 'step')}{rest}; drag to choose the window below"


def queue_title(frame: pd.DataFrame) -> str:
    """The most that wait, and how many are served at once. frame: load_timeline_tables.queue_frame."""
    most = frame.groupby("queue")["requests"].max()
    waiting, served = math.ceil(most["waiting"] - 1e-9), math.ceil(most["served"] - 1e-9)
    wait = f"Up to {count(waiting, 'request')} {'wait' if waiting > 1 else 'waits'}" if waiting else "No request waits"
    return f"{wait}, up to {number(served)} served at once; waiting: nothing was computed yet"


def kv_title(frame: pd.DataFrame, measured: Measured) -> str:
    """How full it gets. frame: load_timeline_tables.kv_frame."""
    kv = measured.kv
    size = f"{number(kv.blocks or 0)} blocks of {count(kv.block_tokens, 'token')}"
    return f"KV cache up to {percent(float(frame['share'].max()))} full; {size} on each replica"


def waterfall_title(drawn: int, there: int) -> str:
    """How many requests there are, and which of them are drawn."""
    legend = (
        "thin: waiting, thick: prefill until the first token, medium: decode until the end, ↺ preempted at some time"
    )
    if not there:
        return "No request in the window"
    cut = f"{number(drawn)} of {count(there, 'request')} in the window, first those to which something happens in it"
    return f"{cut if drawn < there else count(there, 'request') + ' in the window'}; {legend}"
