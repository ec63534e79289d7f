"""Routers: from hidden states to expert indices and weights, kernel by kernel as the original's graph runs them."""

from __future__ import annotations

from aggsim.forward.pieces import elementwise, pad_to_multiple
from aggsim.forward.quantized import LinearMode, matmul, norm
from aggsim.forward.trace import Tensor, Trace
from aggsim.models.spec import MoeSpec

BIAS_BYTES = 4.0
"""A correction bias is kept in FP32."""
_HALF = LinearMode()
_SINGLE = LinearMode(activation="fp32", weight_bits=32, mma="fp32")


def router(trace: Trace, spec: MoeSpec, x: Tensor, tokens: Tensor) -> Tensor:
    """Routing weights of `tokens` (the slice of x this rank routes): shape tokens × experts_per_token, 16 bits."""
    if spec.router == "grouped_sigmoid":
        return _grouped_sigmoid(trace, spec, x, tokens)
    if spec.router_scales:  # a norm of the router's own, its weights the scale per channel
        tokens, _ = norm(trace, "router: norm", tokens)
    logits = Tensor(rows=tokens.rows, width=spec.num_experts)
    bias = spec.router_bias and spec.router == "topk_softmax"
    matmul(trace, "router logits", tokens, logits, _HALF, bias=bias)
    if spec.router == "topk_softmax":
        chosen = _top_k(trace, spec, logits)
        return _cast(trace, _softmax(trace, _cast(trace, chosen, "fp32")), "fp16")
    wide = _cast(trace, logits, "fp32")
    scores = _softmax(trace, wide) if spec.router == "softmax" else _same(trace, "router: sigmoid", "sigmoid", wide)
    return _normalised(trace, spec, _chosen_scores(trace, spec, scores))


def _chosen_scores(trace: Trace, spec: MoeSpec, scores: Tensor) -> Tensor:
    """Scores of the chosen experts. A correction bias decides the choice, not the weights: they are looked up."""
    if not spec.router_bias:
        return _top_k(trace, spec, scores)
    corrected = Tensor(rows=scores.rows, width=scores.width, dtype=scores.dtype)
    trace.emit("router: bias", "add", reads=(scores,), writes=(corrected,), weight_bytes=BIAS_BYTES * spec.num_experts)
    indices = Tensor(rows=scores.rows, width=spec.experts_per_token, dtype="int64")
    values = Tensor(rows=scores.rows, width=spec.experts_per_token, dtype=scores.dtype)
    trace.emit("router: top-k", "top_k", reads=(corrected,), writes=(values, indices))
    found = Tensor(rows=scores.rows, width=spec.experts_per_token, dtype=scores.dtype)
    return elementwise(trace, "router: look up weights", "gather", (scores, indices), found)


def _grouped_sigmoid(trace: Trace, spec: MoeSpec, x: Tensor, tokens: Tensor) -> Tensor:
    """DeepSeek-V3: logits of all tokens in FP32, then one fused gating kernel over this rank's slice."""
    wide = _cast(trace, x, "fp32")
    logits = Tensor(rows=x.rows, width=spec.num_experts, dtype="fp32")
    matmul(trace, "router logits", wide, logits, _SINGLE, stored_bits=16)
    if x is not tokens:
        pad_to_multiple(trace, "router: pad logits", logits, _slices(tokens))
    out = Tensor(rows=tokens.rows, width=spec.experts_per_token, dtype="fp32")
    indices = Tensor(rows=tokens.rows, width=spec.experts_per_token, dtype="int64")
    # The original's kernel does not read the correction bias; we hold it, a kilobyte.
    trace.emit("router: gating", "gating", reads=(logits.view(rows=tokens.rows),), writes=(out, indices),
               weight_bytes=BIAS_BYTES * spec.num_experts * spec.router_bias, weight_read_bytes=0.0)  # fmt: skip
    return _normalised(trace, spec, out)


def _slices(tokens: Tensor) -> int:
    return next((wanted.args[0] for wanted in tokens.rows.terms if wanted.kind == "sliced_tokens"), 1)


def _softmax(trace: Trace, x: Tensor) -> Tensor:
    largest = _column(trace, "router: softmax maximum", "max", x)
    shifted = _same(trace, "router: softmax shift", "subtract", x, largest)
    powers = _same(trace, "router: softmax exponential", "exponential", shifted)
    total = _column(trace, "router: softmax sum", "sum", powers)
    return _same(trace, "router: softmax divide", "divide", powers, total)


def _normalised(trace: Trace, spec: MoeSpec, weights: Tensor) -> Tensor:
    if spec.norm_topk:
        total = _column(trace, "router: sum of weights", "sum", weights)
        weights = _same(trace, "router: normalise weights", "divide", weights, total)
    if spec.router_scales:
        scaled = Tensor(rows=weights.rows, width=weights.width, dtype=weights.dtype)
        trace.emit("router: scale weights", "multiply", reads=(weights,), writes=(scaled,),
                   weight_bytes=2.0 * spec.num_experts)  # fmt: skip
        weights = scaled
    return _cast(trace, weights, "fp16")


def _top_k(trace: Trace, spec: MoeSpec, scores: Tensor) -> Tensor:
    values = Tensor(rows=scores.rows, width=spec.experts_per_token, dtype=scores.dtype)
    indices = Tensor(rows=scores.rows, width=spec.experts_per_token, dtype="int64")
    trace.emit("router: top-k", "top_k", reads=(scores,), writes=(values, indices))
    return values


def _cast(trace: Trace, x: Tensor, dtype: str) -> Tensor:
    return elementwise(trace, "router: convert", "convert", (x,), Tensor(rows=x.rows, width=x.width, dtype=dtype))


def _same(trace: Trace, name: str, kernel: str, x: Tensor, *others: Tensor) -> Tensor:
    return elementwise(trace, name, kernel, (x, *others), Tensor(rows=x.rows, width=x.width, dtype=x.dtype))


def _column(trace: Trace, name: str, kernel: str, x: Tensor) -> Tensor:
    return elementwise(trace, name, kernel, (x,), Tensor(rows=x.rows, width=1, dtype=x.dtype))
