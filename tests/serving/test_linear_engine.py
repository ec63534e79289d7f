"""Engine `linear`: the law as written down, over one replica's requests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggsim.engines import Engine, EngineOptions, ForwardModel, load_engine
from aggsim.engines.linear import LinearForward
from aggsim.errors import EngineError
from aggsim.forward.batch import Batches, RequestGroup
from aggsim.scenario import LinearLaw, ParallelLayout, Quantization
from aggsim.units import GIB

LAW = LinearLaw(fixed_s=1e-3, per_token_s=1e-5, per_token_ctx_s=1e-8, per_ctx_s=1e-7, memory_gib=10.0, gib_per_ctx=1e-4)
GROUPS = st.builds(
    lambda n, q, more, decode: RequestGroup(num_requests=n, query_len=q, seq_len=q + more, is_decode=decode),
    st.integers(1, 10_000),
    st.integers(1, 100_000),
    st.integers(0, 1_000_000),
    st.booleans(),
)


def bind(law: LinearLaw | None) -> ForwardModel:
    """Model and device only label the answer: none are needed here."""
    options = EngineOptions(law=law, reserved_bytes=5 * GIB)
    return load_engine("linear").bind(None, None, ParallelLayout(tp=2, dp=4), Quantization(), options)


def test_by_hand() -> None:
    """9 requests over 4 replicas are 3 on the fullest; the law's memory is not reserved from."""
    cost = bind(LAW).cost(
        (
            RequestGroup(num_requests=9, query_len=100, seq_len=500, is_decode=False),
            RequestGroup(num_requests=4, query_len=1, seq_len=2000, is_decode=True),
        )
    )
    tokens, context, products = 301, 3 * 500 + 2000, 3 * 100 * 500 + 2000
    assert cost.latency_s == pytest.approx(1e-3 + 1e-5 * tokens + 1e-8 * products + 1e-7 * context)
    assert cost.memory.available == pytest.approx((10 - 1e-4 * context) * GIB)
    assert cost.memory.available + cost.memory.kv_cache == pytest.approx(cost.memory.total)
    assert cost.memory.total == 10 * GIB
    assert cost.source == "fitted"
    assert {op.name: op.total_s for op in cost.ops} == pytest.approx(
        {
            "fixed term": 1e-3,
            "token term": 1e-5 * tokens,
            "token × context term": 1e-8 * products,
            "context term": 1e-7 * context,
        }
    )
    assert {op.bound for op in cost.ops} == {"unknown"}


@given(st.lists(st.lists(GROUPS, min_size=1, max_size=3).map(tuple), min_size=1, max_size=8), st.integers(1, 8))
def test_many_equal_one_by_one(batches: list[tuple[RequestGroup, ...]], dp: int) -> None:
    forward = LinearForward(law=LAW, dp=dp)
    costs = [forward.cost(batch) for batch in batches]
    for prices in (forward.price(batches), forward.price(Batches.of(batches))):
        np.testing.assert_allclose(prices.latency_s, [cost.latency_s for cost in costs], rtol=1e-12)
        np.testing.assert_allclose(prices.available_bytes, [cost.memory.available for cost in costs], rtol=1e-12)


def test_needs_a_law() -> None:
    engine = load_engine("linear")
    assert isinstance(engine, Engine)
    assert isinstance(bind(LAW), ForwardModel)
    reason = engine.supports(None, None, ParallelLayout(), Quantization(), EngineOptions())
    assert reason is not None
    assert "law" in reason
    assert engine.supports(None, None, ParallelLayout(), Quantization(), EngineOptions(law=LAW)) is None
    with pytest.raises(EngineError, match="needs a law"):
        bind(None)
