"""The real TensorCast, where AGGSIM_TENSOR_CAST_HOME names a checkout: recorded passes and a recorded search.

    pytest -n 2 -m "tensor_cast and not slow"    48 passes, one search: minutes
    pytest -n 2 -m tensor_cast                   all 174 passes, both recorded searches without chunks: an hour

Of memory, weights and KV cache are exact, and what activations leave. What TensorCast says of activations depends on
where its objects lie in the process (it goes by id()): the same pass differs by up to 0.5% of the device from one
process to another, and in 22 of the recordings the estimate was negative and is kept as 0.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from aggsim import service
from aggsim.errors import EngineError
from aggsim.planning.forward_request import ForwardRequest
from aggsim.report.json_form import forward_json
from aggsim.report.rows import result_row
from aggsim.scenario import Scenario
from aggsim.units import GIB

FOLDER = Path(__file__).parents[1] / "golden"
PASSES = [json.loads(line) for line in (FOLDER / "forward_tensorcast.jsonl").read_text().splitlines()]
SEARCHES = [json.loads(line) for line in (FOLDER / "search_tensorcast.jsonl").read_text().splitlines()[:2]]
PER_DEPLOYMENT = 6
CHOSEN = (0, 5, 6, 8, 9, 13, 16, 28)
"""Deployments that differ most: formats, devices, a dense and two MoE families, MTP."""
EXACT = 1e-6

pytestmark = [
    pytest.mark.tensor_cast,
    pytest.mark.skipif(
        not os.environ.get("AGGSIM_TENSOR_CAST_HOME"),
        reason="AGGSIM_TENSOR_CAST_HOME is not set: there is no TensorCast to ask (README, Engine tensor_cast)",
    ),
]


def recorded_pass(index: int) -> Any:
    row = PASSES[index]
    phase = "decode" if row["is_decode"] else "prefill"
    name = f"{index}-{row['model'].split('/')[-1]}-{row['device']}-tp{row['parallel']['tp']}-{phase}"
    is_chosen = index // PER_DEPLOYMENT in CHOSEN
    return pytest.param(row, id=name, marks=() if is_chosen else pytest.mark.slow)


@pytest.mark.parametrize("row", [recorded_pass(index) for index in range(len(PASSES))])
def test_recorded_pass(row: dict[str, Any]) -> None:
    answer = forward_json(service.forward(ForwardRequest.from_json({**row, "engine": "tensor_cast"})))
    for name in ("latency_s", "weight_gb", "kv_cache_gb"):
        assert answer[name] == pytest.approx(row[name], rel=EXACT), name
    assert answer["breakdown_s"] == pytest.approx(row["breakdown_s"], rel=EXACT)
    assert answer["ops"].keys() == row["ops"].keys()
    for name, recorded in row["ops"].items():
        assert answer["ops"][name] == pytest.approx(recorded, rel=EXACT), name
    left, recorded_left = (found["available_gb"] + found["activation_gb"] for found in (answer, row))
    assert left == pytest.approx(recorded_left, rel=EXACT)
    if row["activation_gb"] > 0:
        assert answer["activation_gb"] == pytest.approx(row["activation_gb"], abs=0.01 * row["total_gb"])


def test_a_family_without_a_profile_is_refused() -> None:
    scenario = Scenario(model="openai/gpt-oss-20b", device="TEST_DEVICE", devices=8, tp=8, engine="tensor_cast")
    with pytest.raises(EngineError, match="TensorCast has no profile of gpt_oss"):
        service.evaluate(scenario)


def recorded_search(search: dict[str, Any], row: dict[str, Any]) -> Any:
    is_chosen = row["parallel"] == "TP=8 | PP=1 | DP=1"
    name = f"{search['case']['model']}, {row['parallel']}"
    return pytest.param(search["case"], row, id=name, marks=() if is_chosen else pytest.mark.slow)


@pytest.mark.parametrize(
    ("case", "row"), [recorded_search(search, row) for search in SEARCHES for row in search["best_per_layout"]]
)
def test_recorded_search(case: dict[str, Any], row: dict[str, Any]) -> None:
    found = service.evaluate(
        Scenario(
            model=case["id"],
            device=case["device"],
            devices=case["devices"],
            tp=int(row["parallel"].split()[0].removeprefix("TP=")),
            linear="none" if row["quantize_linear_action"] == "DISABLED" else row["quantize_linear_action"].lower(),
            input=case["input"],
            output=case["output"],
            tpot=case["tpot"],
            engine="tensor_cast",
        )
    )
    answer = result_row(found)
    assert found.engine.name == "tensor_cast"
    for name in ("batch_size", "concurrency", "max_batched_tokens", "prefill_num_chunks"):
        assert answer[name] == row[name], name
    for name in ("ttft", "tpot", "token/s"):
        assert answer[name] == pytest.approx(row[name], abs=1.001e-3), name
    assert found.memory.weight / GIB == pytest.approx(row["weight_GB"], abs=1.001e-3)
    assert found.memory.kv_cache / GIB == pytest.approx(row["kv_cache_GB"], abs=1.001e-3)
    assert found.memory.available == pytest.approx(row["avail_GB"] * GIB, abs=0.01 * found.memory.total)
