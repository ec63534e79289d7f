"""Impossible layouts and why; pipeline stages, sends between them, micro-batches."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggsim.devices.catalog import load_device
from aggsim.errors import EngineError, InputError
from aggsim.forward.batch import Batches
from aggsim.forward.collectives import Group, link_of
from aggsim.forward.features import evaluate
from aggsim.forward.layout import layout_problem
from aggsim.models.catalog import load_model
from aggsim.scenario import ParallelLayout
from tests.factories import make_device
from tests.forward.deployments import all_of, bind, decode, named, prefill

QWEN = "Qwen/Qwen3-8B"


@pytest.mark.parametrize(
    ("model", "layout", "field", "allowed"),
    [
        (QWEN, {"tp": 3}, "tp", "a divisor of the 32 attention heads"),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", {"tp": 5}, "tp", "a divisor or a multiple of the 8 KV heads"),
        ("deepseek-ai/DeepSeek-V3", {"tp": 3}, "tp", "a divisor of the 128 attention heads"),
        ("Qwen/Qwen3.5-27B", {"tp": 24}, "tp", "a divisor of the 16 linear key heads"),
        ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", {"tp": 3}, "tp", "a divisor of the 64 Mamba heads"),
        ("mistralai/Mixtral-8x7B-v0.1", {"dp": 16, "ep": 16}, "ep", "at most 8, the experts"),
        (
            "openai/gpt-oss-20b",
            {"dp": 7, "moe_tp": 7},
            "ep",
            "a value that leaves moe_tp a divisor of the experts' width 2880 (it would be 7)",
        ),
        (QWEN, {"pp": 37}, "pp", "at most 36, the layers"),
        (QWEN, {"dp": 2049}, "devices", "at most 2048, the whole grid of TEST_DEVICE"),
    ],
)
def test_what_is_impossible(model: str, layout: dict[str, int], field: str, allowed: str) -> None:
    problem = layout_problem(load_model(model), load_device("TEST_DEVICE"), ParallelLayout(**layout))
    assert problem is not None
    assert problem[0] == field
    assert problem[1].startswith(allowed)
    with pytest.raises(EngineError, match=field):
        bind(model, ParallelLayout(**layout))


@pytest.mark.parametrize(
    ("model", "layout"),
    [
        (QWEN, {"tp": 16}),  # KV heads are copied
        ("mistralai/Mixtral-8x7B-v0.1", {"tp": 2, "dp": 3, "ep": 3, "moe_tp": 2}),  # 3, 3 and 2 experts a rank
        ("openai/gpt-oss-20b", {"tp": 64, "moe_tp": 64}),
        ("Qwen/Qwen3-30B-A3B", {"tp": 2, "dp": 4, "ep": 2, "moe_tp": 2, "moe_dp": 2}),
        ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", {"tp": 16, "ep": 16}),  # groups are copied
    ],
)
def test_what_is_possible(model: str, layout: dict[str, int]) -> None:
    assert bind(model, ParallelLayout(**layout)).cost((decode(),)).latency_s > 0


def test_the_link_that_joins_a_group() -> None:
    """Eight devices a node, four nodes."""
    device = make_device()
    outer, inner = device.links
    for group, level in (
        (Group(size=8), inner),
        (Group(size=2, stride=7), inner),
        (Group(size=9), outer),
        (Group(size=2, stride=2, first=6), outer),
        (Group(size=2, stride=2, first=8), inner),
    ):
        assert link_of(device, group) == (level, level.bandwidth_bytes_per_s)
    with pytest.raises(ValueError, match="rank 32"):
        link_of(device, Group(size=33))


def test_sends_take_the_link_between_the_stages() -> None:
    """Stage i begins at rank 4·i: of three hops the second leaves the node of eight."""
    forward = bind(QWEN, ParallelLayout(tp=4, pp=4), device=make_device())
    payload = 4 * 1000 * 4096 * 2
    send = named(forward.cost((prefill(1000, 4),)), "pipeline send")
    assert (send.calls, send.communication_bytes) == (3, 3 * payload)
    assert send.total_s == pytest.approx(2 * (payload / 100e9 + 1e-6) + payload / 10e9 + 1e-5)


def test_stages_one_after_the_other() -> None:
    """The layers' work is the same in two stages: only the send and the second rotary tables come on top."""
    batch = (prefill(1000, 4),)
    one, two = (bind(QWEN, ParallelLayout(pp=pp)).cost(batch) for pp in (1, 2))
    extra = named(two, "pipeline send").total_s + 2 * named(one, "rotary sines").total_s
    assert two.latency_s == pytest.approx(one.latency_s + extra, rel=1e-12)
    assert two.memory.available > one.memory.available


def test_micro_batches_fill_the_pipeline() -> None:
    layout, batch = ParallelLayout(pp=4), (prefill(1000, 8),)
    waiting, filled = (bind(QWEN, layout, num_microbatches=m) for m in (1, 4))
    part = bind(QWEN, layout).cost((prefill(1000, 2),))
    shape = Batches.of([(prefill(1000, 2),)])
    times = [stage.latency_s(evaluate(stage.features, shape))[0] for stage in waiting.pricer.stages]
    cost = filled.cost(batch)
    assert cost.latency_s == pytest.approx(part.latency_s + 3 * max(times), rel=1e-12)
    assert cost.latency_s < waiting.cost(batch).latency_s
    assert cost.latency_s == pytest.approx(sum(op.total_s for op in cost.ops), rel=1e-12)
    assert cost.memory.kv_cache == waiting.cost(batch).memory.kv_cache
    assert cost.memory.activation == pytest.approx(part.memory.activation, rel=1e-12)


@settings(max_examples=50, deadline=None)
@given(requests=st.integers(1, 40), more=st.integers(1, 20), parts=st.integers(1, 8))
def test_more_requests_never_cost_less_in_micro_batches(requests: int, more: int, parts: int) -> None:
    forward = bind(QWEN, ParallelLayout(pp=3), num_microbatches=parts)
    prices = forward.price([(decode(1000, requests),), (decode(1000, requests + more),)])
    assert prices.latency_s[0] <= prices.latency_s[1] * (1 + 1e-12)
    cost = forward.cost((decode(1000, requests),))
    assert prices.latency_s[0] == pytest.approx(cost.latency_s, rel=1e-12)
    assert prices.available_bytes[0] == pytest.approx(cost.memory.available, rel=1e-12)


def test_micro_batches_of_a_single_stage_change_nothing() -> None:
    batch = (decode(), prefill())
    assert bind(QWEN, num_microbatches=4).cost(batch) == bind(QWEN).cost(batch)
    with pytest.raises(InputError, match="num_microbatches"):
        bind(QWEN, num_microbatches=0)


def test_replicas_share_the_requests() -> None:
    """Nine requests on four replicas: the fullest one has three."""
    split = bind(QWEN, ParallelLayout(dp=4)).cost((decode(1000, 9),))
    assert split.latency_s == bind(QWEN).cost((decode(1000, 3),)).latency_s


def test_the_totals_of_a_linear_layer() -> None:
    """Qwen3-32B, tp 8, 512 tokens: the hand calculation of the recorded pass."""
    cost = bind("Qwen/Qwen3-32B", ParallelLayout(tp=8), all_of("w8a8_dynamic")).cost((prefill(512, 1),))
    down = named(cost, "MLP down projection")
    m, k, n = 512, 25_600 // 8, 5120
    assert (down.calls, down.mma_ops, down.gp_ops) == (64, 64 * 2 * m * k * n, 0)
    assert down.memory_bytes == 64 * (m * k + k * n + 2 * m * n)
    reduced = named(cost, "MLP all-reduce")
    assert reduced.communication_bytes == 64 * 2 * m * n
    linears = [op for op in cost.ops if op.kernel == "quant_linear"]
    assert sum(op.calls for op in linears) == 256
    assert 1e3 * sum(op.total_s for op in linears) == pytest.approx(9.3418407, rel=1e-7)
    assert 1e3 * named(cost, "attention").total_s == pytest.approx(0.66712, rel=1e-5)
    assert 1e6 * reduced.total_s / 64 == pytest.approx(84.23, abs=0.01)
