"""Serve one burst: the one entry to both timings."""

from __future__ import annotations

from aggsim.engines.base import ForwardModel
from aggsim.errors import InputError
from aggsim.scenario import ParallelLayout, Workload
from aggsim.serving.burst import Burst
from aggsim.serving.run import ServingRun
from aggsim.serving.schedulers import Scheduler
from aggsim.serving.stepped import stepped_run
from aggsim.serving.wave import wave_run

__all__ = ["AUTO_TOKEN_FACTORS", "TIMINGS", "choose_max_batched_tokens", "simulate"]

TIMINGS = ("auto", "wave", "stepped")
AUTO_TOKEN_FACTORS = (4, 2, 1)
"""Token budgets tried when none is given, in prompts."""


def simulate(
    forward: ForwardModel,
    workload: Workload,
    layout: ParallelLayout,
    *,
    batch_size: int,
    max_batched_tokens: int,
    scheduler: Scheduler,
    timing: str = "auto",
    rules: str = "current",
    detail: bool = True,
) -> ServingRun:
    """Serve batch_size · dp · pp requests that arrive together.

    timing=auto is wave where the prompt fits one chunk, else stepped. detail=False leaves the three costs None and
    the timeline empty: numbers only, for a search. Raises InputError for what cannot be served (a batch size or token
    budget under 1, wave with several chunks, unknown timing or rules) and NoProgressError when the scheduler stalls.
    """
    if batch_size < 1:
        raise InputError("batch", batch_size, "1 or more")
    if timing not in TIMINGS:
        raise InputError("timing", timing, ", ".join(TIMINGS))
    burst = Burst.of(forward, workload, layout, max_batched_tokens=max_batched_tokens, rules=rules)
    if timing == "wave" or (timing == "auto" and len(burst.chunks) == 1):
        return wave_run(burst, batch_size, detail=detail)
    return stepped_run(burst, batch_size, scheduler, detail=detail)


def choose_max_batched_tokens(
    forward: ForwardModel,
    workload: Workload,
    layout: ParallelLayout,
    *,
    scheduler: Scheduler,
    timing: str = "auto",
    rules: str = "current",
) -> int:
    """The token budget of one replica when none is given: 4 prompts; 2 or 1 where batch 1 lacks prefill memory.

    Where even one prompt does not fit, one prompt all the same: the verdict on it says so.
    """
    candidates = [factor * workload.num_input_tokens for factor in AUTO_TOKEN_FACTORS]
    for max_batched_tokens in candidates:
        run = simulate(
            forward,
            workload,
            layout,
            batch_size=1,
            max_batched_tokens=max_batched_tokens,
            scheduler=scheduler,
            timing=timing,
            rules=rules,
            detail=False,
        )
        if run.prefill_memory_left_bytes >= 0:
            return max_batched_tokens
    return candidates[-1]
