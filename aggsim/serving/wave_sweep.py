"""Timing `wave` for thousands of batch sizes at once: the formulas of wave.py over arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aggsim.engines.base import ForwardModel
from aggsim.forward.batch import FloatArray, IntArray
from aggsim.scenario import ParallelLayout, Workload
from aggsim.serving.burst import DECODE, Burst
from aggsim.serving.wave import mean_ttft_s, requests_per_wave, throughput_span_s, tpot_s

__all__ = ["WaveRuns", "wave_many"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WaveRuns:
    """N batch sizes of one burst; arrays of shape (N,), fields as in ServingRun."""

    batch_size: IntArray
    concurrency: IntArray
    ttft_s: FloatArray
    tpot_s: FloatArray
    output_tokens_per_s: FloatArray
    prefill_latency_s: FloatArray
    prefill_last_latency_s: FloatArray
    decode_latency_s: FloatArray
    memory_left_bytes: FloatArray
    prefill_memory_left_bytes: FloatArray

    def __len__(self) -> int:
        return len(self.batch_size)


def wave_many(
    forward: ForwardModel,
    workload: Workload,
    layout: ParallelLayout,
    *,
    batch_sizes: Sequence[int] | IntArray,
    max_batched_tokens: int,
    rules: str = "current",
) -> WaveRuns:
    """What simulate(timing="wave") says of each batch size, with two engine calls in all.

    batch_sizes: shape (N,), each ≥ 1. Raises InputError for a budget under 1, unknown rules or several chunks.
    """
    burst = Burst.of(forward, workload, layout, max_batched_tokens=max_batched_tokens, rules=rules)
    seed = rules == "seed"
    per_wave = requests_per_wave(burst)
    batch_size = np.asarray(batch_sizes, np.int64)
    concurrency = batch_size * burst.requests_per_batch
    full_waves, left_over = np.divmod(concurrency, per_wave)
    has_full = full_waves > 0

    priced_full = per_wave if seed or has_full.any() else 0
    latency, left = _price(burst, np.concatenate(([priced_full], left_over)), 0)
    full_left = np.where(has_full, left[0], np.inf)
    runs_left_over = (left_over > 0) & (seed | (full_left >= 0))
    left_over_s = np.where(runs_left_over, latency[1:], 0.0)
    prefill_s = np.where(has_full | seed, latency[0], left_over_s)
    prefill_left = np.minimum(full_left, np.where(runs_left_over, left[1:], np.inf))
    stopped = (prefill_left < 0) & (not seed)

    ttft = mean_ttft_s(per_wave, full_waves.astype(float), prefill_s, left_over.astype(float), left_over_s)
    decode_s, decode_left = _price(burst, np.where(stopped, 0, concurrency), DECODE)
    span_s = throughput_span_s(burst, ttft, decode_s)
    num_tokens, timed = burst.num_output_tokens * concurrency, ~stopped & (span_s > 0)
    return WaveRuns(
        batch_size=batch_size,
        concurrency=concurrency,
        ttft_s=np.where(stopped, np.inf, ttft),
        tpot_s=np.where(stopped, np.inf, tpot_s(burst, ttft, decode_s)),
        output_tokens_per_s=np.divide(num_tokens, span_s, out=np.zeros_like(span_s), where=timed),
        prefill_latency_s=prefill_s,
        prefill_last_latency_s=np.where(runs_left_over, left_over_s, prefill_s),
        decode_latency_s=decode_s,
        memory_left_bytes=np.minimum(prefill_left, decode_left),
        prefill_memory_left_bytes=prefill_left,
    )


def _price(burst: Burst, num_requests: IntArray, chunk: int) -> tuple[FloatArray, FloatArray]:
    """As Burst.price, each size once; a pass of no requests takes no time and leaves everything (inf)."""
    sizes, index = np.unique(num_requests, return_inverse=True)
    latency, left = np.zeros(len(sizes)), np.full(len(sizes), np.inf)
    real = sizes > 0
    if real.any():
        latency[real], left[real] = burst.price(sizes[real], chunk)
    return latency[index], left[index]
