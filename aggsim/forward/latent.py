"""Multi-head latent attention (DeepSeek-V3), dense, or sparse behind an indexer (DSA: DeepSeek-V3.2, GLM-5)."""

from __future__ import annotations

from aggsim.forward.attention import SLOT_BYTES, SOFTMAX_OPS, static_quantize
from aggsim.forward.deployment import Deployment
from aggsim.forward.form import CONTEXT, TOKENS, Form, constant, feature
from aggsim.forward.indexer import choose_tokens
from aggsim.forward.quantized import linear, norm
from aggsim.forward.trace import DTYPE_BYTES, Tensor, Trace
from aggsim.models.spec import MlaSpec

FUSED_KERNELS = 16
"""Kernel launches the original counts for the fused pre-processing."""


def latent_attention(trace: Trace, spec: MlaSpec, x: Tensor, deployment: Deployment) -> Tensor:
    """Fused pre-processing, cache write, attention, output projection; the rank's share before the all-reduce."""
    heads, cache = deployment.share(spec.num_heads), deployment.cache_dtype
    x, _ = norm(trace, "attention norm", x)
    q, latent, k_rope, q_latent = _preprocess(trace, spec, x, heads, deployment)
    chosen = None if spec.indexer is None else choose_tokens(trace, spec, x, q_latent, deployment)
    if cache != "fp16":
        q, latent, k_rope = (
            static_quantize(trace, name, t, cache)
            for name, t in (("query", q), ("latent", latent), ("rotary key", k_rope))
        )
    width = spec.kv_lora_rank + spec.qk_rope_head_dim
    trace.emit(
        "KV cache write",
        "latent_cache_write",
        reads=(latent, k_rope),
        extra_bytes=TOKENS * (width * DTYPE_BYTES[cache] + SLOT_BYTES),
    )
    out = Tensor(rows=x.rows, width=heads * spec.v_head_dim)
    expansion = heads * (spec.qk_nope_head_dim + spec.v_head_dim) * spec.kv_lora_rank
    mma, vector_ops, weight_reads = _work(spec, heads, deployment)
    if cache != "fp16":
        vector_ops = vector_ops + out.elements * 2
    # Held in the attention's format beside the checkpoint's weights: the expansion matrix, for prefill, and its two
    # absorbed halves, for decode.
    copy, stored = expansion * DTYPE_BYTES[cache], expansion * deployment.linear.weight_bytes
    keys = CONTEXT if spec.indexer is None else feature("chosen", spec.indexer.topk_tokens)
    trace.emit(
        "attention",
        f"{'latent' if chosen is None else 'sparse_latent'}_attention{'' if cache == 'fp16' else '_quant'}",
        reads=(q,) if chosen is None else (q, chosen),
        writes=(out,),
        weight_bytes=stored,
        weight_read_bytes=weight_reads * copy,
        resident_bytes=2 * copy - stored,
        extra_bytes=keys * (width * DTYPE_BYTES[cache]),
        mma_ops={cache: mma},
        gp_ops={"fp16": vector_ops},
    )
    return linear(trace, "output projection", out, (deployment.hidden_size,), deployment.linear, bias=spec.bias)[0]


def _work(spec: MlaSpec, heads: int, deployment: Deployment) -> tuple[Form, Form, Form]:
    """Matrix and vector operations, and how often a copy of the expansion's size is read.

    Prefill expands the latents of the new tokens to keys and values; decode absorbs the expansion into query and
    output and works on the latents themselves. So does sparse attention in both phases, where every query has keys
    of its own (FlashMLA's sparse kernels).
    """
    rank, rope_dim, nope_dim, v_dim = spec.kv_lora_rank, spec.qk_rope_head_dim, spec.qk_nope_head_dim, spec.v_head_dim
    expand = 2 * heads * (nope_dim + v_dim) * rank
    quantizes = deployment.cache_dtype != "fp16"
    # Two operations an element: the probabilities, and what the expansion gives or takes.
    score_ops, absorbed_ops, expanded_ops = (
        heads * (SOFTMAX_OPS + 2 * quantizes),
        4 * heads * rank * quantizes,
        2 * heads * (nope_dim + v_dim) * quantizes,
    )
    absorbed_score = 2 * heads * (2 * rank + rope_dim)
    if spec.indexer is not None:
        pairs = deployment.score_pairs(most=spec.indexer.topk_tokens)
        mma = TOKENS * expand + pairs * absorbed_score
        return mma, pairs * score_ops + TOKENS * absorbed_ops, feature("any")
    prefilled, decoded = feature("tokens", phase="prefill"), feature("tokens", phase="decode")
    if "latent_context" in deployment.corrections:
        prefilled = feature("context", phase="prefill")
    prefill, decode = deployment.score_pairs(phase="prefill"), deployment.score_pairs(phase="decode")
    mma = (
        prefilled * expand
        + prefill * (2 * heads * (nope_dim + rope_dim + v_dim))
        + decoded * expand
        + decode * absorbed_score
    )
    vector_ops = (prefill + decode) * score_ops + prefilled * expanded_ops + decoded * absorbed_ops
    return mma, vector_ops, feature("any", phase="prefill") + feature("any", phase="decode")


def _preprocess(
    trace: Trace, spec: MlaSpec, x: Tensor, heads: int, deployment: Deployment
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Down- and up-projections, norms and rope as the one fused kernel the original prices.

    Returns queries, latents, rotary keys, and the low-rank queries that an indexer starts from (the queries
    themselves where there is no such projection, as in smaller members of the family).
    """
    hidden, rank, rope_dim = deployment.hidden_size, spec.kv_lora_rank, spec.qk_rope_head_dim
    q_width, q_rank, mode = heads * (spec.qk_nope_head_dim + rope_dim), spec.q_lora_rank or 0, deployment.linear
    q = Tensor(rows=x.rows, width=q_width)
    latent, k_rope = Tensor(rows=x.rows, width=rank), Tensor(rows=x.rows, width=rope_dim)
    q_latent = Tensor(rows=x.rows, width=q_rank) if q_rank else q
    query = hidden * q_rank + q_rank * q_width if q_rank else hidden * q_width
    weights = query + hidden * (rank + rope_dim)
    biases = 2.0 * (q_rank + rank + rope_dim) if spec.bias else 0.0
    vector = x.rows * (5 * (q_rank + rank) + 3 * rope_dim * (heads + 1))
    if mode.quantizes:
        # Inputs of the three projections, and once a pass every weight.
        vector = vector + x.rows * (2 * hidden + q_rank) + float(weights)
    extra = x.rows * (2.0 * (2 * (q_rank + rank + rope_dim) + q_rank) + 2 * rope_dim * 2.0)
    trace.emit(
        "latent pre-processing",
        "latent_preprocess_quant" if mode.quantizes else "latent_preprocess",
        reads=(x,),
        writes=(q, latent, k_rope, q_latent) if q_rank else (q, latent, k_rope),
        weight_bytes=weights * mode.weight_bytes + 2.0 * (q_rank + rank) + biases,
        extra_bytes=extra,
        mma_ops={mode.mma: x.rows * (2 * weights)},
        gp_ops={"fp16": vector} | ({"fp32": constant(weights * mode.unpack_ops)} if mode.unpack_ops else {}),
        launches=FUSED_KERNELS,
    )
    return q, latent, k_rope, q_latent
