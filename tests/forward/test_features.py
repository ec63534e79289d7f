"""Batch features against plain loops over requests, tokens and experts."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggsim.forward.batch import Batches, RequestGroup
from aggsim.forward.features import evaluate
from aggsim.forward.form import Phase, feature_of
from aggsim.forward.routing import COLD, GROUPED, HOT

requests = st.builds(
    lambda n, q, c, d: RequestGroup(num_requests=n, query_len=q, seq_len=q + c, is_decode=d),
    st.integers(1, 5),
    st.integers(1, 40),
    st.integers(0, 60),
    st.booleans(),
)
batches = st.lists(requests, min_size=1, max_size=3).map(tuple)


def value(kind: str, args: tuple[int, ...], batch: tuple[RequestGroup, ...], phase: Phase = "all") -> float:
    return float(evaluate([feature_of(kind, args, phase)], Batches.of([batch]))[0, 0])


@given(batch=batches, most=st.integers(1, 50))
def test_pairs_spans_and_blocks(batch: tuple[RequestGroup, ...], most: int) -> None:
    expected = dict.fromkeys(("pairs", "causal", "full", "span", "chosen", "kept", "chunks", "resumed"), 0)
    for group in batch:
        positions = range(group.seq_len - group.query_len, group.seq_len)
        seen = {key for p in positions for key in range(max(0, p + 1 - most), p + 1)}
        one = {
            "pairs": sum(min(group.seq_len, most) for _ in positions),
            "causal": sum(min(p + 1, most) for p in positions),
            "full": sum(p + 1 for p in positions),
            "span": len(seen),
            "chosen": min(group.seq_len, group.query_len * most),
            "kept": min(group.seq_len, most) + 1,
            "chunks": -(-group.query_len // most),
            "resumed": int(group.seq_len > group.query_len),
        }
        for key, number in one.items():
            expected[key] += group.num_requests * number
    assert value("pairs", (most,), batch) == expected["pairs"]
    assert value("causal_pairs", (most,), batch) == expected["causal"]
    assert value("causal_pairs", (), batch) == expected["full"]
    assert value("span", (most,), batch) == expected["span"]
    assert value("chosen", (most,), batch) == expected["chosen"]
    assert value("kv_blocks", (7, most), batch) == -(-expected["kept"] // 7)
    assert value("chunks", (most,), batch) == expected["chunks"]
    assert value("resumed", (), batch) == expected["resumed"]


@given(query=st.integers(1, 60), cached=st.integers(0, 60), chunk=st.integers(1, 20))
def test_chunked_attention_is_exact_from_the_start_and_an_upper_bound_later(
    query: int, cached: int, chunk: int
) -> None:
    def pairs(cached: int) -> float:
        group = RequestGroup(num_requests=1, query_len=query, seq_len=query + cached, is_decode=False)
        return value("causal_chunk_pairs", (chunk,), (group,))

    def exact(cached: int) -> int:
        return sum(p % chunk + 1 for p in range(cached, cached + query))

    assert exact(cached) <= pairs(cached) <= pairs(cached + 1)
    assert pairs(cached) <= query * chunk
    if query % chunk == 0 or query < chunk:
        assert pairs(0) == exact(0)


@given(batch=batches, phase=st.sampled_from(["prefill", "decode"]))
def test_phases_split_the_batch(batch: tuple[RequestGroup, ...], phase: Phase) -> None:
    members = [group for group in batch if group.is_decode == (phase == "decode")]
    assert value("tokens", (), batch, phase) == sum(g.num_requests * g.query_len for g in members)
    assert value("requests", (), batch, phase) == sum(g.num_requests for g in members)
    assert value("any", (), batch, phase) == bool(members)


@given(
    tokens=st.integers(1, 200),
    experts=st.sampled_from([(8, 2), (7, 3), (16, 16), (12, 1)]),
    top_k=st.integers(1, 4),
    multiple=st.sampled_from([1, 2, 3, 4]),
    alone=st.booleans(),
)
def test_routed_rows(tokens: int, experts: tuple[int, int], top_k: int, multiple: int, alone: bool) -> None:
    """Rows are dealt to the experts in turn by each of ep equal ranks; rank 0 holds the first experts."""
    count, ep = experts
    local, sent = -(-count // ep), tokens * top_k
    rows = [ep * (sent // count + (e < sent % count)) for e in range(local)]
    args = (count, local, ep, top_k, 1, 1)
    batch = (RequestGroup(num_requests=tokens, query_len=1, seq_len=9, is_decode=True),)
    assert value("rows_sent", args, batch) == sent
    assert value("rows_received", args, batch) == sum(rows)
    own = sum(rows) // ep
    assert value("rows_remote", args, batch) == max(sent - own, (ep - 1) * own)
    classes: dict[int, list[int]] = {GROUPED: [], HOT: [], COLD: []}
    for expert, its_rows in enumerate(rows):
        own_class = HOT if expert < sent % count else COLD
        if its_rows:
            classes[GROUPED if its_rows % multiple == 0 and not alone else own_class].append(its_rows)
    for which, members in classes.items():
        group = (*args, multiple, int(alone), which)
        assert value("experts", group, batch) == len(members)
        assert value("rows_padded", group, batch) == sum(-(-r // multiple) * multiple for r in members)


@pytest.mark.parametrize(("tokens", "ranks"), list(product([1, 7, 8, 9], [2, 4])))
def test_slices_of_the_tokens(tokens: int, ranks: int) -> None:
    batch = (RequestGroup(num_requests=tokens, query_len=1, seq_len=9, is_decode=True),)
    padded = -(-tokens // ranks) * ranks
    assert value("sliced_tokens", (ranks,), batch) == padded // ranks
    assert value("needs_padding", (ranks,), batch) == (padded > tokens)
    assert value("tokens_padded", (ranks,), batch) == (padded if padded > tokens else 0)
    assert value("tokens_to_pad", (ranks,), batch) == (tokens if padded > tokens else 0)
