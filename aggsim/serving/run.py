"""What serving one burst of requests at one batch size came to."""

from __future__ import annotations

from dataclasses import dataclass

from aggsim.forward.cost import ForwardCost
from aggsim.serving.timeline import Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One prefill chunk of one prompt."""

    query_len: int
    seq_len: int
    """Prompt tokens consumed so far, this chunk included (a prefix-cache hit not counted)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingRun:
    """Means over the burst's requests. Times may be math.inf where the rules say so."""

    timing: str
    """wave or stepped: which of them answered."""
    batch_size: int
    concurrency: int
    effective_input_tokens: int
    max_batched_tokens: int
    """The token budget B of one replica."""
    chunks: tuple[Chunk, ...]
    ttft_s: float
    tpot_s: float
    """By the rules of `timing`: wave spreads TTFT over the output tokens, stepped starts after the first token."""
    output_tokens_per_s: float
    finish_s: float
    """When the last request finished; inf when the run was stopped."""
    prefill_latency_s: float
    """0 when no pass had one."""
    prefill_last_latency_s: float
    decode_latency_s: float
    """Per output token: already divided by the expected tokens per pass."""
    memory_left_bytes: float
    """Smallest over all priced passes."""
    prefill_memory_left_bytes: float
    prefill_cost: ForwardCost | None
    """The pass the breakdown is reported for (serving-rules, "The result row")."""
    decode_cost: ForwardCost | None
    tightest_cost: ForwardCost | None
    """The pass that left the least memory."""
    timeline: Timeline
    num_steps: int
    """Scheduler steps the whole burst takes; a stepped run that memory stopped has fewer in its timeline."""
    out_of_memory_step: int | None = None
    """Index into timeline.steps of the first pass that did not fit, None: all fit."""

    @property
    def num_chunks(self) -> int:
        return len(self.chunks)
