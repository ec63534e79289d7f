"""A mixture of experts on one rank: router, dispatch, experts, combine, shared experts."""

from __future__ import annotations

from dataclasses import dataclass

from aggsim.forward.collectives import Group
from aggsim.forward.experts import Rows, routed_experts
from aggsim.forward.form import TOKENS, feature
from aggsim.forward.mlp import mlp
from aggsim.forward.pieces import elementwise, exchange, pad_to_multiple
from aggsim.forward.quantized import LinearMode, matmul, quantize
from aggsim.forward.router import router
from aggsim.forward.trace import Tensor, Trace
from aggsim.models.spec import MlpSpec, MoeSpec
from aggsim.scenario import ParallelLayout

PLAIN = LinearMode()


@dataclass(frozen=True, slots=True, kw_only=True)
class MoeContext:
    """What a mixture of experts needs to know besides its own spec."""

    hidden_size: int
    layout: ParallelLayout
    linear: LinearMode
    """Of the shared experts."""
    experts: LinearMode
    """Of the routed experts."""


def mixture_of_experts(trace: Trace, spec: MoeSpec, x: Tensor, context: MoeContext) -> Tensor:
    """Complete hidden states (no all-reduce left to do) of all the replica's tokens x."""
    layout, hidden = context.layout, context.hidden_size
    # With expert parallelism each tensor-parallel rank routes a slice of the tokens; without, the replicas gather all.
    slices = layout.tp if layout.ep > 1 and layout.dp != layout.ep else 1
    copies = layout.dp if layout.ep == 1 else 1
    rows = Rows(spec=spec, layout=layout, slices=slices, copies=copies)
    tokens = x
    if slices > 1:
        pad_to_multiple(trace, "pad tokens", x, slices)
        tokens = x.view(rows=feature("sliced_tokens", slices))
    elif copies > 1:
        gathered = Tensor(rows=TOKENS * copies, width=hidden)
        tokens = exchange(trace, "gather tokens", "all_gather", x, gathered, Group(size=copies, stride=layout.tp))
    weights = router(trace, spec, x if slices > 1 else tokens, tokens)
    shared_input = tokens
    if spec.shared_intermediate_size:
        shared_input = quantize(trace, "shared experts: quantize input", tokens, context.linear)
    out = routed_experts(trace, spec, tokens, weights, rows, hidden, context.experts)
    if spec.shared_intermediate_size:
        shared = _shared_experts(trace, spec, tokens, shared_input, context)
        out = elementwise(trace, "add shared experts", "add", (out, shared), Tensor(rows=out.rows, width=hidden))
    if slices > 1:
        whole = Tensor(rows=tokens.rows * slices, width=hidden)
        out = exchange(trace, "gather expert output", "all_gather", out, whole, Group(size=slices))
    return out.view(rows=x.rows)


def _shared_experts(trace: Trace, spec: MoeSpec, tokens: Tensor, x: Tensor, context: MoeContext) -> Tensor:
    """The always-on experts: whole on every rank."""
    width = spec.shared_intermediate_size
    shared = mlp(trace, MlpSpec(intermediate_size=width, gated=spec.gated), x, context.hidden_size, context.linear,
                 name="shared experts")  # fmt: skip
    if not spec.shared_gate:
        return shared
    gate = Tensor(rows=tokens.rows, width=1)
    matmul(trace, "shared experts: gate", tokens, gate, PLAIN)
    return elementwise(
        trace, "shared experts: gate", "multiply", (shared, gate), Tensor(rows=x.rows, width=shared.width)
    )
