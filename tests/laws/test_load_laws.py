"""What must hold of requests that arrive, whoever prices the steps."""

from __future__ import annotations

import functools
import json
import math
import threading
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from aggsim import codec
from aggsim.devices.catalog import load_device
from aggsim.engines.base import ForwardModel
from aggsim.errors import CancelledError
from aggsim.forward.batch import RequestGroup
from aggsim.models.catalog import load_model
from aggsim.parameters_arrivals import TraceRow
from aggsim.planning.evaluation import Evaluation
from aggsim.planning.load_evaluate import evaluate_any
from aggsim.planning.load_result import LoadResult
from aggsim.planning.load_runs import Hooks
from aggsim.planning.loads import Loads
from aggsim.planning.resolve import Deployment, resolve
from aggsim.scenario import LinearLaw, Scenario

LAW = LinearLaw(fixed_s=0.005, per_token_s=2e-5, per_token_ctx_s=1e-9, per_ctx_s=1e-7, memory_gib=8, gib_per_ctx=1e-4)
BASE = Scenario(
    engine="linear", law=LAW, devices=2, tp=1, input=256, output=64, tpot=None, max_num_seqs=32, seeds=1,
    scheduler="chunked_prefill", arrival="closed", users=2,
)  # fmt: skip
ROOFLINE = BASE.replace(engine="analytic", law=None, device="TEST_DEVICE", tp=2, input=1000, output=100)


def deployment_of(scenario: Scenario) -> Deployment:
    return resolve(scenario, load_model(scenario.model), load_device(scenario.device))


@functools.cache
def bound(engine: str, law: LinearLaw | None, device: str, devices: int, tp: int | None) -> ForwardModel:
    return deployment_of(BASE.replace(engine=engine, law=law, device=device, devices=devices, tp=tp)).bind()


def forward_of(scenario: Scenario) -> ForwardModel:
    return bound(scenario.engine, scenario.law, scenario.device, scenario.devices, scenario.tp)


def loads_of(scenario: Scenario, rows: tuple[TraceRow, ...] = ()) -> Loads:
    return Loads.of(deployment_of(scenario), forward_of(scenario), rows)


@functools.cache
def answer(scenario: Scenario) -> Evaluation:
    return evaluate_any(deployment_of(scenario), forward_of(scenario))


def load_of(scenario: Scenario) -> LoadResult:
    found = answer(scenario).load
    assert found is not None
    return found


def open_at(rate: float, **changes: Any) -> Scenario:
    return BASE.replace(arrival="open", users=None, rate=rate, **changes)


SCENARIOS = [
    BASE,
    BASE.replace(users=24, length_spread="uniform:0.5", seeds=3),
    BASE.replace(users=100, length_spread="lognormal:0.5", scheduler="prefill_first", max_batched_tokens=16_000),
    BASE.replace(users=9, scheduler="static_batch", max_num_seqs=3),
    BASE.replace(users=40, scheduler="decode_first_with_slack", prefix_hit=0.5, mixed="max"),
    BASE.replace(users=16, mtp=2, mixed="sum", length_spread="table:100-400/20-90/1,600/10/0.5"),
    open_at(6.0),
    open_at(25.0, cv=0, length_spread="uniform:0.5", seeds=2),
    open_at(20.0, cv=2.5, seeds=3),
    ROOFLINE.replace(users=12, length_spread="uniform:0.3"),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=range(len(SCENARIOS)))
def test_littles_law(scenario: Scenario) -> None:
    load = load_of(scenario)
    assert load.state == "steady"
    assert load.requests_per_s * load.end_to_end.value.mean == pytest.approx(load.concurrency, rel=0.02)
    if scenario.arrival == "closed":
        assert load.concurrency == pytest.approx(scenario.users, rel=1e-9)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=range(len(SCENARIOS)))
def test_percentiles_rise_and_parts_add_up(scenario: Scenario) -> None:
    load = load_of(scenario)
    for times in (load.ttft, load.tpot, load.itl, load.end_to_end):
        value = times.value
        assert 0 < value.p50 <= value.p90 <= value.p95 <= value.p99
        assert times.count > 0
    assert load.end_to_end.value.mean > load.ttft.value.mean
    assert load.ttft.value.p50 <= load.end_to_end.value.p50
    assert 0 <= (load.kv_share or 0) <= (load.kv_share_max or 0) <= 1
    assert load.running <= load.max_num_seqs + 1e-9
    assert max(load.series.kv_share) <= 1
    assert min(load.series.waiting) >= 0
    assert load.num_seeds == (1 if load.ttft.plus_minus is None else scenario.seeds)
    assert (load.ttft.plus_minus is not None) == (scenario.seeds > 1)


def test_one_user_sees_the_unloaded_latency_exactly() -> None:
    for scenario in (BASE.replace(users=1, devices=1), ROOFLINE.replace(users=1)):
        forward = forward_of(scenario)
        replicas = deployment_of(scenario).layout.dp

        def price(query: int, seq: int, is_decode: bool, forward: ForwardModel = forward, n: int = replicas) -> float:
            group = RequestGroup(num_requests=n, query_len=query, seq_len=seq, is_decode=is_decode)
            return forward.cost((group,)).latency_s

        prefill_s = price(scenario.input, scenario.input, False)
        decode_s = sum(price(1, scenario.input + made, True) for made in range(1, scenario.output))
        load = load_of(scenario)
        for name in ("mean", "p50", "p90", "p95", "p99"):
            assert load.ttft.value.at(name) == pytest.approx(prefill_s, rel=1e-9)
        # A roofline has kinks, which a run of passes priced at three points passes by.
        exact = 1e-4 if scenario.law is None else 1e-9
        assert load.end_to_end.value.mean == pytest.approx(prefill_s + decode_s, rel=exact)
        assert load.waiting == 0


def test_a_tiny_rate_is_one_request_alone() -> None:
    for base in (BASE.replace(devices=1), ROOFLINE):
        alone = load_of(base.replace(users=1))
        tiny = load_of(base.replace(arrival="open", users=None, rate=0.002))
        exact = 1e-4 if base.law is None else 1e-7  # differences of times of days
        for name in ("ttft", "tpot", "end_to_end"):
            value, other = getattr(tiny, name).value, getattr(alone, name).value
            assert value.p50 == pytest.approx(other.p50, rel=exact)
            assert value.mean == pytest.approx(other.mean, rel=1e-3)  # two may meet


def test_latency_rises_with_the_rate() -> None:
    found = [load_of(open_at(rate)) for rate in (1, 4, 10, 16, 20, 24, 28, 32)]
    assert found[-1].state in ("steady", "near_saturation")
    for name in ("ttft", "end_to_end", "tpot"):
        means = [getattr(load, name).value.mean for load in found]
        assert means == sorted(means), name


def test_more_users_more_output_longer_waits() -> None:
    found = [load_of(BASE.replace(users=2 * n)) for n in (1, 2, 4, 8, 16, 32, 48)]
    throughput = [load.output_tokens_per_s for load in found]
    assert all(later >= 0.999 * sooner for sooner, later in pairwise(throughput))
    latency = [load.end_to_end.value.mean for load in found]
    assert latency == sorted(latency)
    assert found[-1].waiting == pytest.approx(16, abs=2)  # 24 users of a replica with 32 seats … 48 ÷ 2 − 8


@pytest.mark.parametrize("scheduler", ["decode_first_with_slack", "chunked_prefill", "prefill_first", "static_batch"])
def test_beyond_what_can_be_carried_the_queue_grows(scheduler: str) -> None:
    base = open_at(1.0, scheduler=scheduler, max_num_seqs=8)
    carried = load_of(base).carried_per_s
    assert carried is not None
    over, under = load_of(base.replace(rate=1.3 * carried)), load_of(base.replace(rate=0.8 * carried))
    assert (over.state, under.state) == ("saturated", "steady")
    assert math.isinf(over.ttft.value.mean)
    assert over.requests_per_s == pytest.approx(carried, rel=0.03)
    assert under.requests_per_s == pytest.approx(0.8 * carried, rel=0.06)
    assert over.series.waiting[-1] > 2 * max(under.series.waiting)
    near = load_of(base.replace(rate=0.95 * carried))
    assert near.state == "near_saturation"
    verdict = answer(base.replace(rate=1.3 * carried)).verdict
    assert (verdict.ok, verdict.limit) == (False, "rate")
    assert verdict.margin == pytest.approx(0.3, rel=1e-6)


def test_blocks_never_exceed_capacity_and_preemption_helps_itself() -> None:
    tight = BASE.replace(law=LinearLaw(fixed_s=0.005, per_token_s=2e-5, memory_gib=0.12, gib_per_ctx=1e-4), users=40)
    load = load_of(tight.replace(output=200, length_spread="uniform:0.5"))
    assert load.kv.blocks == 75
    assert load.preemptions_per_request > 0
    assert load.kv_share_max is not None
    assert 0.95 < load.kv_share_max <= 1
    assert load.requests_per_s * load.end_to_end.value.mean == pytest.approx(load.concurrency, rel=0.02)


def test_one_request_that_does_not_fit_is_a_verdict_not_an_error() -> None:
    found = answer(BASE.replace(law=LinearLaw(fixed_s=0.005, memory_gib=0.03, gib_per_ctx=1e-4)))
    assert found.load is None
    assert (found.verdict.ok, found.verdict.limit) == (False, "memory")
    assert found.verdict.margin == pytest.approx(0.03 // 0.0016 * 0.0016 - 320e-4, abs=1e-9)


def test_replicas_share_users_and_rate() -> None:
    two, four = load_of(BASE.replace(users=8)), load_of(BASE.replace(devices=4, users=16))
    assert four.output_tokens_per_s == pytest.approx(2 * two.output_tokens_per_s, rel=1e-9)
    assert four.ttft == two.ttft
    odd = load_of(BASE.replace(users=7))
    assert odd.requests_per_s == pytest.approx(two.requests_per_s * 7 / 8, rel=1e-9)


def test_goodput_is_the_share_within_the_limits() -> None:
    free = load_of(open_at(24.0, length_spread="uniform:0.5"))
    assert free.goodput is None
    limit_ms = 1e3 * free.ttft.value.p90
    load = load_of(open_at(24.0, length_spread="uniform:0.5", ttft=limit_ms))
    assert load.goodput == pytest.approx(0.9, abs=0.002)
    assert load.goodput_per_s == pytest.approx(load.goodput * load.requests_per_s)
    limited = open_at(24.0, length_spread="uniform:0.5", ttft=limit_ms)
    assert answer(limited).verdict.ok
    assert not answer(limited.replace(percentile="p99")).verdict.ok


def test_the_same_question_has_the_same_bytes() -> None:
    for scenario in (open_at(20.0, length_spread="lognormal:1"), BASE.replace(users=9, length_spread="uniform:0.5")):
        first = json.dumps(codec.pack(answer(scenario)))
        answer.cache_clear()
        assert json.dumps(codec.pack(answer(scenario))) == first
        assert codec.unpack(Evaluation, json.loads(first)) == answer(scenario)


def test_a_complete_answer_answers_itself() -> None:
    for scenario in (open_at(20.0), BASE.replace(users=None, batch=4), BASE.replace(max_num_seqs=None, users=70)):
        found = answer(scenario)
        assert found.scenario.is_complete
        again = answer(found.scenario)
        assert (again.load, again.verdict, again.scenario) == (found.load, found.verdict, found.scenario)


def test_the_highest_rate_and_the_most_users_within_limits() -> None:
    asked = BASE.replace(arrival="open", users=None, ttft=60, percentile="p95")
    found = answer(asked)
    rate = found.scenario.rate
    assert rate is not None
    assert found.verdict.ok
    assert found.load is not None
    assert found.load == load_of(asked.replace(rate=rate))
    assert not answer(asked.replace(rate=1.1 * rate)).verdict.ok
    assert found.next_stop is not None
    assert found.next_stop.verdict.limit == "ttft"
    users = answer(BASE.replace(users=None, max_num_seqs=None, tpot=8)).scenario
    assert users.users is not None
    assert users.users % 2 == 0
    assert not answer(users.replace(users=round(1.15 * users.users))).verdict.ok
    assert answer(users).verdict.ok


def test_limits_that_nothing_meets() -> None:
    found = answer(BASE.replace(arrival="open", users=None, ttft=1))
    assert (found.verdict.ok, found.verdict.limit, len(found.tried)) == (False, "ttft", 1)
    assert not answer(BASE.replace(users=None, ttft=1)).verdict.ok


def test_a_trace_is_served_whole() -> None:
    rows = tuple(TraceRow(0.5 * i, 100 + i, 10) for i in range(40))
    loads = loads_of(BASE.replace(arrival="trace", users=None, trace=f"sha256:{'a' * 64}"), rows)
    load = loads.trace()
    assert (load.num_requests, load.num_seeds, load.num_warm_up) == (20, 1, 0)
    assert load.asked_per_s == pytest.approx(2.0)
    assert load.requests_per_s * load.end_to_end.value.mean == pytest.approx(load.concurrency)
    alone = load_of(BASE.replace(users=2, input=100, output=10))
    assert load.ttft.value.p50 == pytest.approx(alone.ttft.value.p50, rel=0.2)
    assert (loads.scenario.input, loads.scenario.output) == (round(np.mean([r.input_tokens for r in rows])), 10)


def test_cancelling_stops_at_once() -> None:
    stop, heard = threading.Event(), []

    def hear(share: float) -> None:
        heard.append(share)
        stop.set()

    scenario = BASE.replace(users=400, length_spread="uniform:0.5")
    with pytest.raises(CancelledError):
        evaluate_any(deployment_of(scenario), forward_of(scenario), (), Hooks(progress=hear, cancel=stop))
    assert len(heard) == 1
    assert 0 < heard[0] < 1
