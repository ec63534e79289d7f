"""How far off the engine was where somebody measured something like this."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from aggsim.engines.silicon_tables import SYSTEMS
from aggsim.errors import EngineError
from aggsim.models.catalog import load_model, model_ids
from aggsim.planning.accuracy_store import stored_versions, times_of
from aggsim.planning.evaluation import Evaluation
from aggsim.planning.measurements import Measurement, load_measurements

__all__ = ["ErrorBar", "can_compare", "neighbours"]

MOST = 20
"""Neighbours that are looked at, the nearest first."""
REACH = 2.0
"""How much farther than the nearest one they may be."""
GENERATION = {
    "h100_sxm": "Hopper",
    "h200_sxm": "Hopper",
    "b200_sxm": "Blackwell",
    "b300_sxm": "Blackwell",
    "gb200": "Blackwell",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBar:
    """Signed errors, predicted ÷ measured − 1, between the 10th and the 90th percentile of the neighbours."""

    count: int
    nearest: Measurement
    ttft: tuple[float, float]
    tpot: tuple[float, float]


def can_compare(evaluation: Evaluation) -> bool:
    """Somebody measured something on this generation of devices, and predictions of this very engine are kept."""
    engine = evaluation.engine
    if (
        stored_versions().get(engine.name) != engine.version
        or SYSTEMS.get(evaluation.scenario.device) not in GENERATION
    ):
        return False
    try:
        return bool(load_measurements())
    except EngineError:
        return False


def neighbours(evaluation: Evaluation) -> ErrorBar | None:
    """Of the nearest measurements: same model or family, same device or generation, then layout, load and lengths.

    The engine's errors are those of its closed-loop prediction. None: nothing comparable was ever measured; so it is
    with pipeline stages and speculative decoding.
    """
    scenario, system = evaluation.scenario, SYSTEMS.get(evaluation.scenario.device)
    if not can_compare(evaluation) or scenario.mtp or scenario.pp > 1 or scenario.model not in model_ids():
        return None
    architecture = load_model(scenario.model).architecture
    ranked = []
    for row in load_measurements():
        times = None if row.suspect_mtp else times_of(_priced(evaluation), row)
        if times is None or GENERATION.get(row.system) != GENERATION[str(system)]:
            continue
        if row.model != scenario.model and load_model(row.model).architecture != architecture:
            continue
        ranked.append((_distance(row, str(system), evaluation), row.id, row, times))
    if not ranked:
        return None
    ranked.sort(key=lambda entry: entry[:2])
    near = [entry for entry in ranked[:MOST] if entry[0] <= ranked[0][0] + REACH]
    return ErrorBar(
        count=len(near),
        nearest=near[0][2],
        ttft=_range([times.ttft_ms / row.measured.ttft_ms - 1 for _, _, row, times in near]),
        tpot=_range([times.tpot_ms / row.measured.tpot_ms - 1 for _, _, row, times in near]),
    )


def _priced(evaluation: Evaluation) -> str:
    """Under which name the predictions of the engine are kept."""
    name = evaluation.engine.name
    return "uncorrected" if name == "analytic" and evaluation.scenario.corrections == "none" else name


def _distance(row: Measurement, system: str, evaluation: Evaluation) -> float:
    """1 for another model or number format, half of it for another device or framework, 1 for twice as many devices
    in a layout, half of it for twice the load, a quarter for twice the length."""
    scenario, layout = evaluation.scenario, evaluation.layout
    formats = row.weights is not None and row.weights != scenario.linear
    users = max(1, scenario.batch or 1)
    return (
        1.0 * (row.model != scenario.model)
        + 1.0 * formats
        + 0.5 * (row.system != system)
        + 0.5 * (row.backend != scenario.backend)
        + abs(math.log2(row.tp / layout.tp))
        + 0.5 * abs(math.log2(row.users / users))
        + 0.25 * abs(math.log2(row.input_tokens / scenario.input))
        + 0.25 * abs(math.log2(row.output_tokens / scenario.output))
    )


def _range(errors: list[float]) -> tuple[float, float]:
    low, high = np.quantile(errors, [0.1, 0.9])
    return float(low), float(high)
