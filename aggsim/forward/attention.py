"""Attention of one rank: from the normed hidden states to the output projection's partial sums."""

from __future__ import annotations

from dataclasses import dataclass

from aggsim.forward.form import CONTEXT, PAIRS, TOKENS, Form, feature
from aggsim.forward.quantized import LINEAR, LinearMode, linear, norm
from aggsim.forward.trace import DTYPE_BYTES, Tensor, Trace
from aggsim.models.spec import AttentionSpec, MlaSpec

SOFTMAX_OPS = 4
"""Vector operations per attention score."""
SLOT_BYTES = 8.0
"""One int64 cache slot index per token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionContext:
    """What attention needs to know besides its own spec."""

    hidden_size: int
    tp: int
    mode: LinearMode
    cache: str = "none"
    """Attention quantization: none, int8, fp8."""

    @property
    def cache_dtype(self) -> str:
        return {"none": "fp16", "int8": "int8", "fp8": "fp8"}[self.cache]


def local_heads(num_heads: int, tp: int) -> int:
    """Query heads of the fullest tensor-parallel rank."""
    return -(-num_heads // tp)


def local_kv_heads(num_kv_heads: int, tp: int) -> int:
    """KV heads of one rank: never below one, so fewer heads than ranks are replicated."""
    return max(1, -(-num_kv_heads // tp))


def seen_pairs(window_tokens: int | None) -> Form:
    """Σ query_len · (context each query may look at) over the requests."""
    return feature("pairs", window_tokens) if window_tokens else PAIRS


def seen_context(window_tokens: int | None) -> Form:
    """Tokens of context whose keys and values are read."""
    return feature("context", window_tokens) if window_tokens else CONTEXT


def grouped_query_attention(trace: Trace, spec: AttentionSpec, x: Tensor, context: AttentionContext) -> Tensor:
    """Softmax attention with grouped KV heads; returns the rank's share of the output before the all-reduce."""
    heads = local_heads(spec.num_heads, context.tp)
    kv_heads = local_kv_heads(spec.num_kv_heads, context.tp)
    mode, cache = context.mode, context.cache_dtype
    gate = heads * spec.head_dim if spec.output_gate else 0
    widths = [heads * spec.head_dim + gate, kv_heads * spec.head_dim]
    if not spec.kv_shared:
        widths.append(kv_heads * spec.v_head_dim)
    outputs = linear(trace, "qkv projection", x, tuple(widths), mode, bias=spec.qkv_bias)
    q, k = outputs[0].view(width=heads * spec.head_dim), outputs[1]
    v = k if spec.kv_shared else outputs[2]
    if spec.qk_norm:
        q = _head_norm(trace, "query norm", q, heads, spec.head_dim)
        k = _head_norm(trace, "key norm", k, kv_heads, spec.head_dim)
    q, k = rope(trace, (q, k), spec.head_dim)
    if cache != "fp16":
        q, k, v = (_static_quantize(trace, name, t, cache) for name, t in (("query", q), ("key", k), ("value", v)))
    trace.emit(
        "KV cache write",
        "cache_write",
        reads=(k, v),
        extra_bytes=(k.elements + v.elements) * DTYPE_BYTES[cache] + TOKENS * SLOT_BYTES,
    )
    out = Tensor(rows=x.rows, width=heads * spec.v_head_dim)
    pairs = seen_pairs(spec.window_tokens)
    read = seen_context(spec.window_tokens) * (kv_heads * (spec.head_dim + spec.v_head_dim) * DTYPE_BYTES[cache])
    scores = pairs * heads
    vector_ops = scores * SOFTMAX_OPS
    if cache != "fp16":
        # Scores are dequantized, probabilities quantized, outputs dequantized; INT8 (with offset) in two steps.
        steps = 1 if cache == "fp8" else 2
        vector_ops = vector_ops + scores * (2 * steps) + out.elements * steps
    trace.emit(
        "attention",
        "attention" if cache == "fp16" else "attention_quant",
        reads=(q,),
        writes=(out,),
        weight_bytes=2.0 * heads if spec.sinks else 0.0,
        extra_bytes=read,
        mma_ops={cache: scores * (2 * (spec.head_dim + spec.v_head_dim))},
        gp_ops={"fp16": vector_ops},
    )
    if spec.output_gate:
        gated = Tensor(rows=x.rows, width=out.width)
        trace.emit(
            "attention output gate",
            "gate_multiply",
            reads=(out, outputs[0].view(width=gate)),
            writes=(gated,),
            gp_ops={"fp16": out.elements * 5},
        )
        out = gated
    return linear(trace, "output projection", out, (context.hidden_size,), mode, bias=spec.out_bias)[0]


def _head_norm(trace: Trace, name: str, x: Tensor, heads: int, head_dim: int) -> Tensor:
    """RMS norm over every head: heads · rows vectors of head_dim."""
    out, _ = norm(trace, name, x.view(rows=x.rows * heads, width=head_dim))
    return out.view(rows=x.rows, width=x.width)


def rope(trace: Trace, tensors: tuple[Tensor, ...], head_dim: int) -> tuple[Tensor, ...]:
    """Rotary embedding: each element costs two multiplies and an add; the cosines and sines are read."""
    outputs = tuple(Tensor(rows=t.rows, width=t.width, dtype=t.dtype) for t in tensors)
    elements = sum((t.elements for t in tensors), Form())
    trace.emit(
        "rotary embedding",
        "rope",
        reads=tensors,
        writes=outputs,
        extra_bytes=tensors[0].rows * (2 * head_dim * 2.0),
        gp_ops={"fp16": elements * 3},
    )
    return outputs


def _static_quantize(trace: Trace, name: str, x: Tensor, dtype: str) -> Tensor:
    out = Tensor(rows=x.rows, width=x.width, dtype=dtype)
    trace.emit(f"{name}: quantize", "quantize_static", reads=(x,), writes=(out,))
    return out


def latent_attention(trace: Trace, spec: MlaSpec, x: Tensor, context: AttentionContext) -> Tensor:
    """MLA: fused pre-processing, then prefill on the expanded latent and decode on the absorbed one."""
    heads = local_heads(spec.num_heads, context.tp)
    cache, mode = context.cache_dtype, context.mode
    rank, rope_dim, nope_dim, v_dim = spec.kv_lora_rank, spec.qk_rope_head_dim, spec.qk_nope_head_dim, spec.v_head_dim
    q_dim = nope_dim + rope_dim
    q, latent, k_rope = _latent_preprocess(trace, spec, x, heads, context)
    trace.emit(
        "KV cache write",
        "latent_cache_write",
        reads=(latent, k_rope),
        extra_bytes=TOKENS * ((rank + rope_dim) * DTYPE_BYTES[cache] + SLOT_BYTES),
    )
    out = Tensor(rows=x.rows, width=heads * v_dim)
    prefill_tokens, decode_tokens = feature("tokens", phase="prefill"), feature("tokens", phase="decode")
    prefill_pairs, decode_pairs = feature("pairs", phase="prefill"), feature("pairs", phase="decode")
    expand = heads * (nope_dim + v_dim) * rank
    mma = (
        prefill_tokens * (2 * expand)
        + prefill_pairs * (2 * heads * (q_dim + v_dim))
        + decode_tokens * (2 * expand)
        + decode_pairs * (2 * heads * (2 * rank + rope_dim))
    )
    vector_ops = (prefill_pairs + decode_pairs) * (heads * SOFTMAX_OPS)
    if cache != "fp16":
        vector_ops = vector_ops + (prefill_pairs + decode_pairs) * (2 * heads)
        vector_ops = vector_ops + prefill_tokens * (2 * heads * (nope_dim + v_dim)) + decode_tokens * (4 * heads * rank)
    # Prefill uses the expansion matrix, decode its two absorbed halves: both are held in 16 bits.
    weights = 2.0 * expand
    stored = expand * mode.weight_bytes
    read = (feature("any", phase="prefill") + feature("any", phase="decode")) * weights
    trace.emit(
        "attention",
        "latent_attention" if cache == "fp16" else "latent_attention_quant",
        reads=(q,),
        writes=(out,),
        weight_bytes=stored,
        weight_read_bytes=read,
        resident_bytes=2 * weights - stored,
        extra_bytes=CONTEXT * ((rank + rope_dim) * DTYPE_BYTES[cache]),
        mma_ops={cache: mma},
        gp_ops={"fp16": vector_ops},
    )
    return linear(trace, "output projection", out, (context.hidden_size,), mode)[0]


def _latent_preprocess(
    trace: Trace, spec: MlaSpec, x: Tensor, heads: int, context: AttentionContext
) -> tuple[Tensor, Tensor, Tensor]:
    """Down- and up-projections, norms and rope of MLA as the one fused kernel the original prices (16 launches)."""
    hidden, rank, rope_dim = context.hidden_size, spec.kv_lora_rank, spec.qk_rope_head_dim
    q_width = heads * (spec.qk_nope_head_dim + rope_dim)
    q_rank = spec.q_lora_rank
    mode = context.mode
    q = Tensor(rows=x.rows, width=q_width)
    latent, k_rope = Tensor(rows=x.rows, width=rank), Tensor(rows=x.rows, width=rope_dim)
    if q_rank is None:  # no query down-projection (smaller members of the family)
        down, quantized_inputs, q_low = hidden * q_width, hidden, 0
    else:
        down, quantized_inputs, q_low = hidden * q_rank + q_rank * q_width, hidden + q_rank, q_rank
    weights = down + hidden * (rank + rope_dim)
    vector = x.rows * (5 * (q_low + rank) + 3 * rope_dim * (heads + 1))
    if mode.quantizes:
        vector = vector + x.rows * (quantized_inputs + hidden) + float(weights)
    extra = x.rows * (2.0 * (2 * (q_low + rank + rope_dim) + q_low) + 2 * rope_dim * 2.0)
    writes: tuple[Tensor, ...] = (q, latent, k_rope)
    if q_rank is not None:
        writes = (*writes, Tensor(rows=x.rows, width=q_rank))
    trace.emit(
        "latent pre-processing",
        "latent_preprocess_quant" if mode.quantizes else "latent_preprocess",
        reads=(x,),
        writes=writes,
        weight_bytes=weights * mode.weight_bytes + 2.0 * (q_low + rank),
        extra_bytes=extra,
        mma_ops={mode.mma: x.rows * (2 * weights)},
        gp_ops={"fp16": vector} | ({"fp32": Form() + weights * mode.unpack_ops} if mode.unpack_ops else {}),
        launches=16,
    )
    return q, latent, k_rope


__all__ = [
    "LINEAR",
    "AttentionContext",
    "grouped_query_attention",
    "latent_attention",
    "local_heads",
    "local_kv_heads",
    "rope",
]
