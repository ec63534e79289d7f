"""How far the analytic engine is from recorded forward passes: worst and median, per model, device and operator.

The recordings belong to the tests; without them (an installed package) the bench says nothing.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from aggsim import service
from aggsim.cli.measurement import Measurement
from aggsim.forward.names import tensor_cast_name
from aggsim.planning.forward_request import ForwardRequest
from aggsim.units import GIB

__all__ = ["goldens"]

RECORDINGS = Path(__file__).parents[2] / "tests" / "golden" / "forward_tensorcast.jsonl"


def goldens() -> Iterator[Measurement]:
    """Deviation from 174 passes of the real TensorCast: latency, weights, KV cache, free memory, every operator."""
    deviations: dict[str, list[float]] = defaultdict(list)
    rows = [json.loads(line) for line in RECORDINGS.read_text().splitlines()] if RECORDINGS.exists() else []
    for row in rows:
        for name, deviation in _deviations(row):
            deviations[name].append(deviation)
    for name in sorted(deviations):
        values = [round(100 * value, 4) for value in deviations[name]]
        compared = f"{len(values)} recorded; median {median(values):.4f} %"
        yield Measurement(name=f"worst {name}", value=max(values), unit="%", compared_with=compared)


def _deviations(row: dict[str, Any]) -> Iterator[tuple[str, float]]:
    cost = service.forward(ForwardRequest.from_json(row))
    deployment = f"{row['model'].split('/')[-1]}, {row['device']}"
    yield f"latency, {deployment}", abs(cost.latency_s / row["latency_s"] - 1)
    yield "weights", abs(cost.memory.weight / GIB / row["weight_gb"] - 1)
    yield "KV cache", abs(cost.memory.kv_cache / GIB / row["kv_cache_gb"] - 1)
    yield "free memory, of the device", abs(cost.memory.available / GIB - row["available_gb"]) / row["total_gb"]
    seconds: dict[str, float] = defaultdict(float)
    for op in cost.ops:
        seconds[tensor_cast_name(op.kernel)] += op.total_s
    for name, (recorded_s, _) in row["ops"].items():
        yield f"operator {name.removesuffix('.default')}", abs(seconds[name] / recorded_s - 1)
