"""Timing `wave`: the closed form for prompts that fit one chunk. Prefill runs in waves, then all decode together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple, TypeVar

from aggsim.errors import InputError
from aggsim.forward.batch import FloatArray
from aggsim.serving.burst import DECODE, Burst, Pass
from aggsim.serving.run import ServingRun
from aggsim.serving.timeline import Step, Timeline

__all__ = ["mean_ttft_s", "requests_per_wave", "throughput_span_s", "tpot_s", "wave_run"]

Number = TypeVar("Number", float, FloatArray)


def requests_per_wave(burst: Burst) -> int:
    """Whole prompts that one step can prefill. Raises InputError where a prompt needs several chunks."""
    if len(burst.chunks) > 1:
        allowed = f"stepped, or max_batched_tokens of {burst.effective_input_tokens} or more"
        raise InputError("timing", f"wave with {len(burst.chunks)} prefill chunks", allowed)
    return burst.step_tokens // burst.effective_input_tokens


def mean_ttft_s(per_wave: int, full_waves: Number, full_s: Number, left_over: Number, left_over_s: Number) -> Number:
    """The i-th full wave has its first tokens after i·full_s, the smaller one after all of them."""
    in_full = per_wave * full_s * (full_waves * (full_waves + 1) / 2)
    in_left_over = (full_waves * full_s + left_over_s) * left_over
    return (in_full + in_left_over) / (per_wave * full_waves + left_over)


def tpot_s(burst: Burst, ttft_s: Number, decode_s: Number) -> Number:
    """All time from arrival on, spread over the output tokens."""
    return (ttft_s + decode_s * burst.num_output_tokens) / burst.num_output_tokens


def throughput_span_s(burst: Burst, ttft_s: Number, decode_s: Number) -> Number:
    """The time throughput is taken over; the seed's rules count TTFT twice."""
    token_s = tpot_s(burst, ttft_s, decode_s) if burst.rules == "seed" else decode_s
    return ttft_s + token_s * burst.num_output_tokens


class _Row(NamedTuple):
    """Equal passes in a row."""

    repeat: int
    key: Pass
    pass_s: float
    left_bytes: float


def wave_run(burst: Burst, batch_size: int, *, detail: bool) -> ServingRun:
    """The burst at one batch size. rules=current ends with a prefill pass that does not fit, seed goes on."""
    seed = burst.rules == "seed"
    per_wave = requests_per_wave(burst)
    concurrency = batch_size * burst.requests_per_batch
    full_waves, left_over = divmod(concurrency, per_wave)
    sizes = [per_wave] * (full_waves > 0 or seed) + [left_over] * (left_over > 0)
    latency, left = burst.price(sizes, 0)
    # The first size is the reported one: a full wave, which the seed's rules report even where none runs.
    prefill_s, full_left = float(latency[0]), float(left[0])
    full_fails = full_waves > 0 and full_left < 0 and not seed

    rows: list[_Row] = []
    if full_waves:
        rows.append(_Row(1 if full_fails else full_waves, (per_wave, 0), prefill_s, full_left))
    if left_over and not full_fails:
        rows.append(_Row(1, (left_over, 0), float(latency[-1]), float(left[-1])))
    prefill_last_s = rows[-1].pass_s
    prefill_left = min(row.left_bytes for row in rows)
    stopped = prefill_left < 0 and not seed

    ttft, tpot, finish_s, decode_s, output_tokens_per_s = math.inf, math.inf, math.inf, 0.0, 0.0
    decode = (concurrency, DECODE)
    if not stopped:
        left_over_s = prefill_last_s if left_over else 0.0
        ttft = mean_ttft_s(per_wave, float(full_waves), prefill_s, float(left_over), left_over_s)
        decode_latency, decode_left = burst.price([concurrency], DECODE)
        decode_s = float(decode_latency[0])
        rows.append(_Row(burst.num_output_tokens, decode, decode_s, float(decode_left[0])))
        tpot = tpot_s(burst, ttft, decode_s)
        span_s = throughput_span_s(burst, ttft, decode_s)
        output_tokens_per_s = burst.num_output_tokens * concurrency / span_s if span_s else 0.0
    ends = list(accumulate(row.repeat * row.pass_s for row in rows))
    if not stopped:
        finish_s = ends[-1]

    tightest = min(rows, key=lambda row: row.left_bytes)
    prefill_cost, decode_cost, tightest_cost = burst.costs(
        (sizes[0], 0), None if stopped else decode, tightest.key, wanted=detail
    )
    return ServingRun(
        timing="wave",
        batch_size=batch_size,
        concurrency=concurrency,
        effective_input_tokens=burst.effective_input_tokens,
        max_batched_tokens=burst.max_batched_tokens,
        chunks=burst.chunks,
        ttft_s=ttft,
        tpot_s=tpot,
        output_tokens_per_s=output_tokens_per_s,
        finish_s=finish_s,
        prefill_latency_s=prefill_s,
        prefill_last_latency_s=prefill_last_s,
        decode_latency_s=decode_s,
        memory_left_bytes=tightest.left_bytes,
        prefill_memory_left_bytes=prefill_left,
        prefill_cost=prefill_cost,
        decode_cost=decode_cost,
        tightest_cost=tightest_cost,
        timeline=Timeline(steps=_steps(burst, rows, ends, concurrency) if detail else ()),
        num_steps=sum(row.repeat for row in rows),
        out_of_memory_step=next((i for i, row in enumerate(rows) if row.left_bytes < 0), None),
    )


def _steps(burst: Burst, rows: Sequence[_Row], ends: Sequence[float], concurrency: int) -> tuple[Step, ...]:
    steps: list[Step] = []
    prefilled = 0
    for row, start, end in zip(rows, (0.0, *ends), ends, strict=False):
        num_requests, chunk = row.key
        is_prefill = chunk != DECODE
        steps.append(
            Step(
                start_s=start,
                end_s=end,
                repeat=row.repeat,
                prefill_requests=num_requests if is_prefill else 0,
                chunk=chunk,
                query_len=burst.effective_input_tokens if is_prefill else 0,
                decode_requests=0 if is_prefill else num_requests,
                pending=concurrency - prefilled,
                waiting=concurrency - prefilled,
                ready=prefilled,
                prefill_s=row.pass_s if is_prefill else 0.0,
                decode_s=0.0 if is_prefill else row.pass_s,
            )
        )
        prefilled += row.repeat * num_requests if is_prefill else 0
    return tuple(steps)
