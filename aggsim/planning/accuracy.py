"""Every clean measured row predicted by an engine, and the errors summed up.

An engine is asked with the options that a Scenario gives it, so that its errors are those of the answers on Plan.
`uncorrected` is engine analytic without CORRECTIONS, as the original would answer.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby
from multiprocessing import get_context

import numpy as np

from aggsim.devices.catalog import load_device
from aggsim.engines import ForwardModel, load_engine
from aggsim.engines.silicon_collectives import has_joint_qk_norm
from aggsim.errors import AggsimError, EngineError
from aggsim.models.catalog import load_model
from aggsim.planning.accuracy_fit import overheads_of
from aggsim.planning.closed_loop import ClosedLoop, GridPrices, LoopTimes, Overheads, predict
from aggsim.planning.measurements import Measurement, Times
from aggsim.planning.resolve import resolve
from aggsim.scenario import Scenario

__all__ = [
    "ENGINE_NAMES",
    "PRICED",
    "Prediction",
    "Score",
    "engine_versions",
    "groups_of",
    "predict_all",
    "predict_group",
    "score",
    "simulate_group",
    "worker_pool",
]

PRICED = ("silicon", "analytic", "uncorrected")
"""What is predicted with: two engines as they answer, and engine analytic with corrections=none."""
ENGINE_NAMES = (*PRICED, "auto")
"""What is scored; auto is silicon where it answers, else analytic."""
NO_WAIT_BACKENDS = ("trtllm",)
RESERVED_SHARE = 0.1
"""Of the memory, as the launch scripts leave it free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One row by one engine; times None: the engine cannot price it."""

    id: str
    engine: str
    times: Times | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Errors of one quantity over some rows: predicted ÷ measured − 1, as fractions."""

    count: int
    median_ape: float
    mean_ape: float
    bias: float
    """Median of the signed errors."""
    p90_ape: float

    @classmethod
    def of(cls, errors: Iterable[float]) -> Score:
        signed = np.array(list(errors), float)
        if not len(signed):
            return cls(count=0, median_ape=math.nan, mean_ape=math.nan, bias=math.nan, p90_ape=math.nan)
        size = np.abs(signed)
        return cls(
            count=len(signed),
            median_ape=float(np.median(size)),
            mean_ape=float(size.mean()),
            bias=float(np.median(signed)),
            p90_ape=float(np.quantile(size, 0.9)),
        )


def predict_all(
    rows: Sequence[Measurement],
    engines: Sequence[str] = PRICED,
    *,
    workers: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> list[Prediction]:
    """Rows in order, engine by engine; `auto` is put together from the other two where both were asked for."""
    tasks = [(engine, group) for engine in engines for group in groups_of(rows)]
    predictions: dict[tuple[str, str], Prediction] = {}
    with worker_pool(workers or min(2, os.cpu_count() or 1)) as pool:
        for done, group in enumerate(pool.map(_predict_task, tasks, chunksize=4), start=1):
            predictions |= {(p.engine, p.id): p for p in group}
            if progress is not None:
                progress(done / len(tasks))
    found = [predictions[engine, row.id] for engine in engines for row in rows]
    if {"silicon", "analytic"} <= set(engines):
        found += [_auto(predictions["silicon", row.id], predictions["analytic", row.id]) for row in rows]
    return found


def predict_group(rows: Sequence[Measurement], engine: str) -> list[Prediction]:
    """Rows that differ in nothing but the users, priced from one grid."""
    overheads = overheads_of(engine)
    try:
        (times,) = simulate_group(rows, engine, [overheads])
    except AggsimError as error:
        reason = error.reason if isinstance(error, EngineError) else str(error)
        return [Prediction(id=row.id, engine=engine, times=None, reason=reason) for row in rows]
    return [
        Prediction(id=row.id, engine=engine, times=Times(ttft_ms=1e3 * found.ttft_s, tpot_ms=1e3 * found.tpot_s))
        for row, found in zip(rows, times, strict=True)
    ]


def simulate_group(rows: Sequence[Measurement], engine: str, overheads: Sequence[Overheads]) -> list[list[LoopTimes]]:
    """For each of the overheads the times of each row. Rows differ in nothing but the users.

    Raises AggsimError where the engine cannot price their deployment.
    """
    first = max(rows, key=lambda row: row.users)
    grid = GridPrices(_bind(first, engine), _loop(first), first.users)
    return [[predict(grid, _loop(row), each) for row in rows] for each in overheads]


def score(rows: Iterable[Measurement], times: Callable[[Measurement], Times | None]) -> dict[str, Score]:
    """Scores by quantity: tpot, ttft, and ttft_no_queue of the rows that did not queue. Rows without times are left
    out."""
    pairs = [(row, found) for row in rows if (found := times(row)) is not None]
    return {
        "tpot": Score.of(found.tpot_ms / row.measured.tpot_ms - 1 for row, found in pairs),
        "ttft": Score.of(found.ttft_ms / row.measured.ttft_ms - 1 for row, found in pairs),
        "ttft_no_queue": Score.of(found.ttft_ms / row.measured.ttft_ms - 1 for row, found in pairs if not row.queued),
    }


def engine_versions() -> dict[str, str]:
    """What stored predictions are keyed by."""
    return {name: load_engine(name).version for name in ("silicon", "analytic")}


def _predict_task(task: tuple[str, list[Measurement]]) -> list[Prediction]:
    engine, rows = task
    return predict_group(rows, engine)


def worker_pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


def groups_of(rows: Sequence[Measurement]) -> list[list[Measurement]]:
    """Rows that share a grid, those of one deployment next to one another."""

    def key(row: Measurement) -> tuple[object, ...]:
        scenario = row.scenario()
        return (
            *(row.model, row.system, row.backend, row.tp, row.dp, row.ep),
            *(scenario.linear or "", scenario.experts or "", scenario.attention),
            *(row.input_tokens, row.output_tokens, row.length_spread, row.recipe.budget_tokens),
        )

    return [list(group) for _, group in groupby(sorted(rows, key=key), key)]


def _bind(row: Measurement, priced: str) -> ForwardModel:
    """The deployment of a row; its lengths and users play no part in that."""
    engine, corrections = ("analytic", "none") if priced == "uncorrected" else (priced, "auto")
    asked = row.scenario(engine).replace(batch=None, input=1, output=1, max_batched_tokens=None, reserved_gib=0.0)
    return _bound(asked.replace(corrections=corrections))


@functools.lru_cache(maxsize=8)
def _bound(scenario: Scenario) -> ForwardModel:
    deployment = resolve(scenario, load_model(scenario.model), load_device(scenario.device))
    reserved_bytes = RESERVED_SHARE * deployment.device.memory_bytes
    options = replace(deployment.options, reserved_bytes=reserved_bytes)
    return deployment.engine.bind(
        deployment.model, deployment.device, deployment.layout, deployment.quantization, options
    )


def _loop(row: Measurement) -> ClosedLoop:
    return ClosedLoop(
        users=row.users,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        length_spread=row.length_spread,
        budget_tokens=row.recipe.budget_tokens,
        backend=row.backend,
        replicas=row.dp,
        collectives=_collectives(row),
        delay_steps=row.recipe.delay_steps,
    )


def _collectives(row: Measurement) -> int:
    """Those that wait for the slowest device: two a layer where a replica has several, after attention and after the
    MLP or around the experts. None where TensorRT-LLM serves: on the fit half its measured times leave no room for a
    wait (least error at 0 to 2 µs), while those of vLLM and SGLang need 8 to 12."""
    if row.backend in NO_WAIT_BACKENDS:
        return 0
    model = load_model(row.model)
    each = 2 + has_joint_qk_norm(model)
    return each * model.num_layers if row.tp * row.dp > 1 else 0


def _auto(silicon: Prediction, analytic: Prediction) -> Prediction:
    chosen = analytic if silicon.times is None else silicon
    return Prediction(id=silicon.id, engine="auto", times=chosen.times, reason=silicon.reason)
