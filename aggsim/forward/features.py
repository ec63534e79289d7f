"""Evaluation of batch features: the only nonlinear part of pricing, done once a feature for many batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aggsim.forward.batch import Batches, BoolArray, FloatArray
from aggsim.forward.form import GROUPED, Feature, feature_of

Array = NDArray[Any]
"""Whole numbers, of requests and tokens; or numbers in general."""


def evaluate(features: Sequence[Feature], batches: Batches, dp: int) -> FloatArray:
    """Feature matrix of shape (N, F): every feature of every batch, of the fullest of dp replicas."""
    per_replica = -(-batches.num_requests // dp)
    columns = _Columns(per_replica, batches.query_len, batches.seq_len, batches.is_decode)
    matrix = np.empty((len(batches), len(features)))
    for j, wanted in enumerate(features):
        matrix[:, j] = columns.get(wanted)
    return matrix


_TOKENS = feature_of("tokens")


class _Columns:
    """Lazy evaluation of features over (N, G) columns, sums over the G groups."""

    def __init__(self, num: Array, query: Array, seq: Array, decode: BoolArray) -> None:
        self._num, self._query, self._seq, self._decode = num, query, seq, decode
        self._known: dict[Feature, Array] = {}
        self._routed: dict[tuple[int, ...], dict[str, Array]] = {}
        self._classes: dict[tuple[int, ...], dict[str, Array]] = {}

    def get(self, wanted: Feature) -> Array:
        if wanted not in self._known:
            self._known[wanted] = self._evaluate(wanted)
        return self._known[wanted]

    def _evaluate(self, wanted: Feature) -> Array:
        kind, args, phase = wanted.kind, wanted.args, wanted.phase
        num = self._num
        if phase != "all":
            num = np.where(self._decode == (phase == "decode"), num, 0)
        if kind == "one":
            return np.ones(len(num))
        if kind == "tokens":
            return _sum(num * self._query)
        if kind == "requests":
            return _sum(num)
        if kind == "any":
            return np.where(num.sum(axis=1) > 0, 1.0, 0.0)
        if kind == "context":
            return _sum(num * self._seen(args))
        if kind == "pairs":
            return _sum(num * self._query.astype(float) * self._seen(args))
        if kind == "kv_blocks":
            block, cap = args
            seq = np.minimum(self._seq, cap) if cap else self._seq
            return _sum(num * -(-seq // block))
        if kind in {"logit_rows", "gathered_rows", "gathered_tokens"}:
            # Logits are wanted of every decoded token and of each prefill's last; a pass with prefill picks them.
            rows = self.get(feature_of("tokens", phase="decode")) + self.get(feature_of("requests", phase="prefill"))
            if kind == "logit_rows":
                return rows
            picks = self.get(feature_of("any", phase="prefill"))
            picked: Array = picks * (rows if kind == "gathered_rows" else self.get(_TOKENS))
            return picked
        return self._nonlinear_in_tokens(kind, args)

    def _nonlinear_in_tokens(self, kind: str, args: tuple[int, ...]) -> Array:
        tokens = self.get(_TOKENS).astype(np.int64)
        if kind == "sliced_tokens":  # of one tensor-parallel rank, padded to a multiple of the ranks
            return -(-tokens // args[0]).astype(float)
        if kind in {"needs_padding", "tokens_to_pad", "tokens_padded"}:
            padded = -(-tokens // args[0]) * args[0]
            value: Array = {"needs_padding": np.ones_like(tokens), "tokens_to_pad": tokens, "tokens_padded": padded}[
                kind
            ]
            return np.where(padded > tokens, value, 0).astype(float)
        routed = self._routed.setdefault(args[:6], {}) if len(args) >= 6 else {}
        if not routed:
            routed.update(_route(tokens, args[:6]))
        if kind in routed:
            return routed[kind].astype(float)
        classes = self._classes.setdefault(args, {})
        if not classes:
            classes.update(_class_of_experts(routed["base"], routed["hot"], args))
        return classes[kind].astype(float)

    def _seen(self, args: tuple[int, ...]) -> Array:
        seen: Array = np.minimum(self._seq, args[0]) if args else self._seq
        return seen


def _sum(values: Array) -> FloatArray:
    total: FloatArray = values.sum(axis=1, dtype=float)
    return total


def _route(tokens: Array, args: tuple[int, ...]) -> dict[str, Array]:
    """Rows of rank 0 in a mixture of experts under an even routing; it holds the first experts and so gets the most.

    args: experts, experts of this rank, ep, top-k, slices and copies of the tokens.
    """
    experts, local, ep, topk, slices, copies = args
    sent = -(-(tokens * copies) // slices) * topk
    base, rest = sent // experts, sent % experts
    hot = np.minimum(rest, local)  # experts with one row a source more than the others
    own = local * base + hot
    idle = ((base == 0) & (hot < local)).astype(np.int64)
    return {
        "base": base,
        "hot": hot,
        "rows_sent": sent,
        "rows_received": ep * own,
        "rows_remote": np.maximum(sent - own, (ep - 1) * own),
        "any_expert_idle": idle,
        "rows_shuffled": idle * ep * own,
    }


def _class_of_experts(base: Array, hot: Array, args: tuple[int, ...]) -> dict[str, Array]:
    """Experts of one class and their rows. args: those of the routing, then padding multiple, alone, class."""
    local, ep = args[1:3]
    multiple, alone, wanted = args[6:]
    zero: Array = np.zeros_like(base)
    count, padded, short, short_rows, filled = zero, zero, zero, zero, zero
    for is_hot, number in ((1, hot), (0, np.where(base > 0, local - hot, 0))):
        each = ep * (base + is_hot)
        full = -(-each // multiple) * multiple
        grouped = (each == full) & (not alone)
        chosen = np.where(grouped if wanted == GROUPED else ~grouped & (wanted == is_hot), number, 0)
        lacking = np.where(each < full, chosen, 0)
        count, padded = count + chosen, padded + chosen * full
        short, short_rows, filled = short + lacking, short_rows + lacking * each, filled + lacking * full
    return {
        "experts": count,
        "launches": np.minimum(count, 1) if wanted == GROUPED else count,
        "rows_padded": padded,
        "launches_short": short,
        "rows_short": short_rows,
        "rows_filled": filled,
    }
