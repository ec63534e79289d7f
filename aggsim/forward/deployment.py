"""What is priced: model, layout, quantization and the options that change an operator."""

from __future__ import annotations

from dataclasses import dataclass

from aggsim.forward.form import Form, Phase, feature
from aggsim.forward.quantized import LINEAR, W8A16_WIDE, LinearMode
from aggsim.models.spec import LayerSpec, ModelSpec
from aggsim.scenario import ParallelLayout, Quantization

FUSED_NORM_EPS = 1e-6
CACHE_DTYPE = {"none": "fp16", "int8": "int8", "fp8": "fp8"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Everything the layers need to know besides their own spec."""

    model: ModelSpec
    layout: ParallelLayout
    quantization: Quantization
    num_mtp_tokens: int = 0
    corrections: frozenset[str] = frozenset()
    """Names of CORRECTIONS."""

    @property
    def hidden_size(self) -> int:
        return self.model.hidden_size

    @property
    def tp(self) -> int:
        return self.layout.tp

    @property
    def mtp_layer(self) -> LayerSpec:
        """The draft layer: the model's own, else one of its last layer's kind."""
        return self.model.mtp_layer or self.model.layers[-1]

    @property
    def fuses_norms(self) -> bool:
        """The original fuses norm and quantization for an epsilon of 1e-6 only: other models run two kernels."""
        return self.model.rms_norm_eps == FUSED_NORM_EPS or "fused_norm_quant" in self.corrections

    @property
    def linear(self) -> LinearMode:
        """Of everything but the routed experts."""
        return self._mode(self.quantization.linear)

    @property
    def experts(self) -> LinearMode:
        """Of the routed experts."""
        return self._mode(self.quantization.experts)

    @property
    def cache_dtype(self) -> str:
        """Of the KV cache and of the attention on it."""
        return CACHE_DTYPE[self.quantization.attention]

    def _mode(self, label: str) -> LinearMode:
        wide = label.startswith("w8a16") and "w8a16_wide" in self.corrections
        return W8A16_WIDE if wide else LINEAR[label]

    def share(self, count: int) -> int:
        """Of `count` heads or columns, those of the fullest tensor-parallel rank."""
        return -(-count // self.layout.tp)

    def score_pairs(self, *, most: int | None = None, chunk: int | None = None, phase: Phase = "all") -> Form:
        """Σ over the queries of the keys each is scored against.

        Each of a request's q new tokens sees all its s tokens (the original's count: the mask saves nothing), with a
        window or an indexer at most `most` of them, with chunked attention at most `chunk`. Corrected by
        causal_prefill, a query sees the tokens up to itself: with a window the last `most` of them, with chunks those
        since its chunk began.
        """
        if "causal_prefill" not in self.corrections:
            seen = min((cap for cap in (most, chunk) if cap), default=None)
            return feature("pairs", *([seen] if seen else []), phase=phase)
        if chunk:
            return feature("causal_chunk_pairs", chunk, phase=phase)
        return feature("causal_pairs", *([most] if most else []), phase=phase)
