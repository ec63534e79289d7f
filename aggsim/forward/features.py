"""Evaluation of batch features: the only nonlinear part of pricing, done once a feature for many batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aggsim.forward.batch import Batches, BoolArray, FloatArray, IntArray
from aggsim.forward.form import GROUPED, Feature


def evaluate(features: Sequence[Feature], batches: Batches, dp: int) -> FloatArray:
    """Feature matrix of shape (N, F): every feature of every batch, of the fullest of dp replicas."""
    per_replica = -(-batches.num_requests // dp)
    columns = _Columns(per_replica, batches.query_len, batches.seq_len, batches.is_decode)
    matrix = np.empty((len(batches), len(features)))
    for j, wanted in enumerate(features):
        matrix[:, j] = columns.get(wanted)
    return matrix


class _Columns:
    """Lazy evaluation of features over (N, G) columns, sums over the G groups."""

    def __init__(self, num: IntArray, query: IntArray, seq: IntArray, decode: BoolArray) -> None:
        self._num, self._query, self._seq, self._decode = num, query, seq, decode
        self._known: dict[Feature, FloatArray] = {}

    def get(self, wanted: Feature) -> FloatArray:
        if wanted not in self._known:
            self._known[wanted] = self._evaluate(wanted)
        return self._known[wanted]

    def _evaluate(self, wanted: Feature) -> FloatArray:
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
            return (num.sum(axis=1) > 0).astype(float)
        if kind == "context":
            return _sum(num * self._seen(args))
        if kind == "pairs":
            return _sum(num * self._query.astype(float) * self._seen(args))
        if kind == "kv_blocks":
            block, cap = args
            seq = np.minimum(self._seq, cap) if cap else self._seq
            return _sum(num * -(-seq // block))
        if kind in {"logit_rows", "gathered_rows", "gathered_tokens"}:
            # Logits are wanted of every decoded token and of the last token of each prefill; a pass with prefill picks them.
            rows = self.get(Feature("tokens", phase="decode")) + self.get(Feature("requests", phase="prefill"))
            if kind == "logit_rows":
                return rows
            picks = self.get(Feature("any", phase="prefill"))
            return picks * (rows if kind == "gathered_rows" else self.get(Feature("tokens")))
        return self._nonlinear_in_tokens(kind, args)

    def _nonlinear_in_tokens(self, kind: str, args: tuple[int, ...]) -> FloatArray:
        tokens = self.get(Feature("tokens")).astype(np.int64)
        if kind == "sliced_tokens":  # of one tensor-parallel rank, padded to a multiple of the ranks
            return -(-tokens // args[0]).astype(float)
        if kind in {"needs_padding", "tokens_to_pad", "tokens_padded"}:
            padded = -(-tokens // args[0]) * args[0]
            value = {"needs_padding": 1, "tokens_to_pad": tokens, "tokens_padded": padded}[kind]
            return np.where(padded > tokens, value, 0).astype(float)
        return self._routed(kind, tokens, args)

    def _routed(self, kind: str, tokens: IntArray, args: tuple[int, ...]) -> FloatArray:
        """Rows of rank 0 in a mixture of experts under an even routing; it holds the first experts and so gets the most.

        args: experts, experts of this rank, ep, top-k, slices and copies of the tokens, [padding multiple, alone, class].
        """
        experts, local, ep, topk, slices, copies = args[:6]
        sent = -(-(tokens * copies) // slices) * topk
        base, rest = sent // experts, sent % experts
        hot = np.minimum(rest, local)  # experts with one row a source more than the others
        own = local * base + hot
        if kind == "rows_sent":
            return sent.astype(float)
        if kind == "rows_received":
            return (ep * own).astype(float)
        if kind == "rows_remote":
            return np.maximum(sent - own, (ep - 1) * own).astype(float)
        if kind in {"any_expert_idle", "rows_shuffled"}:
            idle = (base == 0) & (hot < local)
            return np.where(idle, ep * own if kind == "rows_shuffled" else 1, 0).astype(float)
        multiple, alone, wanted = args[6:]
        count = np.zeros_like(sent)
        padded, short, short_rows, filled = (count.copy() for _ in range(4))
        for is_hot, number in ((1, hot), (0, np.where(base > 0, local - hot, 0))):
            each = ep * (base + is_hot)
            full = -(-each // multiple) * multiple
            grouped = (each == full) & (not alone)
            chosen = np.where(grouped if wanted == GROUPED else ~grouped & (wanted == is_hot), number, 0)
            count, padded = count + chosen, padded + chosen * full
            lacking = np.where(each < full, chosen, 0)
            short, short_rows, filled = short + lacking, short_rows + lacking * each, filled + lacking * full
        values = {"experts": count, "rows_padded": padded}
        values |= {"launches_short": short, "rows_short": short_rows, "rows_filled": filled}
        values["launches"] = np.minimum(count, 1) if wanted == GROUPED else count
        return values[kind].astype(float)

    def _seen(self, args: tuple[int, ...]) -> IntArray:
        return np.minimum(self._seq, args[0]) if args else self._seq


def _sum(values: IntArray | FloatArray) -> FloatArray:
    return values.sum(axis=1, dtype=float)
