"""Simulations of one load, put together: percentiles, throughput, goodput, and whether the queue grows without end."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from aggsim.planning.load_result import LoadResult, LoadState, Quantiles, Sampled
from aggsim.planning.load_runs import Measured, Stage, plus_minus, sampled, series_of
from aggsim.planning.verdict import Limits

__all__ = ["NEAR_SATURATION", "summarize"]

NEAR_SATURATION = 0.9
"""From this share of what can be carried, the figures depend on how long one looks."""


def summarize(
    runs: Sequence[Measured],
    stage: Stage,
    *,
    arrival: str,
    factor: float,
    asked: float | None,
    carried: float | None,
    limits: Limits,
) -> LoadResult:
    """runs: one a seed, of one replica; the deployment is `factor` times as much. asked, carried: requests per second
    that come and that can be served at most, None in a closed loop."""
    state = _state(asked, carried)
    grows = state == "saturated" and arrival == "open"
    ttft = sampled([(run.ttft_s, np.ones(len(run.ttft_s))) for run in runs])
    end_to_end = sampled([(run.end_to_end_s, np.ones(len(run.end_to_end_s))) for run in runs])
    tpots = [run.tpot_s[np.isfinite(run.tpot_s)] for run in runs]
    per_s = [factor * run.requests_per_s for run in runs]
    prompts, outputs = np.mean([run.tokens_per_s() for run in runs], axis=0) * factor
    in_system = float(np.mean([run.times.mean_in_system(run.span) for run in runs]))
    waiting = float(np.mean([run.times.mean_waiting(run.span) for run in runs]))
    shares = [found for run in runs if (found := run.kv_shares())]
    goodput = _goodput(runs, limits, grows=grows)
    requests_per_s = float(np.mean(per_s))
    number = sum(int(run.ended.sum()) for run in runs)
    return LoadResult(
        arrival=arrival,
        ttft=_endless(ttft) if grows else ttft,
        tpot=sampled([(tpot, np.ones(len(tpot))) for tpot in tpots]),
        itl=sampled([run.gaps() for run in runs]),
        end_to_end=_endless(end_to_end) if grows else end_to_end,
        requests_per_s=requests_per_s,
        requests_per_s_plus_minus=plus_minus(per_s),
        prompt_tokens_per_s=float(prompts),
        output_tokens_per_s=float(outputs),
        asked_per_s=asked,
        carried_per_s=carried,
        state=state,
        goodput=goodput,
        goodput_per_s=None if goodput is None else goodput * requests_per_s,
        concurrency=in_system * factor,
        waiting=waiting,
        running=in_system - waiting,
        kv_share=float(np.mean([mean for mean, _ in shares])) if shares else None,
        kv_share_max=max(most for _, most in shares) if shares else None,
        preemptions_per_request=sum(int(run.times.preemptions[run.ended].sum()) for run in runs) / number,
        kv=stage.kv,
        max_num_seqs=stage.replica.max_num_seqs,
        max_batched_tokens=stage.replica.max_batched_tokens,
        num_requests=number,
        num_warm_up=runs[0].warm_up,
        num_seeds=len(runs),
        num_steps=sum(int(run.served.runs.repeat.sum()) for run in runs),
        mean_output_tokens=float(np.mean([run.times.output_tokens[run.ended].mean() for run in runs])),
        series=series_of(runs[0]),
    )


def _state(asked: float | None, carried: float | None) -> LoadState:
    if asked is None or carried is None or asked < NEAR_SATURATION * carried:
        return "steady"
    return "saturated" if asked >= carried else "near_saturation"


def _goodput(runs: Sequence[Measured], limits: Limits, *, grows: bool) -> float | None:
    ttft, tpot = limits.ttft_s, limits.tpot_s
    if ttft is None and tpot is None:
        return None
    if grows and ttft is not None:
        return 0.0
    good = [
        (run.ttft_s <= (math.inf if ttft is None else ttft))
        & ~(run.tpot_s > (math.inf if tpot is None else tpot))  # nan, of a single token, is not too slow
        for run in runs
    ]
    return float(np.concatenate(good).mean())


def _endless(found: Sampled) -> Sampled:
    """It grows as long as one looks."""
    endless = Quantiles(mean=math.inf, p50=math.inf, p90=math.inf, p95=math.inf, p99=math.inf)
    return Sampled(value=endless, plus_minus=None, count=found.count)
