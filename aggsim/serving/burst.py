"""What both timings start from: one kind of request on one deployment under one token budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aggsim.engines.base import ForwardModel
from aggsim.errors import InputError
from aggsim.forward.batch import Batches, FloatArray, IntArray, RequestGroup
from aggsim.forward.cost import ForwardCost
from aggsim.scenario import ParallelLayout, Workload
from aggsim.serving.chunks import (
    decode_shape,
    effective_input_tokens,
    expected_tokens_per_pass,
    plan_chunks,
    step_token_budget,
)
from aggsim.serving.run import Chunk

__all__ = ["DECODE", "RULES", "Burst", "Pass"]

Pass = tuple[int, int]
"""(requests over the deployment, index of a chunk or DECODE)."""
DECODE = -1
"""The chunk index of a decode pass."""
RULES = ("current", "seed")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Burst:
    """All requests arrive at t = 0."""

    forward: ForwardModel
    rules: str
    max_batched_tokens: int
    """Of one replica."""
    step_tokens: int
    """The budget of one step over the whole deployment."""
    requests_per_batch: int
    """Concurrency at batch size 1."""
    num_output_tokens: int
    tokens_per_pass: float
    """Output tokens a decode pass yields on average."""
    chunks: tuple[Chunk, ...]
    shapes: IntArray
    """(query_len, seq_len) of each chunk and, last so that DECODE finds it, of a decode pass."""

    @classmethod
    def of(
        cls, forward: ForwardModel, workload: Workload, layout: ParallelLayout, *, max_batched_tokens: int, rules: str
    ) -> Burst:
        """Raises InputError for a budget under 1 or unknown rules."""
        if max_batched_tokens < 1:
            raise InputError("max_batched_tokens", max_batched_tokens, "1 or more")
        if rules not in RULES:
            raise InputError("rules", rules, ", ".join(RULES))
        chunks = plan_chunks(effective_input_tokens(workload), max_batched_tokens)
        return cls(
            forward=forward,
            rules=rules,
            max_batched_tokens=max_batched_tokens,
            step_tokens=step_token_budget(max_batched_tokens, layout, rules),
            requests_per_batch=layout.dp * layout.pp,
            num_output_tokens=workload.num_output_tokens,
            tokens_per_pass=expected_tokens_per_pass(workload),
            chunks=chunks,
            shapes=np.array([*((c.query_len, c.seq_len) for c in chunks), decode_shape(workload)], np.int64),
        )

    @property
    def effective_input_tokens(self) -> int:
        return self.chunks[-1].seq_len

    def price(
        self, num_requests: Sequence[int] | IntArray, chunk: int | Sequence[int]
    ) -> tuple[FloatArray, FloatArray]:
        """Latency in seconds (decode: per output token) and bytes left of N passes, shape (N,), in one engine call."""
        num = np.array(num_requests, np.int64, ndmin=2).T
        chunks = np.zeros_like(num) + np.array(chunk, np.int64, ndmin=2).T
        is_decode = chunks == DECODE
        prices = self.forward.price(
            Batches(
                num_requests=num,
                query_len=self.shapes[chunks, 0],
                seq_len=self.shapes[chunks, 1],
                is_decode=is_decode,
            )
        )
        return prices.latency_s / np.where(is_decode[:, 0], self.tokens_per_pass, 1.0), prices.available_bytes

    def costs(self, *passes: Pass | None, wanted: bool = True) -> list[ForwardCost | None]:
        """Passes in full, each different one priced once; None where there is no pass, or none is wanted.

        The latency of a decode pass is that of the pass, not per output token.
        """
        if not wanted:
            return [None] * len(passes)
        found = {key: self._cost(*key) for key in dict.fromkeys(passes) if key is not None}
        return [None if key is None else found[key] for key in passes]

    def _cost(self, num_requests: int, chunk: int) -> ForwardCost:
        query_len, seq_len = self.shapes[chunk].tolist()
        group = RequestGroup(num_requests=num_requests, query_len=query_len, seq_len=seq_len, is_decode=chunk == DECODE)
        return self.forward.cost((group,))
