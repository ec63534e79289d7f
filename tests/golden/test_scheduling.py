"""Recorded runs of both versions of the original program, priced by a linear law: 160 cases each, to 1e-9."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from aggsim.engines.linear import LinearForward
from aggsim.scenario import LinearLaw, ParallelLayout, Workload
from aggsim.serving import SCHEDULERS, ServingRun, simulate
from aggsim.units import GIB, MS_PER_S

EXACT = {"rel": 1e-9, "abs": 0.0}
CASES = [
    json.loads(line)
    for rules in ("seed", "current")
    for line in (Path(__file__).parent / f"scheduling_{rules}.jsonl").read_text().splitlines()
]


def run_case(case: dict) -> ServingRun:
    asked, law = case["inputs"], case["law"]
    layout = ParallelLayout(tp=asked["tp"], dp=asked["dp"], pp=asked["pp"])
    times = {key: law[key] for key in ("fixed_s", "per_token_s", "per_token_ctx_s", "per_ctx_s")}
    memory = LinearLaw(**times, memory_gib=law["memory_gb"], gib_per_ctx=law["gb_per_ctx"])
    return simulate(
        LinearForward(law=memory, dp=layout.dp),
        Workload(
            num_input_tokens=asked["input_length"],
            num_output_tokens=asked["output_length"],
            prefix_cache_hit_rate=asked["prefix_cache_hit_rate"],
            num_mtp_tokens=asked["num_mtp_tokens"],
            mtp_acceptance_rates=tuple(asked["mtp_acceptance_rate"]),
        ),
        layout,
        batch_size=asked["batch_size"],
        max_batched_tokens=asked["max_batched_tokens"],
        scheduler=SCHEDULERS["decode_first_with_slack"],
        rules=case["rules"],
    )


@pytest.fixture(params=range(len(CASES)), ids=lambda i: f"{CASES[i]['rules']}-{i % 160}")
def case(request: pytest.FixtureRequest) -> dict:
    return CASES[request.param]


def test_metrics(case: dict) -> None:
    run, metrics, asked = run_case(case), case["metrics"], case["inputs"]
    assert {
        "ttft": run.ttft_s * MS_PER_S,
        "tpot": run.tpot_s * MS_PER_S,
        "output_throughput": run.output_tokens_per_s,
        "memory_left_gb": run.memory_left_bytes / GIB,
        "prefill_latency": run.prefill_latency_s * MS_PER_S,
        "prefill_last_latency": run.prefill_last_latency_s * MS_PER_S,
        "prefill_memory_left_gb": run.prefill_memory_left_bytes / GIB,
        "decode_latency": run.decode_latency_s * MS_PER_S,
    } == {key: pytest.approx(value, **EXACT) for key, value in metrics.items()}
    assert run.num_chunks == case["num_chunks"]
    row = case["outputs"]
    assert (run.concurrency, run.effective_input_tokens) == (row["concurrency"], row["effective_input_length"])
    ttft_limit, tpot_limit = (asked[key] or math.inf for key in ("ttft_limit_ms", "tpot_limit_ms"))
    stop = run.memory_left_bytes < 0 or run.ttft_s * MS_PER_S > ttft_limit or run.tpot_s * MS_PER_S > tpot_limit
    assert stop == case["stop"]


def test_memory_of_the_tightest_pass(case: dict) -> None:
    run = run_case(case)
    assert run.tightest_cost is not None
    assert run.tightest_cost.memory.available == pytest.approx(run.memory_left_bytes, **EXACT)


def test_steps(case: dict) -> None:
    run = run_case(case)
    if run.timing == "wave":
        assert case["num_steps"] == 0
        return
    assert run.num_steps == case["num_steps"]
    if case["steps_rle"] is None:
        return
    rows, recorded = recorded_form(run, case), case["steps_rle"]
    assert [row[:6] for row in rows] == [row[:6] for row in recorded]
    for row, expected in zip(rows, recorded, strict=True):
        assert row[6:] == pytest.approx(expected[6:], **EXACT)


def recorded_form(run: ServingRun, case: dict) -> list[list]:
    """[repeat, p, d, pending, ready, chunk_query_len, prefill_ms, decode_ms, step_ms] for each entry of the timeline.

    The recorder wrote the front chunk's query_len, or the budget where nothing waited, also when nothing prefilled.
    """
    asked = case["inputs"]
    budget = asked["max_batched_tokens"] * (asked["dp"] if case["rules"] == "current" else 1)
    rows: list[list] = []
    query_len = budget
    for step in reversed(run.timeline.steps):
        query_len = step.query_len or (query_len if step.pending else budget)
        counts = [step.repeat, step.prefill_requests, step.decode_requests, step.pending, step.ready, query_len]
        rows.append([*counts, *(t * MS_PER_S for t in (step.prefill_s, step.decode_s, step.step_s))])
    return rows[::-1]


def test_the_recordings_cover_both_timings_and_all_ends() -> None:
    runs = [run_case(case) for case in CASES]
    assert len(runs) == 320
    assert {run.timing for run in runs} == {"wave", "stepped"}
    assert max(run.num_steps for run in runs) == 96_384
    assert any(math.isinf(run.tpot_s) for run in runs)
    assert any(run.out_of_memory_step is not None and math.isfinite(run.tpot_s) for run in runs)
