"""A whole model on one rank of a layout: every operator of a forward pass, and what fills the memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from aggsim.forward.attention import (
    AttentionContext,
    grouped_query_attention,
    latent_attention,
    local_kv_heads,
)
from aggsim.forward.form import TOKENS, Form, kv_blocks
from aggsim.forward.mlp import mlp
from aggsim.forward.moe import MoeContext, mixture_of_experts
from aggsim.forward.mtp import draft_tokens, head
from aggsim.forward.pieces import all_reduce, elementwise
from aggsim.forward.quantized import LINEAR, LinearMode, norm
from aggsim.forward.trace import DTYPE_BYTES, Operator, Tensor, Trace
from aggsim.models.spec import AttentionSpec, LayerSpec, MlaSpec, MlpSpec, ModelSpec
from aggsim.scenario import ParallelLayout, Quantization

KV_BLOCK_TOKENS = 128
"""Tokens of one KV-cache block; every request's context is kept in whole blocks."""
FUSED_NORM_EPS = 1e-6
HALF_BYTES = DTYPE_BYTES["fp16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One pipeline stage of one rank."""

    operators: tuple[Operator, ...]
    calls: tuple[int, ...]
    """How many blocks of the stage run each operator."""
    live_bytes: tuple[Form, ...]
    """Activations alive at each of the stage's operators: the peak is the largest of them."""
    kv_bytes: Form
    """KV cache of the replica's requests on this rank, one spare block included."""

    @property
    def weight_bytes(self) -> float:
        return sum(operator.weight_bytes * n for operator, n in zip(self.operators, self.calls, strict=True))

    @property
    def resident_bytes(self) -> float:
        """Working copies of weights: always there, beside the live activations."""
        return sum(operator.resident_bytes * n for operator, n in zip(self.operators, self.calls, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Model, layout and quantization together: what the layers need to know."""

    model: ModelSpec
    layout: ParallelLayout
    quantization: Quantization
    num_mtp_tokens: int = 0

    @property
    def mtp_layer(self) -> LayerSpec:
        """The draft layer: the model's own, else one of its last layer's kind."""
        return self.model.mtp_layer or self.model.layers[-1]

    @property
    def fuses_norms(self) -> bool:
        """The original fuses norm and quantization for an epsilon of 1e-6 only: other models run two kernels."""
        return self.model.rms_norm_eps == FUSED_NORM_EPS

    @property
    def linear(self) -> LinearMode:
        return LINEAR[self.quantization.linear]

    @property
    def attention(self) -> AttentionContext:
        return AttentionContext(
            hidden_size=self.model.hidden_size,
            tp=self.layout.tp,
            mode=self.linear,
            cache=self.quantization.attention,
        )

    @property
    def moe(self) -> MoeContext:
        return MoeContext(
            hidden_size=self.model.hidden_size,
            layout=self.layout,
            linear=self.linear,
            experts=LINEAR[self.quantization.experts],
        )


def build_stages(deployment: Deployment) -> tuple[Stage, ...]:
    """The pipeline stages in order; layers are cut evenly, the remainder to the middle stages, as in the original."""
    counts = layers_per_stage(deployment.model.num_layers, deployment.layout.pp)
    stages, first = [], 0
    for index, count in enumerate(counts):
        layers = deployment.model.layers[first : first + count]
        stages.append(_stage(deployment, layers, first=index == 0, last=index == len(counts) - 1))
        first += count
    return tuple(stages)


def layers_per_stage(num_layers: int, pp: int) -> tuple[int, ...]:
    """How many layers each of pp stages holds: the remainder goes to the stages before the last, from the back."""
    counts = [num_layers // pp] * pp
    for offset in range(2, num_layers % pp + 2):
        counts[-offset] += 1
    return tuple(counts)


def _stage(deployment: Deployment, layers: tuple[LayerSpec, ...], *, first: bool, last: bool) -> Stage:
    blocks: list[tuple[Trace, int]] = []
    kv_bytes = Form()
    if first:
        blocks.append((_embedding(deployment), 1))
    for layer, count in Counter(layers).items():
        trace = Trace()
        decoder_layer(trace, layer, deployment)
        blocks.append((trace, count))
        kv_bytes = kv_bytes + kv_cache_bytes(layer, deployment) * count
    if last:
        blocks.append((_head(deployment), 1))
        if deployment.num_mtp_tokens:
            blocks.append((_drafts(deployment), 1))
            kv_bytes = kv_bytes + kv_cache_bytes(deployment.mtp_layer, deployment) * deployment.num_mtp_tokens
    return Stage(
        operators=tuple(operator for trace, _ in blocks for operator in trace.operators),
        calls=tuple(count for trace, count in blocks for _ in trace.operators),
        live_bytes=tuple(form for trace, _ in blocks for form in trace.live_bytes()),
        kv_bytes=kv_bytes,
    )


def _embedding(deployment: Deployment) -> Trace:
    trace, model = Trace(), deployment.model
    out = Tensor(rows=TOKENS, width=model.hidden_size)
    ids = Tensor(rows=TOKENS, width=1, dtype="int64")
    table = HALF_BYTES * model.vocab_size * model.hidden_size
    trace.emit(
        "word embedding", "embedding", reads=(ids, out.view()), writes=(out,), weight_bytes=table, weight_read_bytes=0.0
    )
    width = rope_width(model)
    for name in ("rotary cosines", "rotary sines") if width else ():
        # The original reads the whole table once a pass.
        table = HALF_BYTES * model.max_position_embeddings * width
        trace.emit(name, "table_lookup", reads=(ids,), writes=(Tensor(rows=TOKENS, width=width),), weight_bytes=table)
    return trace


def rope_width(model: ModelSpec) -> int:
    """Width of the rotary tables: the rope dimension of the first attention layer, 0 when there is none."""
    for layer in model.layers:
        if isinstance(layer.mixer, AttentionSpec):
            return layer.mixer.head_dim
        if isinstance(layer.mixer, MlaSpec):
            return layer.mixer.qk_rope_head_dim
    return 0


def decoder_layer(trace: Trace, layer: LayerSpec, deployment: Deployment, x: Tensor | None = None) -> Tensor:
    """norm, attention, all-reduce, add and norm, feed-forward, all-reduce, add; returns the new hidden states."""
    hidden, tp = deployment.model.hidden_size, deployment.layout.tp
    x = Tensor(rows=TOKENS, width=hidden) if x is None else x
    mixed = None if layer.mixer is None else _mixer(trace, layer, x, deployment)
    for part in layer.feed_forward_parts:
        mode = deployment.linear if isinstance(part, MlpSpec) else None
        normed, total = norm(trace, "feed-forward norm", x if mixed is None else mixed, mode,
                             residual=None if mixed is None else x, fuses=deployment.fuses_norms)  # fmt: skip
        x = x if total is None else total
        if isinstance(part, MlpSpec):
            mixed = all_reduce(trace, "MLP all-reduce", mlp(trace, part, normed, hidden, deployment.linear, tp=tp), tp)
        else:
            mixed = mixture_of_experts(trace, part, normed, deployment.moe)
    if mixed is None:
        return x
    return elementwise(trace, "residual add", "add", (x, mixed), Tensor(rows=x.rows, width=hidden))


def _mixer(trace: Trace, layer: LayerSpec, x: Tensor, deployment: Deployment) -> Tensor:
    context, mixer = deployment.attention, layer.mixer
    if isinstance(mixer, AttentionSpec):
        normed, _ = norm(trace, "attention norm", x, deployment.linear, fuses=deployment.fuses_norms)
        out = grouped_query_attention(trace, mixer, normed, context)
    elif isinstance(mixer, MlaSpec):
        normed, _ = norm(trace, "attention norm", x)
        out = latent_attention(trace, mixer, normed, context)
    else:
        raise NotImplementedError(type(mixer).__name__)
    return all_reduce(trace, "attention all-reduce", out, context.tp)


def kv_cache_bytes(layer: LayerSpec, deployment: Deployment) -> Form:
    """KV cache of one layer on one rank: whole blocks of every request, and one spare."""
    mixer = layer.mixer
    element = DTYPE_BYTES[deployment.attention.cache_dtype]
    if isinstance(mixer, AttentionSpec):
        width = local_kv_heads(mixer.num_kv_heads, deployment.layout.tp) * (mixer.head_dim + mixer.v_head_dim)
        blocks = kv_blocks(KV_BLOCK_TOKENS, mixer.window_tokens or 0)
        return (blocks + 1.0) * (KV_BLOCK_TOKENS * width * element)
    if isinstance(mixer, MlaSpec):
        width = mixer.kv_lora_rank + mixer.qk_rope_head_dim
        return (kv_blocks(KV_BLOCK_TOKENS) + 1.0) * (KV_BLOCK_TOKENS * width * element)
    return Form()


def _head(deployment: Deployment) -> Trace:
    """Final norm and logits."""
    trace, model = Trace(), deployment.model
    normed, _ = norm(trace, "final norm", Tensor(rows=TOKENS, width=model.hidden_size))
    stored = 0.0 if model.tie_word_embeddings else 1.0
    drafts = deployment.num_mtp_tokens > 0
    head(trace, normed, model.vocab_size, deployment.layout.tp, stored=stored, drafts=drafts)
    return trace


def _drafts(deployment: Deployment) -> Trace:
    """Draft tokens of multi-token prediction."""
    trace, model = Trace(), deployment.model
    draft_tokens(
        trace,
        lambda inner, x: decoder_layer(inner, deployment.mtp_layer, deployment, x),
        count=deployment.num_mtp_tokens,
        hidden_size=model.hidden_size,
        vocab_size=model.vocab_size,
        rope_width=rope_width(model),
        mode=deployment.linear,
        tp=deployment.layout.tp,
    )
    return trace


__all__ = ["Deployment", "Stage", "build_stages", "layers_per_stage"]
