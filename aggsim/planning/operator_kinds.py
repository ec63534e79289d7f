"""Engines name operators each in their own way; this is the one mapping to kinds that they can be compared by.

An engine's operator is put where another engine has the same work inside one of its own: rotary positions and the
write to the KV cache count as attention, choosing, sorting and weighting tokens for experts counts as routed experts,
since measured tables time them together. A composite operator goes where most of its work belongs.
"""

from __future__ import annotations

from aggsim.forward.cost import ForwardCost, OpCost

__all__ = ["KINDS", "KIND_OF_KERNEL", "KIND_OF_NAME", "kind_of", "operators_by_kind", "seconds_by_kind"]

ATTENTION = "attention"
MATMUL = "matmul"
EXPERTS = "routed experts"
COMMUNICATION = "communication"
ELEMENTWISE = "norm, elementwise"
EMBEDDING = "embedding, logits"
OTHER = "other"

KINDS: dict[str, str] = {
    ATTENTION: "Softmax, latent, sparse and linear attention, state-space scans; rotary positions, KV cache writes",
    MATMUL: "Matrix products outside the experts: projections, MLPs, shared experts, the router's scores",
    EXPERTS: "Matrix products of the routed experts; choosing experts, sorting and weighting tokens on one device",
    COMMUNICATION: "Collectives between devices and sends between pipeline stages",
    ELEMENTWISE: "Norms, activations, residual additions, quantizing activations",
    EMBEDDING: "Word embedding, choosing rows, the projection to the vocabulary",
    OTHER: "What the mapping does not know, and laws that know no operators",
}
"""Kind → what counts as it."""

KIND_OF_NAME: tuple[tuple[str, str], ...] = (
    ("vocabulary projection", EMBEDDING),
    ("logits gemm", EMBEDDING),
    ("router logits", MATMUL),
    ("router: normalise", EXPERTS),
    ("router: norm", ELEMENTWISE),
    ("router:", EXPERTS),
    ("dispatch:", EXPERTS),
    ("combine:", EXPERTS),
    ("experts:", EXPERTS),
    ("rotary", ATTENTION),
)
"""What a name begins with → kind, the first that fits; collectives are told by their kernel before that."""

KIND_OF_KERNEL: dict[str, str] = {
    **dict.fromkeys(("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send", "collective",
                     "moe_dispatch"), COMMUNICATION),
    **dict.fromkeys(("attention", "attention_quant", "rope", "cache_write", "latent_preprocess",
                     "latent_preprocess_quant", "latent_cache_write", "latent_attention", "latent_attention_quant",
                     "sparse_latent_attention", "sparse_latent_attention_quant", "sparse_attention", "indexer",
                     "causal_conv", "causal_conv_update", "delta_gates", "delta_rule_chunked", "delta_rule_recurrent",
                     "linear_attention", "mamba_scan_chunked", "mamba_state_update", "state_space",
                     "batched_matmul", "cosine", "sine"), ATTENTION),
    **dict.fromkeys(("matmul", "quant_linear", "quant_linear_int4", "fp8_linear", "mxfp4_linear",
                     "weight_only_linear"), MATMUL),
    **dict.fromkeys(("gating", "permute", "unpermute", "max", "subtract", "exponential", "sigmoid", "gather", "sum",
                     "divide", "top_k", "concatenate", "concatenate_grouped"), EXPERTS),
    **dict.fromkeys(("rms_norm", "add_rms_norm", "rms_norm_quant_dynamic", "add_rms_norm_quant_dynamic",
                     "rms_norm_quant_static", "add_rms_norm_quant_static", "rms_norm_quant_mxfp4",
                     "add_rms_norm_quant_mxfp4", "gated_rms_norm", "sum_of_squares", "quantize_dynamic",
                     "quantize_static", "quantize_mxfp4", "swiglu", "activation", "gate_multiply", "add", "multiply",
                     "convert", "pad", "copy", "clone", "elementwise", "hyper_connection"), ELEMENTWISE),
    **dict.fromkeys(("embedding", "table_lookup", "select_rows", "argmax", "transfer_ids", "scatter", "shift_ids"),
                    EMBEDDING),
}  # fmt: skip
"""OpCost.kernel → kind; kernels of grouped matrix products all begin with "grouped_" and are experts."""


def kind_of(op: OpCost) -> str:
    """A key of KINDS."""
    by_kernel = KIND_OF_KERNEL.get(op.kernel)
    if by_kernel == COMMUNICATION:
        return COMMUNICATION
    if op.kernel.startswith("grouped_"):
        return EXPERTS
    for beginning, kind in KIND_OF_NAME:
        if op.name.startswith(beginning):
            return kind
    return by_kernel or OTHER


def seconds_by_kind(cost: ForwardCost) -> dict[str, float]:
    """Seconds of a pass by kind, in the order of KINDS; kinds that the pass does not have are missing."""
    spent: dict[str, float] = {}
    for op in cost.ops:
        spent[kind_of(op)] = spent.get(kind_of(op), 0.0) + op.total_s
    return {kind: spent[kind] for kind in KINDS if kind in spent}


def operators_by_kind(cost: ForwardCost) -> dict[str, tuple[str, ...]]:
    """The names of a pass's operators by kind, longest first."""
    spent: dict[tuple[str, str], float] = {}
    for op in cost.ops:
        spent[kind_of(op), op.name] = spent.get((kind_of(op), op.name), 0.0) + op.total_s
    ranked = sorted(spent, key=lambda key: (-spent[key], key))
    return {kind: names for kind in KINDS if (names := tuple(name for k, name in ranked if k == kind))}
