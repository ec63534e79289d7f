"""Recorded runs again, this time from Scenario to exported row; and the searches of the real optimizer."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from aggsim.devices.catalog import load_device
from aggsim.models.catalog import load_model
from aggsim.planning.evaluate import evaluate
from aggsim.planning.evaluation import Evaluation
from aggsim.planning.resolve import resolve
from aggsim.report.json_form import evaluation_json
from aggsim.report.rows import result_row
from aggsim.scenario import LinearLaw, Scenario
from aggsim.units import GIB

FOLDER = Path(__file__).parent
CASES = [
    json.loads(line)
    for rules in ("seed", "current")
    for line in (FOLDER / f"scheduling_{rules}.jsonl").read_text().splitlines()
]
SEARCHES = [json.loads(line) for line in (FOLDER / "search_tensorcast.jsonl").read_text().splitlines()]
LAYOUTS = [(search["case"], row) for search in SEARCHES for row in search["best_per_layout"]]
DENSE, MOE = "Qwen/Qwen3-32B", "Qwen/Qwen3-235B-A22B"
ROUNDED = {"rel": 1e-9, "abs": 1.001e-3}


def answer(scenario: Scenario) -> Evaluation:
    deployment = resolve(scenario, load_model(scenario.model), load_device(scenario.device))
    return evaluate(deployment, deployment.bind())


def scenario_of(case: dict[str, Any]) -> Scenario:
    asked, law = case["inputs"], case["law"]
    times = {key: law[key] for key in ("fixed_s", "per_token_s", "per_token_ctx_s", "per_ctx_s")}
    return Scenario(
        model=MOE if asked["moe"] else DENSE,
        devices=asked["tp"] * asked["dp"] * asked["pp"],
        tp=asked["tp"],
        pp=asked["pp"],
        input=asked["input_length"],
        output=asked["output_length"],
        batch=asked["batch_size"],
        prefix_hit=asked["prefix_cache_hit_rate"],
        mtp=asked["num_mtp_tokens"],
        mtp_rates=tuple(asked["mtp_acceptance_rate"]),
        max_batched_tokens=asked["max_batched_tokens"],
        ttft=asked["ttft_limit_ms"],
        tpot=asked["tpot_limit_ms"],
        engine="linear",
        law=LinearLaw(**times, memory_gib=law["memory_gb"], gib_per_ctx=law["gb_per_ctx"]),
        rules=case["rules"],
    )


@pytest.mark.parametrize("case", CASES, ids=[f"{case['rules']}-{i % 160}" for i, case in enumerate(CASES)])
def test_row_and_verdict(case: dict[str, Any]) -> None:
    evaluation = answer(scenario_of(case))
    row = result_row(evaluation)
    for name, value in case["outputs"].items():
        if name.startswith("percentage") or name not in row:  # the recorded law pretends to know what bounds a pass
            continue
        assert row[name] == (pytest.approx(value, **ROUNDED) if isinstance(value, float) else value), name
    assert evaluation.verdict.ok is not case["stop"]
    if case["stop"] and case["metrics"]["memory_left_gb"] < 0:
        assert evaluation.verdict.limit == "memory"
    unreachable = {name for name, value in case["outputs"].items() if isinstance(value, float) and math.isinf(value)}
    assert {name for name, value in evaluation_json(evaluation)["row"].items() if value is None} == unreachable


@pytest.mark.parametrize(("case", "row"), LAYOUTS, ids=[f"{c['id']}, {row['parallel']}" for c, row in LAYOUTS])
def test_search_of_the_real_optimizer(case: dict[str, Any], row: dict[str, Any]) -> None:
    tp = int(row["parallel"].split()[0].removeprefix("TP="))
    scenario = Scenario(
        model=case["id"],
        device=case["device"],
        devices=case["devices"],
        tp=tp,
        linear="none" if row["quantize_linear_action"] == "DISABLED" else row["quantize_linear_action"].lower(),
        input=case["input"],
        output=case["output"],
        tpot=case["tpot"],
        max_batched_tokens=case.get("max_batched_tokens"),
    )
    found = answer(scenario)
    same_batch = result_row(answer(scenario.replace(batch=row["batch_size"])))
    assert same_batch["max_batched_tokens"] == row["max_batched_tokens"]
    assert same_batch["prefill_num_chunks"] == row["prefill_num_chunks"]
    for name in ("ttft", "tpot", "token/s"):
        assert same_batch[name] == pytest.approx(row[name], rel=0.015), name
    assert found.run.batch_size == pytest.approx(row["batch_size"], rel=0.02, abs=1)
    assert found.memory.available / GIB == pytest.approx(row["avail_GB"], abs=0.01 * found.memory.total / GIB)
