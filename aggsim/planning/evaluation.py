"""The answer to one Scenario: numbers only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aggsim.forward.cost import ForwardCost, MemoryUse
from aggsim.scenario import ParallelLayout, Quantization, Scenario
from aggsim.serving.run import ServingRun

Limit = Literal["memory", "ttft", "tpot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Does it fit and meet the limits, or which limit stops it, by how much, at which step."""

    ok: bool
    limit: Limit | None
    """The limit that stops it; None when ok."""
    margin: float | None
    """value ÷ limit − 1 for ttft and tpot (positive: too slow; inf when the value is); GiB left for memory (negative:
    missing); None when ok."""
    step: int | None
    """Index into the timeline of the step that broke the limit, where one step can be named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """Who answered."""

    name: str
    version: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedBatch:
    """One batch size of a search: enough for a table row or a dot in a chart."""

    batch_size: int
    concurrency: int
    ttft_s: float
    tpot_s: float
    output_tokens_per_s: float
    memory_left_bytes: float
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Everything a page, the command line or a link needs of one answered Scenario."""

    asked: Scenario
    scenario: Scenario
    """Complete: every auto value resolved, the batch size found."""
    engine: EngineInfo
    layout: ParallelLayout
    quantization: Quantization
    is_moe: bool
    """The model has routed experts: ep, moe_tp and moe_dp mean something."""
    run: ServingRun
    verdict: Verdict
    ttft_s: float
    tpot_s: float
    tpot_other_s: float
    """TPOT by the other definition in use (see ServingRun.tpot_s): wave answers carry (end − first token) ÷ output
    tokens, stepped ones TTFT spread over the output."""
    output_tokens_per_s: float
    output_tokens_per_s_per_device: float
    requests_per_s: float
    end_to_end_s: float
    """Mean time from arrival to last token."""
    concurrency: int
    memory: MemoryUse
    """Of the tightest pass."""
    memory_left_at_last_token_bytes: float
    """When every request of the burst holds its full context: what the mid-output price does not show."""
    prefill: ForwardCost | None
    decode: ForwardCost | None
    tried: tuple[TriedBatch, ...]
    """Batch sizes evaluated while searching, ascending; the chosen one included."""
    next_stop: TriedBatch | None
    """The smallest evaluated batch size above the answer that a limit stopped."""
    warnings: tuple[str, ...]
