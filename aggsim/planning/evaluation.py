"""The answer to one Scenario: numbers only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aggsim.forward.cost import ForwardCost, MemoryUse
from aggsim.planning.load_result import LoadResult
from aggsim.scenario import ParallelLayout, Quantization, Scenario
from aggsim.serving.run import ServingRun

Limit = Literal["memory", "rate", "ttft", "tpot"]
"""rate: more requests come than can be served."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Does it fit and meet the limits, or which limit stops it, by how much, at which step."""

    ok: bool
    limit: Limit | None
    """The limit that stops it; None when ok."""
    margin: float | None
    """value ÷ limit − 1 for ttft and tpot (positive: too slow; inf when the value is), asked ÷ carried − 1 for rate;
    GiB left for memory (negative: missing); None when ok."""
    step: int | None
    """Index into the timeline of the step that broke the limit, where one step can be named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """Who answered."""

    name: str
    version: str
    source: str
    """Of the reported passes: where most of the time of each is from, joined by commas."""
    asked: str
    """As the scenario had it: auto, or the engine's name."""
    fallback: str | None
    """Why `auto` did not take a better engine, in one sentence; None: this is the best, or was asked for by name."""


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
    users: int | None = None
    """Of a closed loop; batch_size and concurrency are then what came of it."""
    rate: float | None = None
    """Requests per second of an open loop."""


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
    load: LoadResult | None = None
    """Of simulated arrivals: then times, throughput, concurrency and verdict are the load's, at the percentile asked
    for, and `run` is a burst of about as many requests. None for a burst, and where not one request fits."""

    @property
    def prompt_tokens_per_s(self) -> float:
        """Prompt tokens taken in, those from the prefix cache included; over the whole deployment, as the output is."""
        if self.load is not None and self.load.requests_per_s > 0:  # lengths may vary: their mean over those served
            return self.requests_per_s * self.load.prompt_tokens_per_s / self.load.requests_per_s
        return self.requests_per_s * self.scenario.input

    @property
    def tpot_timing(self) -> str:
        """Whose definition tpot_s follows: wave spreads TTFT over the output, stepped (and every load) does not."""
        return "stepped" if self.load is not None else self.run.timing

    @property
    def answer_point(self) -> TriedBatch:
        """The one of `tried` that is the answer."""
        if self.load is None:
            return next(point for point in self.tried if point.batch_size == self.run.batch_size)
        name = {"open": "rate", "closed": "users"}.get(self.scenario.arrival)
        asked = None if name is None else getattr(self.scenario, name)
        return next(point for point in self.tried if name is None or getattr(point, name) == asked)
