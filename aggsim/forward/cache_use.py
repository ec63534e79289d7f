"""What one request keeps in the cache as its context grows, read off the forms that passes are priced with."""

from __future__ import annotations

from dataclasses import dataclass

from aggsim.forward.cache import KV_BLOCK_TOKENS, cache_bytes
from aggsim.forward.deployment import Deployment
from aggsim.forward.form import Form
from aggsim.models.spec import ModelSpec
from aggsim.scenario import ParallelLayout, Quantization

__all__ = ["CacheUse", "cache_use"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheUse:
    """Of the whole model, not sharded, in bytes; blocks are counted as if they were cut to the token."""

    bytes_per_token: float
    """Layers that keep the whole context."""
    windows: tuple[tuple[int, float], ...]
    """(tokens, bytes per token): layers that keep the last so many tokens, or their chunk."""
    state_bytes: float
    """Recurrent layers: the same for any context."""

    @property
    def bytes_per_first_token(self) -> float:
        """While the context is shorter than every window."""
        return self.bytes_per_token + sum(rate for _, rate in self.windows)

    def at(self, context_tokens: float) -> float:
        """Bytes of a request with so many tokens of context."""
        inside = sum(min(tokens, context_tokens) * rate for tokens, rate in self.windows)
        return self.bytes_per_token * context_tokens + inside + self.state_bytes


def cache_use(model: ModelSpec, attention: str = "none") -> CacheUse:
    """attention: number format of the cache, of scenario.ATTENTION_MODES; none is 16 bits."""
    deployment = Deployment(model=model, layout=ParallelLayout(), quantization=Quantization(attention=attention))
    total = Form()
    for layer in model.layers:
        total = total + cache_bytes(layer.mixer, deployment)
    whole, state = 0.0, 0.0
    windows: dict[int, float] = {}
    for feature, coefficient in total.terms.items():
        if feature.kind != "kv_blocks":
            state += coefficient
        elif len(feature.args) == 1:
            whole += coefficient / KV_BLOCK_TOKENS
        else:
            windows[feature.args[1]] = windows.get(feature.args[1], 0.0) + coefficient / KV_BLOCK_TOKENS
    return CacheUse(bytes_per_token=whole, windows=tuple(sorted(windows.items())), state_bytes=state)
