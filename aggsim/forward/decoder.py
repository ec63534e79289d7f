"""A whole model on one rank of a layout: every operator of a forward pass, and what fills the memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from aggsim.forward.cache import cache_bytes
from aggsim.forward.collectives import Collective, Group
from aggsim.forward.deployment import Deployment
from aggsim.forward.form import TOKENS, Form
from aggsim.forward.layer import decoder_layer
from aggsim.forward.mtp import draft_tokens, head, rotary_tables
from aggsim.forward.quantized import norm
from aggsim.forward.trace import DTYPE_BYTES, Operator, Tensor, Trace
from aggsim.models.spec import AttentionSpec, LayerSpec, MlaSpec, ModelSpec

HALF_BYTES = DTYPE_BYTES["fp16"]
MAX_TABLE_POSITIONS = 2**18
"""Rotary tables are stored for models of up to this many positions; beyond, a pass makes its rows (Llama-4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One pipeline stage of one rank."""

    operators: tuple[Operator, ...]
    calls: tuple[int, ...]
    """How many blocks of the stage run each operator."""
    live_bytes: tuple[Form, ...]
    """Activations alive at each of the stage's operators: the peak is the largest of them."""
    kv_bytes: Form
    """KV cache and states of the replica's requests on this rank."""

    @property
    def weight_bytes(self) -> float:
        return sum(operator.weight_bytes * n for operator, n in zip(self.operators, self.calls, strict=True))

    @property
    def resident_bytes(self) -> float:
        """Working copies of weights: always there, beside the live activations."""
        return sum(operator.resident_bytes * n for operator, n in zip(self.operators, self.calls, strict=True))


def build_stages(deployment: Deployment) -> tuple[Stage, ...]:
    """The pipeline stages in order; layers are cut evenly, the remainder to the middle stages, as in the original."""
    counts = layers_per_stage(deployment.model.num_layers, deployment.layout.pp)
    stages, first = [], 0
    for index, count in enumerate(counts):
        layers = deployment.model.layers[first : first + count]
        stages.append(_stage(deployment, layers, index))
        first += count
    return tuple(stages)


def layers_per_stage(num_layers: int, pp: int) -> tuple[int, ...]:
    """How many layers each of pp stages holds: the remainder goes to the stages before the last, from the back."""
    counts = [num_layers // pp] * pp
    for offset in range(2, num_layers % pp + 2):
        counts[-offset] += 1
    return tuple(counts)


def _stage(deployment: Deployment, layers: tuple[LayerSpec, ...], index: int) -> Stage:
    blocks: list[tuple[Trace, int]] = []
    kv_bytes = Form()
    is_last = index == deployment.layout.pp - 1
    blocks.append((_inputs(deployment, embeds=index == 0), 1))
    for layer, count in _distinct(layers):
        trace = Trace()
        decoder_layer(trace, layer, deployment)
        blocks.append((trace, count))
        kv_bytes = kv_bytes + cache_bytes(layer.mixer, deployment) * count
    if is_last:
        blocks.append((_head(deployment), 1))
        if deployment.num_mtp_tokens:
            blocks.append((_drafts(deployment), 1))
            kv_bytes = kv_bytes + cache_bytes(deployment.mtp_layer.mixer, deployment) * deployment.num_mtp_tokens
    else:
        blocks.append((_send(deployment, index), 1))
    keep_splits = "live_splits" in deployment.corrections
    return Stage(
        operators=tuple(operator for trace, _ in blocks for operator in trace.operators),
        calls=tuple(count for trace, count in blocks for _ in trace.operators),
        live_bytes=tuple(form for trace, _ in blocks for form in trace.live_bytes(keep_splits=keep_splits)),
        kv_bytes=kv_bytes,
    )


def _distinct(layers: tuple[LayerSpec, ...]) -> list[tuple[LayerSpec, int]]:
    """Each layer once, in order, and how often it comes. Equal layers of a model are one object."""
    counts = Counter(map(id, layers))
    return [(layer, counts[key]) for key, layer in {id(layer): layer for layer in layers}.items()]


def _inputs(deployment: Deployment, *, embeds: bool) -> Trace:
    """Word embedding (whole on every rank) and rotary tables, which every stage has."""
    trace, model = Trace(), deployment.model
    ids = Tensor(rows=TOKENS, width=1, dtype="int64")
    if embeds:
        out = Tensor(rows=TOKENS, width=model.hidden_size)
        table = HALF_BYTES * model.vocab_size * model.hidden_size
        trace.emit("word embedding", "embedding", reads=(ids, out.view()), writes=(out,), weight_bytes=table,
                   weight_read_bytes=0.0)  # fmt: skip
    for width in rope_widths(model):
        if model.max_position_embeddings > MAX_TABLE_POSITIONS:
            rotary_tables(trace, "rotary", width)
            continue
        for name in ("rotary cosines", "rotary sines"):
            rows = Tensor(rows=TOKENS, width=width)
            table = HALF_BYTES * model.max_position_embeddings * width
            trace.emit(name, "table_lookup", reads=(ids,), writes=(rows,), weight_bytes=table,
                       weight_read_bytes=rows.bytes if "rope_rows" in deployment.corrections else table)  # fmt: skip
    return trace


def rope_widths(model: ModelSpec) -> tuple[int, ...]:
    """Widths of the model's rotary tables, one for each rope dimension of its attention layers; none without rope."""
    widths: dict[int, None] = {}
    for layer, _ in _distinct(model.layers):
        if isinstance(layer.mixer, AttentionSpec) and layer.mixer.rotary:
            widths[layer.mixer.head_dim] = None
        elif isinstance(layer.mixer, MlaSpec):
            widths[layer.mixer.qk_rope_head_dim] = None
    return tuple(widths)


def _send(deployment: Deployment, index: int) -> Trace:
    """The hidden states' way to the next stage. As in the original, the stages of a replica are neighbours: stage i
    begins tp ranks after stage i − 1."""
    trace, tp = Trace(), deployment.tp
    payload = Tensor(rows=TOKENS, width=deployment.hidden_size)
    hop = Group(size=2, stride=tp, first=index * tp)
    trace.emit("pipeline send", "send", collective=Collective(
        kind="send", group=hop, bytes=payload.bytes, on_mesh="mesh_sends" in deployment.corrections))  # fmt: skip
    return trace


def _head(deployment: Deployment) -> Trace:
    """Final norm and logits."""
    trace, model = Trace(), deployment.model
    normed, _ = norm(trace, "final norm", Tensor(rows=TOKENS, width=model.hidden_size))
    stored = 0.0 if model.tie_word_embeddings else 1.0
    drafts = deployment.num_mtp_tokens > 0
    head(trace, normed, model.vocab_size, deployment.tp, stored=stored, drafts=drafts)
    return trace


def _drafts(deployment: Deployment) -> Trace:
    """Draft tokens of multi-token prediction."""
    trace, model = Trace(), deployment.model
    shares = "shared_drafts" in deployment.corrections
    draft_tokens(
        trace,
        lambda inner, x: decoder_layer(inner, deployment.mtp_layer, deployment, x),
        count=deployment.num_mtp_tokens,
        own_layers=max(model.num_mtp_layers, 1) if shares else deployment.num_mtp_tokens,
        shares_vocabulary=shares,
        hidden_size=model.hidden_size,
        vocab_size=model.vocab_size,
        rope_widths=rope_widths(model),
        mode=deployment.linear,
        tp=deployment.tp,
    )
    return trace
