"""What one request asks of the forward passes, and how many tokens one pass may hold."""

from __future__ import annotations

import math

from aggsim.scenario import ParallelLayout, Workload
from aggsim.serving.run import Chunk

__all__ = ["decode_shape", "effective_input_tokens", "expected_tokens_per_pass", "plan_chunks", "step_token_budget"]


def effective_input_tokens(workload: Workload) -> int:
    """Prompt tokens left to compute after a prefix-cache hit; ≥ 1, a Workload's hit rate being under 1."""
    return workload.num_input_tokens - math.floor(workload.num_input_tokens * workload.prefix_cache_hit_rate)


def plan_chunks(num_tokens: int, max_batched_tokens: int) -> tuple[Chunk, ...]:
    """Cut one prompt into pieces of at most max_batched_tokens."""
    ends = (*range(max_batched_tokens, num_tokens, max_batched_tokens), num_tokens)
    return tuple(Chunk(query_len=end - start, seq_len=end) for start, end in zip((0, *ends[:-1]), ends, strict=True))


def decode_shape(workload: Workload) -> tuple[int, int]:
    """(query_len, seq_len) of every decode pass: in the middle of the output, the whole prompt in context."""
    query_len = workload.num_mtp_tokens + 1
    return query_len, workload.num_input_tokens + workload.num_output_tokens // 2 + query_len


def expected_tokens_per_pass(workload: Workload) -> float:
    """Output tokens one decode pass yields on average: one and the accepted drafts."""
    return 1 + sum(workload.mtp_acceptance_rates[: workload.num_mtp_tokens])


def step_token_budget(max_batched_tokens: int, layout: ParallelLayout, rules: str) -> int:
    """Tokens of one step over the whole deployment; the seed's rules forgot the data-parallel replicas."""
    return max_batched_tokens if rules == "seed" else max_batched_tokens * layout.dp
