"""What simulated arrivals come to: numbers only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

__all__ = ["KvCapacity", "LoadResult", "LoadSeries", "LoadState", "Quantiles", "Sampled", "SteadyState"]

LoadState = Literal["steady", "near_saturation", "saturated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """Of one kind of time, in seconds; a percentile is the smallest value that so many percent do not exceed."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float

    def at(self, name: str) -> float:
        """By the word of a Scenario: mean, p50, p90, p95 or p99."""
        found: float = getattr(self, name)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """Of all seeds together, and how sure that is."""

    value: Quantiles
    plus_minus: Quantiles | None
    """Half-width of the 95% confidence interval (Student's t over the seeds); None: one seed only, or nothing that is
    random."""
    count: int
    """Requests, or gaps, that were measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KvCapacity:
    """What memory leaves for the KV cache of one replica."""

    block_tokens: int
    blocks: int | None
    """None: the engine says that contexts need no memory."""
    bytes_per_token: float
    """Per device, at the full length of a request."""
    free_bytes: float
    """Per device, beside weights, the activations of the largest step and what is reserved."""

    @property
    def tokens(self) -> float:
        """inf: without end."""
        return math.inf if self.blocks is None else float(self.blocks * self.block_tokens)

    def missing_bytes(self, tokens: int) -> float:
        """What one request of so many tokens lacks; ≤ 0: it fits."""
        return (tokens - self.tokens) * self.bytes_per_token if self.blocks is not None else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSeries:
    """One replica over time, first seed, warm-up included: means over equal bins."""

    time_s: tuple[float, ...]
    """Middle of each bin."""
    waiting: tuple[float, ...]
    """Requests in the queue for which nothing was computed yet."""
    running: tuple[float, ...]
    """Requests begun and not ended, the preempted ones included."""
    kv_share: tuple[float, ...]
    """KV blocks held ÷ capacity; empty where there is no end to them."""
    warm_up_s: float
    """What comes before is not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """Requests that arrive, served by continuous batching; steady state after a warm-up, except for a trace.

    Rates are those of the whole deployment; `waiting`, `running` and KV blocks are those of one replica.
    """

    arrival: str
    ttft: Sampled
    """Arrival to first token."""
    tpot: Sampled
    """(end − first token) ÷ (output tokens − 1) of requests with more than one."""
    itl: Sampled
    """Gaps between what two passes yield to a request."""
    end_to_end: Sampled
    """Arrival to last token. Of a saturated queue this and ttft are inf: they grow as long as one looks."""
    requests_per_s: float
    requests_per_s_plus_minus: float | None
    prompt_tokens_per_s: float
    """Of the prompts served, what the prefix cache held included."""
    output_tokens_per_s: float
    asked_per_s: float | None
    """Requests per second that come; None: a closed loop asks for no rate."""
    carried_per_s: float | None
    """Requests per second that can be served at most, the queue never empty; None in a closed loop."""
    state: LoadState
    goodput: float | None
    """Share of the requests within the limits for TTFT and TPOT; None: there is no limit. 0 when saturated with a
    TTFT limit."""
    goodput_per_s: float | None
    """Requests within the limits per second."""
    concurrency: float
    """Mean requests in the whole deployment, waiting ones included."""
    waiting: float
    running: float
    kv_share: float | None
    """Mean share of the KV blocks that are held; None: there is no end to them."""
    kv_share_max: float | None
    preemptions_per_request: float
    kv: KvCapacity
    max_num_seqs: int
    max_batched_tokens: int
    num_requests: int
    """Measured, over all seeds."""
    num_warm_up: int
    """Before them, not measured, in each seed."""
    num_seeds: int
    """Simulations that were run: one where nothing is random."""
    num_steps: int
    """Of one replica, over all seeds."""
    mean_output_tokens: float
    series: LoadSeries

    @property
    def utilization(self) -> float | None:
        """Asked ÷ carried; above 1 the queue grows without end."""
        if self.asked_per_s is None or self.carried_per_s is None:
            return None
        return self.asked_per_s / self.carried_per_s


@dataclass(frozen=True, slots=True, kw_only=True)
class SteadyState:
    """What a burst comes to once its users go on asking."""

    load: LoadResult | None
    """None: not one request fits in memory."""
