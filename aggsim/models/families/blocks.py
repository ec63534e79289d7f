"""The parts most families share: heads, gated feed-forward, experts, and layers laid out by kind."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from aggsim.models.reader import MAX_LAYERS, ConfigReader
from aggsim.models.spec import AttentionSpec, LayerSpec, MlpSpec, MoeSpec

__all__ = [
    "FULL",
    "SLIDING",
    "Stack",
    "activation",
    "attention",
    "experts",
    "gated_mlp",
    "heads_of",
    "laid_out",
    "num_layers",
    "sparse_layers",
    "window",
]

FULL, SLIDING = "full_attention", "sliding_attention"
ACTIVATIONS = ("silu", "swish", "gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "quick_gelu", "relu", "relu2")

Kind = TypeVar("Kind", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """What a family parser reads: the decoder layers and what belongs to them."""

    layers: tuple[LayerSpec, ...]
    num_mtp_layers: int = 0
    mtp_layer: LayerSpec | None = None
    ties_by_default: bool = False
    """What an absent tie_word_embeddings means for this family."""
    warnings: tuple[str, ...] = ()


def num_layers(config: ConfigReader) -> int:
    """num_hidden_layers."""
    return config.count("num_hidden_layers", at_most=MAX_LAYERS)


def laid_out(kinds: Iterable[Kind], make: Callable[[Kind], LayerSpec]) -> tuple[LayerSpec, ...]:
    """One layer per kind in order; layers of equal kind are one object."""
    order = tuple(kinds)
    made = {kind: make(kind) for kind in dict.fromkeys(order)}
    return tuple(made[kind] for kind in order)


def heads_of(config: ConfigReader, heads_name: str, kv_heads_name: str) -> tuple[int, int]:
    """Two head counts, the first divisible by the second (absent: equal)."""
    heads = config.count(heads_name)
    kv_heads = config.count(kv_heads_name, default=heads)
    if heads % kv_heads:
        raise config.refuse(kv_heads_name, f"is {kv_heads}, which does not divide {heads_name} = {heads}")
    return heads, kv_heads


def attention(
    config: ConfigReader,
    *,
    head_dim: int | None = None,
    qk_norm: bool = False,
    qkv_bias: bool = False,
    out_bias: bool = False,
    window_tokens: int | None = None,
    output_gate: bool = False,
    sinks: bool = False,
) -> AttentionSpec:
    """Grouped-query attention under the usual names; head_dim is the family's default, else hidden / heads."""
    heads, kv_heads = heads_of(config, "num_attention_heads", "num_key_value_heads")
    if head_dim is None:
        head_dim, rest = divmod(config.count("hidden_size"), heads)
        if rest and not config.has("head_dim"):
            raise config.refuse("head_dim", "is missing, and hidden_size is not divisible by num_attention_heads")
    head_dim = config.count("head_dim", default=head_dim)
    return AttentionSpec(
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        v_head_dim=head_dim,
        qk_norm=qk_norm,
        qkv_bias=qkv_bias,
        out_bias=out_bias,
        window_tokens=window_tokens,
        output_gate=output_gate,
        sinks=sinks,
    )


def window(config: ConfigReader) -> int | None:
    """sliding_window in tokens, or None where absent, null or 0."""
    return config.count_or_zero("sliding_window") or None


def activation(config: ConfigReader, *names: str) -> None:
    """Check the activation: any elementwise one costs the same here, an unknown one is refused."""
    for name in names or ("hidden_act", "hidden_activation"):
        config.word(name, ACTIVATIONS, default="silu")


def gated_mlp(config: ConfigReader, width: str = "intermediate_size", *, bias: bool = False) -> MlpSpec:
    """Gate, up and down projection."""
    activation(config)
    return MlpSpec(intermediate_size=config.count(width), bias=bias)


def experts(config: ConfigReader, moe: MoeSpec) -> MoeSpec:
    """The given experts, checked: no token may want more of them than there are."""
    activation(config)
    if moe.experts_per_token > moe.num_experts:
        raise config.refuse("num_experts_per_tok", f"is {moe.experts_per_token} of only {moe.num_experts} experts")
    return moe


def sparse_layers(config: ConfigReader, count: int) -> tuple[bool, ...]:
    """Which layers hold experts, by first_k_dense_replace and moe_layer_freq (a step, or a switch per layer)."""
    if config.holds_list("moe_layer_freq"):
        return config.switches("moe_layer_freq", count) or ()
    first, step = config.count_or_zero("first_k_dense_replace"), config.count("moe_layer_freq", default=1)
    kinds = config.words("mlp_layer_types", ("dense", "sparse"), count)
    if kinds is not None:
        return tuple(kind == "sparse" for kind in kinds)
    return tuple(i >= first and i % step == 0 for i in range(count))
