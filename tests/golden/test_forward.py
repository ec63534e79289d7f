"""174 forward passes of the real TensorCast analytic model, recorded at commit 84fec85, priced by our engine.

Names are ours; forward.names maps kernels to the original's operators, and every operator is compared by that name.
"""

from __future__ import annotations

import json
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from aggsim import service
from aggsim.forward.cost import ForwardCost
from aggsim.forward.names import tensor_cast_name
from aggsim.planning.forward_request import ForwardRequest
from aggsim.units import GIB

ROWS = [json.loads(line) for line in (Path(__file__).parent / "forward_tensorcast.jsonl").read_text().splitlines()]
BOUNDS = {
    "memory_bound": "memory",
    "communication_bound": "communication",
    "compute_bound_mma": "mma",
    "compute_bound_gp": "gp",
}
TRACKER_LOST_MEMORY = {
    # The recorder's peak is below weights + KV cache there, so it clamps activations to 0, while sibling rows of the
    # same deployment record 0.92 GiB (143) and 0.93 GiB (171). Run again, the real program gives other values.
    141: "activation recorded as 0",
    169: "activation recorded as 0",
    # Frees some hidden states twice, others never: 13 bytes a token and hidden unit where siblings record 7 to 8.
    145: "activation recorded as 2.05 GiB",
}


@cache
def cost(index: int) -> ForwardCost:
    return service.forward(ForwardRequest.from_json(ROWS[index]))


def identity(index: int) -> str:
    row = ROWS[index]
    layout = row["parallel"]
    phase = "decode" if row["is_decode"] else "prefill"
    return f"{index}-{row['model'].split('/')[-1]}-tp{layout['tp']}-ep{layout['ep']}-{row['quantize_linear']}-{phase}"


def operators(priced: ForwardCost) -> dict[str, tuple[float, int]]:
    """Seconds and calls by the original's operator names."""
    sums: dict[str, Any] = defaultdict(lambda: (0.0, 0))
    for op in priced.ops:
        seconds, calls = sums[tensor_cast_name(op.kernel)]
        sums[tensor_cast_name(op.kernel)] = (seconds + op.total_s, calls + op.calls)
    return dict(sums)


@pytest.mark.parametrize("index", range(len(ROWS)), ids=identity)
class TestRecordedPass:
    def test_latency_within_1_percent(self, index: int) -> None:
        assert cost(index).latency_s == pytest.approx(ROWS[index]["latency_s"], rel=0.01)

    def test_every_operator_within_2_percent_and_as_often(self, index: int) -> None:
        recorded = {name: tuple(value) for name, value in ROWS[index]["ops"].items()}
        ours = operators(cost(index))
        assert ours.keys() == recorded.keys()
        for name, (seconds, calls) in recorded.items():
            assert ours[name] == (pytest.approx(seconds, rel=0.02), calls), name

    def test_weights_and_kv_cache_within_half_a_percent(self, index: int) -> None:
        memory = cost(index).memory
        assert memory.weight / GIB == pytest.approx(ROWS[index]["weight_gb"], rel=0.005)
        assert memory.kv_cache / GIB == pytest.approx(ROWS[index]["kv_cache_gb"], rel=0.005)

    def test_available_memory_within_1_percent_of_the_device(self, index: int) -> None:
        row, memory = ROWS[index], cost(index).memory
        difference = abs(memory.available / GIB - row["available_gb"])
        if index in TRACKER_LOST_MEMORY:
            assert 0.01 * row["total_gb"] < difference < 0.02 * row["total_gb"], "no longer an exception"
        else:
            assert difference < 0.01 * row["total_gb"]

    def test_bound_columns_within_2_percent_of_the_latency(self, index: int) -> None:
        row, bound = ROWS[index], cost(index).bound_s
        for theirs, ours in BOUNDS.items():
            assert getattr(bound, ours) == pytest.approx(row["breakdown_s"][theirs], abs=0.02 * row["latency_s"])


def test_the_exceptions_contradict_their_siblings() -> None:
    """Why TRACKER_LOST_MEMORY is not held against us: one deployment, one phase, two truths in the recording."""
    for broken, sibling in ((141, 143), (169, 168)):
        here, there = ROWS[broken], ROWS[sibling]
        assert (here["parallel"], here["device"], here["model"]) == (there["parallel"], there["device"], there["model"])
        assert here["activation_gb"] == 0 < 0.9 < there["activation_gb"]
