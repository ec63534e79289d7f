"""Evaluation of batch features: the only nonlinear part of pricing, done once a feature for many batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from aggsim.forward.batch import Batches, BoolArray, FloatArray
from aggsim.forward.form import Feature, Phase, feature_of
from aggsim.forward.routing import Array, ExpertRows


def evaluate(features: Sequence[Feature], batches: Batches) -> FloatArray:
    """Feature matrix of shape (N, F): every feature of every batch of one replica."""
    columns = _Columns(batches.num_requests, batches.query_len, batches.seq_len, batches.is_decode)
    matrix = np.empty((len(batches), len(features)))
    for j, wanted in enumerate(features):
        matrix[:, j] = columns.get(wanted)
    return matrix


def _below(n: Array, most: float) -> Array:
    """Σ over positions p < n of min(p + 1, most): what causal queries at the first n positions look at."""
    short = np.minimum(n, most)
    total: Array = short * (short + 1.0) / 2 + (n - short) * most
    return total


def _causal_pairs(query: Array, seq: Array, most: float = np.inf) -> Array:
    pairs: Array = query * (seq - (query - 1) / 2) if most == np.inf else _below(seq, most) - _below(seq - query, most)
    return pairs


def _causal_chunk_pairs(query: Array, seq: Array, chunk: int) -> Array:
    """Whole chunks and the fullest part of one: exact for a prompt from its start, else an upper bound that
    does not fall when the context grows."""
    whole, rest = np.divmod(query, chunk)
    aligned = whole * (chunk * (chunk + 1) / 2) + rest * (chunk - (rest - 1) / 2)
    return np.minimum(_causal_pairs(query, seq), aligned)


PER_REQUEST: dict[str, Callable[..., Array]] = {
    "requests": lambda query, _: np.ones_like(query),
    "tokens": lambda query, _: query,
    "resumed": lambda query, seq: seq > query,
    "context": lambda _, seq: seq,
    "pairs": lambda query, seq, most=np.inf: query * np.minimum(seq, most),
    "causal_pairs": _causal_pairs,
    "causal_chunk_pairs": _causal_chunk_pairs,
    "span": lambda query, seq, most: np.minimum(seq, query + (most - 1)),
    "chosen": lambda query, seq, most: np.minimum(seq, query * most),
    "chunks": lambda query, _, size: -(-query // size),
    "kept_tokens": lambda _, seq, most=0: np.minimum(seq, most) + 1 if most else seq + 1,
}
"""Features that are sums over the requests: kind → number of one request of query_len new and seq_len tokens in all.

pairs: what its queries look at, most caps it for each query (a window, a chunk, the tokens an indexer picks);
causal_*: the same without the tokens after each query. span: keys a window of `most` shows to any of the queries.
chosen: keys picked for at least one query when each picks `most`. resumed: 1 where a part has run before.
kept_tokens: tokens the KV cache holds, one to come included.
"""


class _Columns:
    """Lazy evaluation of features over (N, G) columns, sums over the G groups.

    In floats: products of counts may pass 2^63. Of a single group, shape (N,), there is nothing to sum.
    """

    def __init__(self, num: Array, query: Array, seq: Array, decode: BoolArray) -> None:
        if num.shape[1] == 1:
            num, query, seq, decode = num[:, 0], query[:, 0], seq[:, 0], decode[:, 0]
        self._num: dict[Phase, Array] = {"all": num.astype(float)}
        self._query, self._seq, self._decode = query.astype(float), seq.astype(float), decode
        self._known: dict[Feature, Array] = {}
        self._experts: dict[tuple[int, ...], ExpertRows] = {}

    def get(self, wanted: Feature) -> Array:
        known = self._known.get(wanted)
        if known is None:
            known = self._known[wanted] = self._evaluate(wanted)
        return known

    def _requests(self, phase: Phase) -> Array:
        num = self._num.get(phase)
        if num is None:
            num = self._num[phase] = self._num["all"] * (self._decode == (phase == "decode"))
        return num

    def _total(self, phase: Phase, each: Array) -> Array:
        total: Array = self._requests(phase) * each
        return total if total.ndim == 1 else total.sum(axis=1)

    def _evaluate(self, wanted: Feature) -> Array:
        kind, args = wanted.kind, wanted.args
        if kind in PER_REQUEST:
            return self._total(wanted.phase, PER_REQUEST[kind](self._query, self._seq, *args))
        if kind == "one":
            return np.ones(len(self._query))
        if kind == "any":
            return self._total(wanted.phase, self._query) > 0
        if kind == "kv_blocks":
            # The original rounds the replica's tokens to whole blocks together, not each request's.
            size, *most = args
            return -(-self.get(feature_of("kept_tokens", tuple(most), wanted.phase)) // size)
        if kind in _LOGITS:
            return _LOGITS[kind](self)
        tokens = self.get(_TOKENS).astype(np.int64)
        if kind in _TOKEN_COUNTS:
            return _TOKEN_COUNTS[kind](tokens, *args)
        routing = args[: ExpertRows.NUM_ARGS]
        if routing not in self._experts:
            self._experts[routing] = ExpertRows(tokens, *routing)
        return self._experts[routing].get(kind, args[ExpertRows.NUM_ARGS :])


_TOKENS = feature_of("tokens")
_DECODED = feature_of("tokens", phase="decode")
_PREFILLS = feature_of("requests", phase="prefill")
_HAS_PREFILL = feature_of("any", phase="prefill")

_LOGITS: dict[str, Callable[[_Columns], Array]] = {
    "logit_rows": lambda columns: columns.get(_DECODED) + columns.get(_PREFILLS),
    "gathered_rows": lambda columns: columns.get(_HAS_PREFILL) * _LOGITS["logit_rows"](columns),
    "gathered_tokens": lambda columns: columns.get(_HAS_PREFILL) * columns.get(_TOKENS),
}
"""Logits are wanted of every decoded token and of each prefill's last; a pass with prefill picks them."""


def _padded(tokens: Array, multiple: int) -> Array:
    """Tokens padded to a multiple, 0 where there is nothing to pad."""
    padded: Array = -(-tokens // multiple) * multiple
    return padded * (padded > tokens)


_TOKEN_COUNTS: dict[str, Callable[[Array, int], Array]] = {
    "sliced_tokens": lambda tokens, ranks: -(-tokens // ranks),
    "tokens_padded": _padded,
    "tokens_to_pad": lambda tokens, multiple: tokens * (tokens % multiple > 0),
    "needs_padding": lambda tokens, multiple: tokens % multiple > 0,
}
"""sliced_tokens: of one tensor-parallel rank, after padding to a multiple of the ranks."""
