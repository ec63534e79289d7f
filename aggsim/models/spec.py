"""What an LLM is made of, as far as its cost is concerned. Sizes of the whole model, before any sharding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexerSpec:
    """DSA's lightning indexer (DeepSeek-V3.2, GLM-5): picks topk_tokens of the context per query token."""

    num_heads: int
    head_dim: int
    topk_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionSpec:
    """Softmax attention with grouped KV heads (MHA, MQA and GQA are the same formula)."""

    num_heads: int
    num_kv_heads: int
    head_dim: int
    v_head_dim: int
    qk_norm: bool = False
    """RMS norm over each query and key head (Qwen3)."""
    qk_norm_scope: Literal["head", "layer"] = "head"
    """layer: one norm over all heads together, num_heads · head_dim wide (MiniMax-M2)."""
    qk_norm_learned: bool = True
    """False: the norm has no weights (Llama-4)."""
    v_norm: bool = False
    """RMS norm without weights over each value head (gemma-4)."""
    rotary: bool = True
    """False: no rotary positions (NoPE layers of Llama-4, Nemotron-3)."""
    qkv_bias: bool = False
    out_bias: bool = False
    window_tokens: int | None = None
    """Sliding window: a query sees at most this many tokens; None: the whole context."""
    chunk_tokens: int | None = None
    """Chunked attention (Llama-4): a query sees the tokens of its own chunk."""
    sinks: bool = False
    """One learned sink logit per head (gpt-oss, MiMo-V2-Flash)."""
    output_gate: bool = False
    """Query projection twice as wide, second half gates the output (Qwen3.5)."""
    kv_shared: bool = False
    """Values are the keys' projection (gemma-4 global layers): no v projection weights. The cache still holds both,
    since keys are normed and rotated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MlaSpec:
    """Multi-head latent attention (DeepSeek-V3 and heirs); indexer is set for DSA."""

    num_heads: int
    q_lora_rank: int | None
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    bias: bool = False
    """On the down projections of q and kv and on the output projection."""
    indexer: IndexerSpec | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatedDeltaSpec:
    """Gated delta-rule linear attention (Qwen3.5): constant state instead of a KV cache."""

    num_k_heads: int
    num_v_heads: int
    head_k_dim: int
    head_v_dim: int
    conv_kernel: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MambaSpec:
    """Mamba-2 mixer (Nemotron-3)."""

    num_heads: int
    head_dim: int
    state_size: int
    num_groups: int
    conv_kernel: int
    chunk_size: int
    proj_bias: bool = False
    """On the input and output projections."""
    conv_bias: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MlpSpec:
    """A dense feed-forward block; gated: gate, up and down, else up and down."""

    intermediate_size: int
    gated: bool = True
    bias: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MoeSpec:
    """Routed experts plus always-on shared experts."""

    num_experts: int
    experts_per_token: int
    expert_intermediate_size: int
    gated: bool = True
    bias: bool = False
    shared_intermediate_size: int = 0
    """Total width of the shared experts, 0: none."""
    shared_gate: bool = False
    """A learned scalar gate on the shared expert (Qwen2-MoE, Qwen3.5)."""
    router: Literal["softmax", "sigmoid", "grouped_sigmoid", "topk_softmax"] = "softmax"
    """softmax: Qwen3-MoE; sigmoid: MiniMax, Llama-4; grouped_sigmoid: DeepSeek-V3; topk_softmax: top-k first
    (gpt-oss, Mixtral)."""
    router_bias: bool = False
    """One number per expert: a bias of the router (gpt-oss) or a correction of the choice (DeepSeek-V3)."""
    router_scales: bool = False
    """A learned scale per input channel of the router and per expert (gemma-4)."""
    norm_topk: bool = True
    """The chosen weights are renormalised to sum 1."""


Mixer = AttentionSpec | MlaSpec | GatedDeltaSpec | MambaSpec
FeedForward = MlpSpec | MoeSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSpec:
    """One decoder layer; either part may be missing (Nemotron-3 layers hold one of them)."""

    mixer: Mixer | None
    feed_forward: FeedForward | tuple[FeedForward, ...] | None
    """A tuple runs its parts side by side on the same input (gemma-4: dense MLP beside experts)."""
    num_norms: int = 2
    """RMS norms over the hidden size in this layer (gemma: 4)."""

    @property
    def feed_forward_parts(self) -> tuple[FeedForward, ...]:
        """The feed-forward parts as a tuple, empty when there is none."""
        if self.feed_forward is None:
            return ()
        return self.feed_forward if isinstance(self.feed_forward, tuple) else (self.feed_forward,)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointQuantization:
    """What the checkpoint's own quantization_config says, in our labels."""

    linear: str
    experts: str
    attention: str = "none"
    source: str = ""
    """For the screen: e.g. "quantization_config: fp8, block 128x128"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A decoder-only language model. Source: its Hugging Face config.json."""

    model_id: str
    architecture: str
    hidden_size: int
    vocab_size: int
    layers: tuple[LayerSpec, ...]
    """In order, one entry a layer (entries repeat as the same object: count them with a dict)."""
    tie_word_embeddings: bool
    max_position_embeddings: int
    dtype_bytes: int = 2
    rms_norm_eps: float = 1e-6
    """Costs nothing by itself, but the original fuses norm and quantization for 1e-6 only."""
    quantization: CheckpointQuantization | None = None
    num_mtp_layers: int = 0
    mtp_layer: LayerSpec | None = None
    """One multi-token-prediction layer (plus its 2·hidden → hidden projection and norms), None: the model has none."""
    warnings: tuple[str, ...] = ()
    """What the parser left out, one sentence each, shown with every answer."""
    unread_fields: tuple[str, ...] = ()
    """Fields of config.json that the parser does not know, sorted; also named in the warnings."""
    source: str = ""

    @property
    def num_layers(self) -> int:
        return len(self.layers)

    @property
    def is_moe(self) -> bool:
        return any(isinstance(part, MoeSpec) for layer in self.layers for part in layer.feed_forward_parts)
