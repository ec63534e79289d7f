"""One decoder layer of any family: mixer, feed-forward parts, and the norms and sums between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aggsim.forward.attention import grouped_query_attention
from aggsim.forward.deployment import Deployment
from aggsim.forward.form import TOKENS
from aggsim.forward.latent import latent_attention
from aggsim.forward.mlp import mlp
from aggsim.forward.moe import mixture_of_experts
from aggsim.forward.pieces import all_reduce, elementwise
from aggsim.forward.quantized import norm
from aggsim.forward.recurrent import gated_delta, mamba
from aggsim.forward.trace import Tensor, Trace
from aggsim.models.spec import AttentionSpec, FeedForward, GatedDeltaSpec, LayerSpec, MambaSpec, MlaSpec, MlpSpec

MIXERS: dict[type, Callable[[Trace, Any, Tensor, Deployment], Tensor]] = {
    AttentionSpec: grouped_query_attention,
    MlaSpec: latent_attention,
    GatedDeltaSpec: gated_delta,
    MambaSpec: mamba,
}
"""Spec → the function that describes it, from the hidden states to the rank's share of the output, norm included."""

PRE_NORMS, SANDWICHED_NORMS = 2, 4


def decoder_layer(trace: Trace, layer: LayerSpec, deployment: Deployment, x: Tensor | None = None) -> Tensor:
    """norm, mixer, all-reduce, add and norm, feed-forward, all-reduce, add; returns the new hidden states.

    With four norms there is one after each of the two blocks as well (gemma). More of them belong to feed-forward
    parts side by side: one after each part, and one before each but the first (gemma-4).
    """
    hidden, tp = deployment.hidden_size, deployment.tp
    x = Tensor(rows=TOKENS, width=hidden) if x is None else x
    sandwiched, parts = layer.num_norms >= SANDWICHED_NORMS, layer.feed_forward_parts
    mixed = None
    if layer.mixer is not None:
        mixed = all_reduce(
            trace, "attention all-reduce", MIXERS[type(layer.mixer)](trace, layer.mixer, x, deployment), tp
        )
        if sandwiched:
            mixed, _ = norm(trace, "attention output norm", mixed)
    if parts:
        # A norm quantizes for the matmuls behind it, but a router wants 16 bits.
        own_norms = layer.num_norms > SANDWICHED_NORMS
        mode = deployment.linear if isinstance(parts[0], MlpSpec) and (own_norms or len(parts) == 1) else None
        normed, total = norm(trace, "feed-forward norm", x if mixed is None else mixed, mode,
                             residual=None if mixed is None else x, fuses=deployment.fuses_norms)  # fmt: skip
        x = x if total is None else total
        mixed = _side_by_side(trace, parts, normed, x, deployment, own_norms=own_norms)
        if sandwiched:
            mixed, _ = norm(trace, "feed-forward output norm", mixed)
    if mixed is None:
        return x
    return elementwise(trace, "residual add", "add", (x, mixed), Tensor(rows=x.rows, width=hidden))


def _side_by_side(
    trace: Trace, parts: tuple[FeedForward, ...], normed: Tensor, x: Tensor, deployment: Deployment, *, own_norms: bool
) -> Tensor:
    """The sum of the parts' outputs."""
    total: Tensor | None = None
    for i, part in enumerate(parts):
        if own_norms and i:
            normed, _ = norm(trace, "experts norm", x)
        out = _feed_forward(trace, part, normed, deployment)
        if own_norms:
            out, _ = norm(trace, "feed-forward part norm", out)
        if total is not None:
            out = elementwise(trace, "add feed-forward parts", "add", (total, out), Tensor(rows=x.rows, width=x.width))
        total = out
    return x if total is None else total


def _feed_forward(trace: Trace, part: FeedForward, x: Tensor, deployment: Deployment) -> Tensor:
    if isinstance(part, MlpSpec):
        out = mlp(trace, part, x, deployment.hidden_size, deployment.linear, tp=deployment.tp)
        return all_reduce(trace, "MLP all-reduce", out, deployment.tp)
    return mixture_of_experts(trace, part, x, deployment)
