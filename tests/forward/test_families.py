"""Mixers with a state, norms around the blocks, parts side by side, routers, and the laws for every family."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggsim.engines.analytic import AnalyticForward
from aggsim.forward.batch import RequestGroup
from aggsim.forward.cost import ForwardCost
from aggsim.models.spec import FeedForward, GatedDeltaSpec, MambaSpec, MlpSpec, MoeSpec
from aggsim.scenario import ParallelLayout
from tests.forward.deployments import MLP, bind, decode, make_attention, make_model, named, names, prefill

DELTA = GatedDeltaSpec(num_k_heads=4, num_v_heads=8, head_k_dim=64, head_v_dim=128, conv_kernel=4)
MAMBA = MambaSpec(num_heads=16, head_dim=64, state_size=128, num_groups=4, conv_kernel=4, chunk_size=128)
EXPERTS = MoeSpec(num_experts=16, experts_per_token=2, expert_intermediate_size=512)


def priced(*batch: RequestGroup, mixer: Any = None, feed_forward: Any = MLP, tp: int = 1, **model: Any) -> ForwardCost:
    spec = make_model(mixer or make_attention(), feed_forward, **model)
    return bind(spec, ParallelLayout(tp=tp, moe_tp=tp if spec.is_moe else 1)).cost(batch or (decode(),))


@pytest.mark.parametrize(
    ("mixer", "state"),
    [
        (DELTA, 4 * 8 * 64 * 128 + 2 * 3 * (2 * 4 * 64 + 8 * 128)),
        (MAMBA, 4 * 16 * 64 * 128 + 2 * 3 * (16 * 64 + 2 * 4 * 128)),
    ],
)
def test_a_state_does_not_grow_with_the_context(mixer: Any, state: int) -> None:
    short, long = priced(decode(10, 8), mixer=mixer), priced(decode(100_000, 8), mixer=mixer)
    assert short.memory.kv_cache == long.memory.kv_cache == 8 * state
    assert short.latency_s == long.latency_s
    assert priced(decode(10, 8), mixer=mixer, tp=4).memory.kv_cache == 8 * state / 4


@pytest.mark.parametrize(("mixer", "name"), [(DELTA, "delta rule"), (MAMBA, "state-space scan")])
def test_decode_reads_and_writes_the_state_once(mixer: Any, name: str) -> None:
    one, two = (named(priced(decode(10, n), mixer=mixer), name).memory_bytes for n in (1, 2))
    recurrent = 4 * (8 * 64 * 128 if mixer is DELTA else 16 * 64 * 128)
    assert 2 * recurrent < two - one < 2.1 * recurrent


def test_the_delta_rule_by_hand() -> None:
    """Prefill of one request of 100 tokens: two chunks of 64. Decode: four operations per element of the state."""
    prefilled = named(priced(prefill(100, 1), mixer=DELTA), "delta rule")
    positions, pairs = 8 * 128, 8 * 2 * 64 * 64
    assert prefilled.mma_ops == pairs * (6 * 64 + 4 * 128) + positions * 6 * 64 * 128
    assert named(priced(decode(100, 3), mixer=DELTA), "delta rule").mma_ops == 3 * 4 * 8 * 64 * 128


def test_mamba_by_hand() -> None:
    """Two chunks of 128 for 200 tokens, in four groups, sixteen heads of 64 and a state of 128."""
    scan = named(priced(prefill(200, 1), mixer=MAMBA), "state-space scan")
    assert scan.mma_ops == 256 * (2 * 4 * 128 * 128 + 2 * 128 * 1024 + 4 * 1024 * 128)
    update = named(priced(decode(200, 3), mixer=MAMBA), "state-space scan")
    assert (update.mma_ops, update.gp_ops > 3 * 5 * 1024 * 128) == (0, True)


def test_a_mixed_batch_runs_both_forms() -> None:
    kernels = {op.kernel for op in priced(prefill(), decode(), mixer=DELTA).ops}
    assert {"delta_rule_chunked", "delta_rule_recurrent", "causal_conv", "causal_conv_update"} <= kernels
    kernels = {op.kernel for op in priced(decode(), mixer=DELTA).ops}
    assert {"delta_rule_chunked", "causal_conv"} & kernels == set()


@pytest.mark.parametrize(
    ("num_norms", "feed_forward", "expected"),
    [
        (2, MLP, 2),
        (4, MLP, 4),
        (7, (MLP, EXPERTS), 7),
    ],
)
def test_norms_of_a_layer(num_norms: int, feed_forward: FeedForward, expected: int) -> None:
    cost = priced(num_norms=num_norms, feed_forward=feed_forward)
    layer_norms = [op for op in cost.ops if "rms_norm" in op.kernel and op.name not in {"final norm", "router: norm"}]
    assert sum(op.calls for op in layer_norms) == expected


def test_layers_of_one_block() -> None:
    only_mixer = priced(feed_forward=None, num_norms=1)
    assert "feed-forward norm" not in names(only_mixer)
    assert named(only_mixer, "residual add").calls == 1
    only_mlp = bind(make_model(None, MLP, num_norms=1)).cost((decode(),))
    assert "attention" not in names(only_mlp)
    assert only_mlp.memory.kv_cache == 0


def test_parts_side_by_side_are_added() -> None:
    cost = priced(feed_forward=(MLP, EXPERTS))
    assert {"MLP down projection", "experts: down projection", "add feed-forward parts"} <= names(cost)
    assert named(cost, "feed-forward norm").calls == 1


def test_feed_forward_without_a_gate() -> None:
    gated, plain = priced(), priced(feed_forward=MlpSpec(intermediate_size=4096, gated=False))
    assert gated.memory.weight - plain.memory.weight == 2 * 1024 * 4096
    assert named(plain, "MLP activation").kernel == "activation"
    experts = priced(feed_forward=replace(EXPERTS, gated=False))
    fused = named(experts, "experts: up and activation")
    assert fused.kernel == "grouped_matmul_relu2"
    assert fused.gp_ops == 2 * 16 * 512


@pytest.mark.parametrize(
    ("router", "bias", "expected"),
    [
        ("softmax", False, {"router: softmax exponential", "router: top-k", "router: normalise weights"}),
        ("sigmoid", True, {"router: sigmoid", "router: bias", "router: top-k", "router: look up weights"}),
        ("sigmoid", False, {"router: sigmoid", "router: top-k"}),
        ("topk_softmax", True, {"router: top-k", "router: softmax divide"}),
        ("grouped_sigmoid", True, {"router: gating", "router: normalise weights"}),
    ],
)
def test_routers(router: Any, bias: bool, expected: set[str]) -> None:
    moe = replace(EXPERTS, router=router, router_bias=bias)
    cost = priced(feed_forward=moe)
    assert expected <= names(cost)
    extra = cost.memory.weight - priced(feed_forward=replace(moe, router_bias=False)).memory.weight
    assert extra == bias * 16 * (2 if router == "topk_softmax" else 4)


def test_weights_beside_the_experts() -> None:
    def extra(**changes: Any) -> float:
        plain = priced(feed_forward=EXPERTS).memory.weight
        return priced(feed_forward=replace(EXPERTS, **changes)).memory.weight - plain

    assert extra(router_scales=True) == 2 * (1024 + 16)
    assert extra(shared_intermediate_size=256) == 2 * 3 * 1024 * 256
    assert extra(shared_intermediate_size=256, shared_gate=True) == 2 * (3 * 1024 * 256 + 1024)
    assert extra(bias=True) == 2 * 16 * (2 * 512 + 1024)


LAWFUL = (
    "openai/gpt-oss-20b",
    "deepseek-ai/DeepSeek-V3.2",
    "Qwen/Qwen3.5-27B",
    "google/gemma-4-26B-A4B",
    "meta-llama/Llama-4-Scout-17B-16E-Instruct",
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    "XiaomiMiMo/MiMo-V2-Flash",
    "MiniMaxAI/MiniMax-M2.5",
)
GROUPS = st.builds(
    lambda n, q, c, d: RequestGroup(num_requests=n, query_len=q if not d else 1, seq_len=q + c, is_decode=d),
    st.integers(1, 64),
    st.integers(1, 9000),
    st.integers(0, 20_000),
    st.booleans(),
)


@cache
def forward(model: str, corrected: bool) -> AnalyticForward:
    return bind(model, corrections={"causal_prefill", "latent_context"} if corrected else ())


@settings(max_examples=150, deadline=None)
@given(
    model=st.sampled_from(LAWFUL),
    corrected=st.booleans(),
    group=GROUPS,
    more=st.sampled_from(["num_requests", "query_len", "seq_len"]),
    by=st.integers(1, 3000),
)
def test_more_work_never_costs_less(model: str, corrected: bool, group: RequestGroup, more: str, by: int) -> None:
    changes = {more: getattr(group, more) + by}
    if more == "query_len":
        changes["seq_len"] = group.seq_len + by
    prices = forward(model, corrected).price([(group,), (replace(group, **changes),)])
    assert prices.latency_s[1] >= prices.latency_s[0] * (1 - 1e-12)
    assert prices.available_bytes[1] <= prices.available_bytes[0] + 1


@settings(max_examples=60, deadline=None)
@given(model=st.sampled_from(LAWFUL), one=GROUPS, other=GROUPS)
def test_a_mixed_batch_costs_between_its_larger_part_and_their_sum(
    model: str, one: RequestGroup, other: RequestGroup
) -> None:
    mixed, alone, rest = forward(model, True).price([(one, other), (one,), (other,)]).latency_s
    assert max(alone, rest) * (1 - 1e-12) <= mixed <= (alone + rest) * (1 + 1e-12)
