"""A mixture of experts on one rank: router, dispatch, experts, combine, shared experts."""

from __future__ import annotations

from aggsim.forward.collectives import Group
from aggsim.forward.deployment import Deployment
from aggsim.forward.experts import Rows, routed_experts
from aggsim.forward.form import TOKENS, feature
from aggsim.forward.mlp import mlp
from aggsim.forward.pieces import elementwise, exchange, pad_to_multiple
from aggsim.forward.quantized import LinearMode, matmul, quantize
from aggsim.forward.router import router
from aggsim.forward.trace import Tensor, Trace
from aggsim.models.spec import MlpSpec, MoeSpec

PLAIN = LinearMode()


def mixture_of_experts(trace: Trace, spec: MoeSpec, x: Tensor, deployment: Deployment) -> Tensor:
    """Complete hidden states (no all-reduce left to do) of all the replica's tokens x."""
    layout, hidden = deployment.layout, deployment.hidden_size
    # With expert parallelism each tensor-parallel rank routes a slice of the tokens; without, the replicas gather all.
    slices = layout.tp if layout.ep > 1 and layout.dp != layout.ep else 1
    copies = layout.dp if layout.ep == 1 else 1
    grouped = "grouped_experts" in deployment.corrections
    rows = Rows(spec=spec, layout=layout, slices=slices, copies=copies, always_grouped=grouped)
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
        shared_input = quantize(trace, "shared experts: quantize input", tokens, deployment.linear)
    out = routed_experts(trace, spec, tokens, weights, rows, hidden, deployment.experts)
    if spec.shared_intermediate_size:
        shared = _shared_experts(trace, spec, tokens, shared_input, deployment)
        out = elementwise(trace, "add shared experts", "add", (out, shared), Tensor(rows=out.rows, width=hidden))
    if slices > 1:
        whole = Tensor(rows=tokens.rows * slices, width=hidden)
        out = exchange(trace, "gather expert output", "all_gather", out, whole, Group(size=slices))
    return out.view(rows=x.rows)


def _shared_experts(trace: Trace, spec: MoeSpec, tokens: Tensor, x: Tensor, deployment: Deployment) -> Tensor:
    """The always-on experts: whole on every rank."""
    experts = MlpSpec(intermediate_size=spec.shared_intermediate_size, gated=spec.gated)
    shared = mlp(trace, experts, x, deployment.hidden_size, deployment.linear, name="shared experts")
    if not spec.shared_gate:
        return shared
    gate = Tensor(rows=tokens.rows, width=1)
    matmul(trace, "shared experts: gate", tokens, gate, PLAIN)
    return elementwise(
        trace, "shared experts: gate", "multiply", (shared, gate), Tensor(rows=x.rows, width=shared.width)
    )
