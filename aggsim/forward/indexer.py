"""DSA's lightning indexer: scores every token of the context with a few small heads and keeps the best.

Source: DeepSeek-V3.2-Exp, "Boosting Long-Context Efficiency with DeepSeek Sparse Attention" (2025), and the operator
counts of the original's dsa_indexer. Unlike it, we price the reads of the key cache and of the chosen entries at the
device's memory bandwidth, each entry once a pass: the original divides them by efficiencies measured on one kernel,
with which a longer context may cost less than a shorter one.
"""

from __future__ import annotations

from aggsim.forward.deployment import Deployment
from aggsim.forward.form import CONTEXT, TOKENS, constant
from aggsim.forward.trace import DTYPE_BYTES, Tensor, Trace
from aggsim.models.spec import IndexerSpec, MlaSpec

SCALE_BYTES = 4.0
"""One FP32 scale per key of a quantized index cache."""


def key_bytes(indexer: IndexerSpec, deployment: Deployment) -> float:
    """Index cache of one token; every rank holds it whole."""
    scale = SCALE_BYTES if deployment.cache_dtype != "fp16" else 0.0
    return indexer.head_dim * DTYPE_BYTES[deployment.cache_dtype] + scale


def choose_tokens(trace: Trace, spec: MlaSpec, x: Tensor, q_latent: Tensor, deployment: Deployment) -> Tensor:
    """Indices of the tokens each query attends to, shape tokens × topk_tokens: one fused kernel, as in the original.

    Queries come from the low-rank queries, the key and the heads' weights from the hidden states x. Indexers are not
    sharded.
    """
    indexer = spec.indexer
    if indexer is None:
        raise ValueError("no indexer")
    heads, dim, rope_dim = indexer.num_heads, indexer.head_dim, spec.qk_rope_head_dim
    mode, cache = deployment.linear, deployment.cache_dtype
    quantized = q_latent.width * heads * dim + x.width * dim
    head_weights = x.width * heads
    pairs = deployment.score_pairs()
    chosen = Tensor(rows=x.rows, width=indexer.topk_tokens, dtype="int32")
    # A score is weighted and added up over the heads, then compared; a quantized one is also cut at 0 and scaled,
    # after queries and keys were rotated and quantized.
    per_score, per_token = 2 * heads + 1, 3 * rope_dim * (heads + 1)
    if cache != "fp16":
        per_score, per_token = 4 * heads + 2, per_token + 2 * dim * (heads + 1)
    mma = {mode.mma: x.rows * (2 * quantized)}
    for dtype, work in (("fp16", x.rows * (2 * head_weights)), (cache, pairs * (2 * heads * dim))):
        mma[dtype] = mma[dtype] + work if dtype in mma else work
    unpack = {"fp32": constant(mode.unpack_ops * quantized)} if mode.unpack_ops else {}
    trace.emit(
        "indexer",
        "indexer",
        reads=(x, q_latent),
        writes=(chosen,),
        weight_bytes=quantized * mode.weight_bytes + 2.0 * head_weights + 4.0 * dim,
        extra_bytes=(CONTEXT + TOKENS) * key_bytes(indexer, deployment) + TOKENS * (2 * rope_dim * 2.0),
        mma_ops=mma,
        gp_ops={"fp16": pairs * per_score + x.rows * per_token} | unpack,
    )
    return chosen
