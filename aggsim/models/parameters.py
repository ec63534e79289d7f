"""How many numbers a model holds, counted from its ModelSpec alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from aggsim.models.spec import (
    AttentionSpec,
    FeedForward,
    GatedDeltaSpec,
    LayerSpec,
    MambaSpec,
    Mixer,
    MlaSpec,
    MlpSpec,
    ModelSpec,
    MoeSpec,
)

__all__ = ["ParameterCount", "count_parameters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterCount:
    """Parameters of a whole model, in numbers, before any sharding."""

    embedding: int
    """The table of input embeddings."""
    head: int
    """The output matrix, 0 where it is the embedding table."""
    dense: int
    """What every token passes: mixers, dense blocks, shared experts, routers, norms, biases."""
    experts: int
    """All routed experts."""
    active_experts: int
    """The routed experts one token passes."""
    mtp: int = 0
    """All multi-token-prediction layers, not part of the total; they share embedding and head with the model."""

    @property
    def total(self) -> int:
        """Without MTP layers."""
        return self.embedding + self.head + self.dense + self.experts

    @property
    def active(self) -> int:
        """Of one token: the total with only the chosen experts."""
        return self.embedding + self.head + self.dense + self.active_experts

    @property
    def non_embedding(self) -> int:
        """The total without embedding table and head."""
        return self.dense + self.experts


def count_parameters(spec: ModelSpec) -> ParameterCount:
    """Every weight, bias and norm that the spec implies."""
    hidden = spec.hidden_size
    dense, experts, active_experts = hidden, 0, 0  # the final norm
    for layer, times in Counter(spec.layers).items():
        dense += times * _dense(layer, hidden)
        experts += times * _experts(layer, hidden, chosen=False)
        active_experts += times * _experts(layer, hidden, chosen=True)
    mtp = 0
    if spec.mtp_layer is not None:
        joining = 2 * hidden * hidden + 3 * hidden  # embedding and hidden state, a norm of each and one at the end
        mtp = _dense(spec.mtp_layer, hidden) + _experts(spec.mtp_layer, hidden, chosen=False) + joining
    table = spec.vocab_size * hidden
    return ParameterCount(
        embedding=table,
        head=0 if spec.tie_word_embeddings else table,
        dense=dense,
        experts=experts,
        active_experts=active_experts,
        mtp=mtp * spec.num_mtp_layers,
    )


def _dense(layer: LayerSpec, hidden: int) -> int:
    parts = sum(_beside_experts(part, hidden) for part in layer.feed_forward_parts)
    return _mixer(layer.mixer, hidden) + parts + layer.num_norms * hidden


def _experts(layer: LayerSpec, hidden: int, *, chosen: bool) -> int:
    moes = (part for part in layer.feed_forward_parts if isinstance(part, MoeSpec))
    return sum(
        (moe.experts_per_token if chosen else moe.num_experts)
        * _block(hidden, moe.expert_intermediate_size, gated=moe.gated, bias=moe.bias)
        for moe in moes
    )


def _beside_experts(part: FeedForward, hidden: int) -> int:
    if isinstance(part, MlpSpec):
        return _block(hidden, part.intermediate_size, gated=part.gated, bias=part.bias)
    router = hidden * part.num_experts + (part.num_experts if part.router_bias else 0)
    scales = hidden + part.num_experts if part.router_scales else 0
    shared = _block(hidden, part.shared_intermediate_size, gated=part.gated, bias=False)
    return router + scales + shared + (hidden if part.shared_gate else 0)


def _block(hidden: int, width: int, *, gated: bool, bias: bool) -> int:
    ups = 2 if gated else 1
    return (ups + 1) * hidden * width + (ups * width + hidden if bias else 0)


def _mixer(mixer: Mixer | None, hidden: int) -> int:
    match mixer:
        case AttentionSpec():
            return _attention(mixer, hidden)
        case MlaSpec():
            return _latent_attention(mixer, hidden)
        case GatedDeltaSpec():
            return _gated_delta(mixer, hidden)
        case MambaSpec():
            return _mamba(mixer, hidden)
        case None:
            return 0


def _attention(a: AttentionSpec, hidden: int) -> int:
    queries, keys = a.num_heads * a.head_dim, a.num_kv_heads * a.head_dim
    values = 0 if a.kv_shared else a.num_kv_heads * a.v_head_dim
    into = queries * (2 if a.output_gate else 1) + keys + values
    norms = 0
    if a.qk_norm and a.qk_norm_learned:
        norms = 2 * a.head_dim if a.qk_norm_scope == "head" else queries + keys
    biases = (into if a.qkv_bias else 0) + (hidden if a.out_bias else 0)
    return hidden * (into + a.num_heads * a.v_head_dim) + norms + biases + (a.num_heads if a.sinks else 0)


def _latent_attention(m: MlaSpec, hidden: int) -> int:
    queries = m.num_heads * (m.qk_nope_head_dim + m.qk_rope_head_dim)
    query = m.q_lora_rank * (hidden + 1 + queries) if m.q_lora_rank else hidden * queries  # down, norm, up
    down = m.kv_lora_rank + m.qk_rope_head_dim
    latent = hidden * down + m.kv_lora_rank * (1 + m.num_heads * (m.qk_nope_head_dim + m.v_head_dim))
    biases = (m.q_lora_rank or 0) + down + hidden if m.bias else 0
    out = m.num_heads * m.v_head_dim * hidden
    indexer = 0
    if m.indexer is not None:
        heads, dim = m.indexer.num_heads, m.indexer.head_dim
        # queries from the latent, one key and the head weights from the input, a layer norm on the key
        indexer = (m.q_lora_rank or hidden) * heads * dim + hidden * (dim + heads) + 2 * dim
    return query + latent + out + biases + indexer


def _gated_delta(g: GatedDeltaSpec, hidden: int) -> int:
    keys, values = g.num_k_heads * g.head_k_dim, g.num_v_heads * g.head_v_dim
    into = 2 * keys + 2 * values + 2 * g.num_v_heads  # q, k, v, output gate; decay and write strength per head
    conv = (2 * keys + values) * g.conv_kernel
    return hidden * (into + values) + conv + 2 * g.num_v_heads + g.head_v_dim  # decay base and step bias; the norm


def _mamba(m: MambaSpec, hidden: int) -> int:
    inner, state = m.num_heads * m.head_dim, 2 * m.num_groups * m.state_size
    into = 2 * inner + state + m.num_heads  # gate, convolved part, step size per head
    conv = (inner + state) * (m.conv_kernel + (1 if m.conv_bias else 0))
    biases = into + hidden if m.proj_bias else 0
    return hidden * (into + inner) + conv + biases + 3 * m.num_heads + inner  # decay, skip, step bias; the norm
