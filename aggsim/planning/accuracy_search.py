"""Finds the global parameters: one full grid search with engine silicon, on the fit half and only there.

Made least is the balanced median error of TPOT plus that of TTFT where no queueing was measured. Balanced: a row weighs
1 ÷ the number of rows of its (checkpoint, system, framework, precision), because a model measured at two hundred points
says no more about the next one than a model measured at fifty.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from aggsim.errors import AggsimError
from aggsim.planning.accuracy import engine_versions, groups_of, simulate_group, worker_pool
from aggsim.planning.accuracy_fit import Fit
from aggsim.planning.closed_loop import LoopTimes, Overheads
from aggsim.planning.measurements import Measurement

__all__ = ["SEARCHED", "best_of", "fit_overheads"]

COLLECTIVES_S = (0.0, 4e-6, 8e-6, 12e-6, 16e-6, 20e-6)
PREFILL_SHARES = (1.0, 1.1, 1.2, 1.3)
TTFT_STEPS = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
SEARCHED = tuple(Overheads(collective_s=c, prefill_share=p) for c, p in product(COLLECTIVES_S, PREFILL_SHARES))
"""What has to be simulated; ttft_steps need no simulation of their own."""


def fit_overheads(
    rows: Sequence[Measurement],
    *,
    date: str,
    workers: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Fit:
    """The best point of the grid. Raises ValueError where a row is not of the fit half."""
    if any(row.split != "fit" or row.suspect_mtp for row in rows):
        raise ValueError("parameters are fitted on the fit half only")
    tasks = groups_of(rows)
    times: list[dict[str, LoopTimes]] = [{} for _ in SEARCHED]
    with worker_pool(workers or min(2, os.cpu_count() or 1)) as pool:
        for done, (group, found) in enumerate(zip(tasks, pool.map(_simulate, tasks, chunksize=4), strict=True), 1):
            for of_point, here in zip(times, found, strict=False):
                of_point |= {row.id: each for row, each in zip(group, here, strict=True)}
            if progress is not None:
                progress(done / len(tasks))
    overheads, tpot_error, ttft_error = best_of(rows, times)
    return Fit(
        overheads=overheads,
        tpot_error=tpot_error,
        ttft_error=ttft_error,
        num_rows=len(times[0]),
        engine_version=engine_versions()["silicon"],
        date=date,
    )


def best_of(rows: Sequence[Measurement], times: Sequence[dict[str, LoopTimes]]) -> tuple[Overheads, float, float]:
    """Of SEARCHED × TTFT_STEPS, with the errors of TPOT and TTFT; times: id → times for each of SEARCHED."""
    found = []
    for overheads, by_id in zip(SEARCHED, times, strict=True):
        pairs = [(row, by_id[row.id]) for row in rows if row.id in by_id]
        tpot = _balanced_median([(row, 1e3 * t.tpot_s / row.measured.tpot_ms - 1) for row, t in pairs])
        waited = [(row, t) for row, t in pairs if not row.queued]
        for steps in TTFT_STEPS:
            ttft = _balanced_median(
                [(row, 1e3 * (t.ttft_s + steps * t.tpot_s) / row.measured.ttft_ms - 1) for row, t in waited]
            )
            found.append((tpot + ttft, replace(overheads, ttft_steps=steps), tpot, ttft))
    _, overheads, tpot, ttft = min(found, key=lambda entry: entry[0])
    return overheads, tpot, ttft


def _simulate(rows: list[Measurement]) -> list[list[LoopTimes]]:
    """Empty where silicon has no tables."""
    try:
        return simulate_group(rows, "silicon", SEARCHED)
    except AggsimError:
        return []


def _balanced_median(errors: Sequence[tuple[Measurement, float]]) -> float:
    """Of the sizes of signed errors."""
    kinds = [(row.checkpoint, row.system, row.backend, row.precision) for row, _ in errors]
    counts = Counter(kinds)
    sizes = np.abs([error for _, error in errors])
    order = np.argsort(sizes)
    weights = np.array([1 / counts[kinds[i]] for i in order]).cumsum()
    return float(sizes[order[np.searchsorted(weights, weights[-1] / 2)]])
