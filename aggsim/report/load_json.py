"""Simulated arrivals as the JSON that scripts read. What is infinite is null."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from aggsim.planning.load_result import LoadResult, Quantiles, Sampled
from aggsim.report.load_words import saturation_words
from aggsim.units import gib, ms

__all__ = ["load_json"]

_AS_THEY_ARE = (
    *("requests_per_s", "requests_per_s_plus_minus", "prompt_tokens_per_s", "output_tokens_per_s", "asked_per_s"),
    *("carried_per_s", "utilization", "state", "goodput", "goodput_per_s", "concurrency", "waiting", "running"),
    *("kv_share", "kv_share_max", "preemptions_per_request", "max_num_seqs", "max_batched_tokens", "num_requests"),
    *("num_warm_up", "num_seeds", "num_steps", "mean_output_tokens"),
)


def load_json(load: LoadResult) -> dict[str, Any]:
    """Times in ms as mean, p50, p90, p95 and p99, with the half-width of their 95% confidence intervals."""
    return {
        "arrival": load.arrival,
        "ttft_ms": _sampled(load.ttft),
        "tpot_ms": _sampled(load.tpot),
        "itl_ms": _sampled(load.itl),
        "end_to_end_ms": _sampled(load.end_to_end),
        **{name: getattr(load, name) for name in _AS_THEY_ARE},
        "saturation": saturation_words(load) or None,
        "kv": {
            "block_tokens": load.kv.block_tokens,
            "blocks": load.kv.blocks,
            "tokens": None if load.kv.blocks is None else load.kv.tokens,
            "free_gib": gib(load.kv.free_bytes),
        },
        "series": dataclasses.asdict(load.series),
    }


def _sampled(sampled: Sampled) -> dict[str, Any]:
    return {
        **_in_ms(sampled.value),
        "plus_minus": _in_ms(sampled.plus_minus) if sampled.plus_minus else None,
        "count": sampled.count,
    }


def _in_ms(times: Quantiles) -> dict[str, float | None]:
    return {name: ms(value) if math.isfinite(value) else None for name, value in dataclasses.asdict(times).items()}
