"""A burst without a KV limit, decoded at the fixed middle length, is what the recorded runs are: same to 1e-9.

That ties the simulation of continuous batching to the original program, where their questions meet.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest

from aggsim.engines.linear import LinearForward
from aggsim.forward.batch import Batches, FloatArray, IntArray
from aggsim.parameters_arrivals import TraceRow
from aggsim.scenario import LinearLaw, Workload
from aggsim.serving.arrivals import Traffic
from aggsim.serving.chunks import decode_shape, expected_tokens_per_pass
from aggsim.serving.continuous import Served, serve
from aggsim.serving.replica import Replica
from aggsim.serving.schedulers import SCHEDULERS
from aggsim.serving.step_prices import PrefillGroup
from aggsim.units import MS_PER_S

EXACT = {"rel": 1e-9, "abs": 0.0}


def recorded() -> Iterator[dict]:
    """Several chunks, and no pass that ended the run for want of memory (the simulation has no such end)."""
    for rules in ("seed", "current"):
        for line in (Path(__file__).parent / f"scheduling_{rules}.jsonl").read_text().splitlines():
            case = json.loads(line)
            fits = case["metrics"]["memory_left_gb"] >= 0 or rules == "seed"
            if case["num_chunks"] > 1 and fits:
                yield case


CASES = list(recorded())


@dataclass(frozen=True)
class MiddlePrices:
    """The rules' prices: chunks and decode are passes of their own that overlap, decode is priced in the middle of the
    output and per token."""

    forward: LinearForward
    decode_len: tuple[int, int]
    tokens_per_pass: float

    def latency_s(
        self,
        decode_requests: IntArray,
        sum_seq_len: IntArray,  # noqa: ARG002
        prefills: Sequence[tuple[PrefillGroup, ...]],
    ) -> FloatArray:
        chunks = [groups[0] if groups else (0, 1, 1) for groups in prefills]
        assert all(len(groups) <= 1 for groups in prefills)
        prefill_s = self._price(np.array([n for n, _, _ in chunks]), [q for _, q, _ in chunks], [s for *_, s in chunks])
        decode_s = self._price(decode_requests, self.decode_len[0], self.decode_len[1]) / self.tokens_per_pass
        return np.maximum(prefill_s, decode_s)

    def _price(self, number: IntArray, query_len: object, seq_len: object) -> FloatArray:
        latency = self.forward.price(Batches.uniform(number, query_len, seq_len, is_decode=False)).latency_s
        return np.where(number, latency, 0.0)


def serve_case(case: dict) -> Served:
    asked, law = case["inputs"], case["law"]
    workload = Workload(
        num_input_tokens=asked["input_length"],
        num_output_tokens=asked["output_length"],
        num_mtp_tokens=asked["num_mtp_tokens"],
        mtp_acceptance_rates=tuple(asked["mtp_acceptance_rate"]),
    )
    times = {key: law[key] for key in ("fixed_s", "per_token_s", "per_token_ctx_s", "per_ctx_s")}
    concurrency = asked["batch_size"] * asked["dp"] * asked["pp"]
    row = TraceRow(0.0, case["outputs"]["effective_input_length"], asked["output_length"])
    replica = Replica(
        scheduler=SCHEDULERS["decode_first_with_slack"],
        max_batched_tokens=asked["max_batched_tokens"] * (asked["dp"] if case["rules"] == "current" else 1),
        max_chunk_tokens=asked["max_batched_tokens"],
        max_num_seqs=concurrency,
        kv_blocks=None,
        kv_block_tokens=16,
    )
    prices = MiddlePrices(
        forward=LinearForward(law=LinearLaw(**times), dp=asked["dp"]),
        decode_len=decode_shape(workload),
        tokens_per_pass=expected_tokens_per_pass(workload),
    )
    return serve(replica, Traffic(repeat(row, concurrency)), prices, completions=concurrency)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['rules']}-{case['num_chunks']}")
def test_the_simulation_reproduces_the_recording(case: dict) -> None:
    served, metrics, output = serve_case(case), case["metrics"], case["inputs"]["output_length"]
    ends = served.runs.end_s
    first = np.array([ends[request.first_token_run] for request in served.ended])
    end = np.array([ends[request.end_run] for request in served.ended])
    tpot_s = (end - first).mean() / (output - 1) if output > 1 else 0.0
    assert {
        "ttft": first.mean() * MS_PER_S,
        "tpot": tpot_s * MS_PER_S,
        "output_throughput": output * len(served.ended) / end.max(),
        "num_steps": served.runs.repeat.sum(),
    } == {
        "ttft": pytest.approx(metrics["ttft"], **EXACT),
        "tpot": pytest.approx(metrics["tpot"], **EXACT),
        "output_throughput": pytest.approx(metrics["output_throughput"], **EXACT),
        "num_steps": case["num_steps"],
    }


def test_the_recordings_are_worth_it() -> None:
    assert len(CASES) > 100
    assert max(case["num_chunks"] for case in CASES) >= 10
    assert any(math.isclose(case["inputs"]["dp"], 8) and case["rules"] == "current" for case in CASES)
    rotating = [c for c in CASES if c["inputs"]["max_batched_tokens"] < c["outputs"]["concurrency"]]
    assert rotating
