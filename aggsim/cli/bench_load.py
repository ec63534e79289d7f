"""How fast requests that arrive are simulated: CPU time, so that a busy machine does not count, and ratios."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from aggsim.cli.measurement import Measurement
from aggsim.devices.catalog import load_device
from aggsim.engines.base import ForwardModel
from aggsim.forward.batch import RequestGroup
from aggsim.models.catalog import load_model
from aggsim.parameters_arrivals import parse_spread
from aggsim.planning.load_evaluate import evaluate_any
from aggsim.planning.resolve import Deployment, resolve
from aggsim.scenario import Scenario
from aggsim.serving.arrivals import closed_traffic, draw_lengths
from aggsim.serving.continuous import Served, serve
from aggsim.serving.replica import Replica
from aggsim.serving.schedulers import SCHEDULERS
from aggsim.serving.step_prices import ReplicaPasses

__all__ = ["load"]

QUESTION = Scenario(model="Qwen/Qwen3-32B", device="TEST_DEVICE", devices=8, tp=8, linear="w8a8_dynamic")
STEPS = 100_000
SEATS = 256
SPREADS = ("fixed", "uniform:0.5", "lognormal:0.5")
_T = TypeVar("_T")
ONE_BY_ONE = 100
"""Steps priced by themselves, request by request, to compare with."""


def load() -> Iterator[Measurement]:
    """A replica that is always full, and whole answers with batch, rate and percentiles."""
    deployment = resolve(QUESTION, load_model(QUESTION.model), load_device(QUESTION.device))
    forward = deployment.bind()
    alone_s = _alone_s(forward)
    for spread in SPREADS:
        served, taken_s = _timed(partial(_saturated, forward, spread))
        steps = int(served.runs.repeat.sum())
        yield Measurement(
            name=f"{SEATS} requests always at work, lengths {spread}",
            value=taken_s * STEPS / steps,
            unit="CPU-s for 100,000 steps",
            compared_with=f"2 s allowed; {steps:,} steps in {len(served.runs):,} runs",
        )
        yield Measurement(
            name=f"one step at a time, lengths {spread}",
            value=alone_s * steps / taken_s,
            unit="×",
            compared_with="a pass priced for each step, one group a request",
        )
    for name, scenario in (
        ("closed loop, 64 users", QUESTION.replace(arrival="closed", users=64)),
        ("open loop, 1 request/s", QUESTION.replace(arrival="open", rate=1)),
        ("open loop, the highest rate", QUESTION.replace(arrival="open", ttft=2000, percentile="p95")),
    ):
        _, taken_s = _timed(partial(_answer, scenario))
        yield Measurement(name=name, value=taken_s, unit="CPU-s", compared_with="5 seeds, where something is random")


def _saturated(forward: ForwardModel, spread: str) -> Served:
    lengths = parse_spread(spread)
    if lengths is None:
        raise ValueError(spread)
    replica = Replica(
        scheduler=SCHEDULERS["chunked_prefill"],
        max_batched_tokens=4096,
        max_num_seqs=SEATS,
        kv_blocks=None,
        kv_block_tokens=16,
    )
    traffic = closed_traffic(2 * SEATS, draw_lengths(lengths, 1000, 500, 0))
    completions = SEATS * STEPS // 500
    return serve(replica, traffic, ReplicaPasses(forward=forward), completions=completions)


def _answer(scenario: Scenario) -> object:
    deployment: Deployment = resolve(scenario, load_model(scenario.model), load_device(scenario.device))
    return evaluate_any(deployment, deployment.bind())


def _alone_s(forward: ForwardModel) -> float:
    """CPU seconds of one step where every request is a group and every step a pass."""

    def passes() -> None:
        for step in range(ONE_BY_ONE):
            forward.cost(
                tuple(
                    RequestGroup(num_requests=1, query_len=1, seq_len=1000 + step + i, is_decode=True)
                    for i in range(SEATS)
                )
            )

    return _timed(passes)[1] / ONE_BY_ONE


def _timed(action: Callable[[], _T]) -> tuple[_T, float]:
    start = time.process_time()
    result = action()
    return result, time.process_time() - start
