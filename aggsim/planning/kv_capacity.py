"""KV blocks of one replica: what weights, activations and reserved memory leave, by the engine's own account."""

from __future__ import annotations

import math

from aggsim.engines.base import ForwardModel
from aggsim.forward.batch import RequestGroup
from aggsim.planning.load_result import KvCapacity
from aggsim.scenario import Workload

__all__ = ["DEFAULT_BLOCK", "WIDE_BLOCK", "default_block", "kv_capacity"]

DEFAULT_BLOCK, WIDE_BLOCK = 16, 128
"""Tokens of a block: vLLM's on GPUs, and the one of vLLM-Ascend and of the original's memory model."""
WIDE_VENDORS = ("ascend", "huawei", "test")
_GRAIN = 128
"""Contexts are priced at whole multiples, so that an engine that rounds up to blocks of its own rounds nothing."""


def default_block(vendor: str) -> int:
    """Tokens of a KV block where none is given."""
    return WIDE_BLOCK if vendor.lower() in WIDE_VENDORS else DEFAULT_BLOCK


def kv_capacity(
    forward: ForwardModel,
    workload: Workload,
    *,
    replicas: int,
    block_tokens: int,
    max_batched_tokens: int,
    max_num_seqs: int,
) -> KvCapacity:
    """Free is what the largest prefill step leaves, or a decode step of all seats where that leaves less, each without
    its own KV cache. A token takes its share of a whole request: of a sliding window or a recurrent state, the mean."""
    query_len = workload.num_mtp_tokens + 1
    prompt = min(workload.effective_input_tokens, max_batched_tokens)
    full = -(-(workload.num_input_tokens + workload.num_output_tokens) // _GRAIN) * _GRAIN

    def group(requests: int, query: int, seq: int, *, is_decode: bool) -> RequestGroup:
        return RequestGroup(num_requests=requests * replicas, query_len=query, seq_len=seq, is_decode=is_decode)

    passes = (
        group(max(1, max_batched_tokens // prompt), prompt, prompt, is_decode=False),
        group(max_num_seqs, query_len, full + query_len, is_decode=True),
    )
    memories = [forward.cost((one,)).memory for one in passes]
    free = min(memory.available + memory.kv_cache for memory in memories)
    whole = full - 1  # with the token to come: full
    per_token = forward.cost((group(1, 1, whole, is_decode=True),)).memory.kv_cache / whole
    blocks = None if per_token <= 0 else max(0, math.floor(free / (per_token * block_tokens) + 1e-9))
    return KvCapacity(block_tokens=block_tokens, blocks=blocks, bytes_per_token=per_token, free_bytes=free)
