"""Softmax attention of one rank: from the hidden states to the output projection's partial sums."""

from __future__ import annotations

from aggsim.forward.collectives import Group
from aggsim.forward.deployment import Deployment
from aggsim.forward.form import CONTEXT, TOKENS, Form, feature
from aggsim.forward.pieces import exchange
from aggsim.forward.quantized import linear, norm
from aggsim.forward.trace import DTYPE_BYTES, Tensor, Trace
from aggsim.models.spec import AttentionSpec

SOFTMAX_OPS = 4
"""Vector operations per attention score."""
GATE_OPS = 5
"""Vector operations per element of a sigmoid gate: 4 and the product."""
SLOT_BYTES = 8.0
"""One int64 cache slot index per token."""


def local_kv_heads(num_kv_heads: int, tp: int) -> int:
    """KV heads of one rank: never below one, so fewer heads than ranks are replicated."""
    return max(1, -(-num_kv_heads // tp))


def keys_read(most: int | None) -> Form:
    """Keys a request's queries look at, all together: its whole context, or what a window or chunk leaves of it."""
    return feature("span", most) if most else CONTEXT


def grouped_query_attention(trace: Trace, spec: AttentionSpec, x: Tensor, deployment: Deployment) -> Tensor:
    """Softmax attention with grouped KV heads; returns the rank's share of the output before the all-reduce."""
    mode, cache = deployment.linear, deployment.cache_dtype
    heads, kv_heads = deployment.share(spec.num_heads), local_kv_heads(spec.num_kv_heads, deployment.tp)
    queries, keys, values = heads * spec.head_dim, kv_heads * spec.head_dim, kv_heads * spec.v_head_dim
    x, _ = norm(trace, "attention norm", x, mode, fuses=deployment.fuses_norms)
    widths = [queries * 2 if spec.output_gate else queries, keys]
    if not spec.kv_shared:
        widths.append(values)
    projected = linear(trace, "qkv projection", x, tuple(widths), mode, bias=spec.qkv_bias)
    q, k, v = projected[0].view(width=queries), projected[1], projected[-1]
    if spec.qk_norm:
        q, k = _qk_norms(trace, spec, q, k, heads, kv_heads, deployment.tp)
    if spec.v_norm:
        v = _head_norm(trace, "value norm", v, kv_heads, learned=False)
    if spec.rotary:
        q, k = rope(trace, (q, k), spec.head_dim)
    if cache != "fp16":
        q, k, v = (static_quantize(trace, name, t, cache) for name, t in (("query", q), ("key", k), ("value", v)))
    trace.emit(
        "KV cache write",
        "cache_write",
        reads=(k, v),
        extra_bytes=(k.elements + v.elements) * DTYPE_BYTES[cache] + TOKENS * SLOT_BYTES,
    )
    out = Tensor(rows=x.rows, width=heads * spec.v_head_dim)
    scores = deployment.score_pairs(most=spec.window_tokens, chunk=spec.chunk_tokens) * heads
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
        extra_bytes=keys_read(spec.window_tokens or spec.chunk_tokens) * ((keys + values) * DTYPE_BYTES[cache]),
        mma_ops={cache: scores * (2 * (spec.head_dim + spec.v_head_dim))},
        gp_ops={"fp16": vector_ops},
    )
    if spec.output_gate:
        gated = Tensor(rows=x.rows, width=out.width)
        trace.emit("attention output gate", "gate_multiply", reads=(out, projected[0].view(width=queries)),
                   writes=(gated,), gp_ops={"fp16": out.elements * GATE_OPS})  # fmt: skip
        out = gated
    return linear(trace, "output projection", out, (deployment.hidden_size,), mode, bias=spec.out_bias)[0]


def _qk_norms(
    trace: Trace, spec: AttentionSpec, q: Tensor, k: Tensor, heads: int, kv_heads: int, tp: int
) -> tuple[Tensor, Tensor]:
    if spec.qk_norm_scope == "layer" and tp > 1:
        # One norm over the heads of all ranks: they add up their sums of squares first.
        squares = Tensor(rows=q.rows, width=2, dtype="fp32")
        trace.emit("query and key norm: sum of squares", "sum_of_squares", reads=(q, k), writes=(squares,))
        exchange(trace, "query and key norm: all-reduce", "all_reduce", squares, squares.view(), Group(size=tp))
    if spec.qk_norm_scope == "layer":
        heads = kv_heads = 1
    q = _head_norm(trace, "query norm", q, heads, learned=spec.qk_norm_learned)
    return q, _head_norm(trace, "key norm", k, kv_heads, learned=spec.qk_norm_learned)


def _head_norm(trace: Trace, name: str, x: Tensor, heads: int, *, learned: bool) -> Tensor:
    """RMS norm over every head: heads · rows vectors."""
    out, _ = norm(trace, name, x.view(rows=x.rows * heads, width=x.width / heads), learned=learned)
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


def static_quantize(trace: Trace, name: str, x: Tensor, dtype: str) -> Tensor:
    """x in the cache's format, by a scale known beforehand."""
    out = Tensor(rows=x.rows, width=x.width, dtype=dtype)
    trace.emit(f"{name}: quantize", "quantize_static", reads=(x,), writes=(out,))
    return out
