"""TTFT and TPOT that a closed-loop benchmark measures: the continuous-batching simulation over a grid of prices.

A benchmark with N users sends N requests at once and ten times as many altogether, so a tenth of its mean TTFT is that
of the first burst. Here ROUNDS · N requests are simulated and the others counted as those after the burst.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aggsim.engines.base import ForwardModel
from aggsim.forward.batch import Batch, FloatArray, IntArray, RequestGroup
from aggsim.parameters_arrivals import LengthSpread
from aggsim.serving.arrivals import closed_traffic, draw_lengths
from aggsim.serving.continuous import Served, serve
from aggsim.serving.replica import Replica
from aggsim.serving.schedulers import SCHEDULERS
from aggsim.serving.step_prices import PrefillGroup

__all__ = ["BURST_SHARE", "ClosedLoop", "GridPrices", "LoopTimes", "Overheads", "predict"]

BURST_SHARE = 0.1
"""Of the requests of a benchmark that are sent at once: ten times as many requests as users."""
ROUNDS = 4
SCHEDULER_OF = {"vllm": "chunked_prefill", "trtllm": "chunked_prefill", "sglang": "prefill_first"}
"""What the frameworks do unless told otherwise: SGLang stops decoding for a prefill batch, the others mix."""
KV_BLOCK_TOKENS = 16
NUM_CONTEXTS = 4
_PREFILL_TOKENS = (1, 32, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overheads:
    """What no operator table holds. Global: the same for every device, framework and model."""

    collective_s: float = 0.0
    """What a collective of a pass takes beyond its table, which was measured with all ranks ready: in a model they
    reach it at different times."""
    prefill_share: float = 1.0
    """What a prompt adds to a step, times this."""
    ttft_steps: float = 0.0
    """Decode steps between a first token and its arrival at the client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedLoop:
    """What one replica serves."""

    users: int
    input_tokens: int
    output_tokens: int
    length_spread: float
    """Lengths are uniform from 1 − this to 1 times the nominal ones."""
    budget_tokens: int
    backend: str
    replicas: int = 1
    collectives: int = 0
    """Of one pass, over all layers."""
    delay_steps: float = 0.0
    """Decode steps that a request waits on average before the scheduler looks at it; not in the burst."""

    @property
    def mean_input(self) -> int:
        return max(1, round(self.input_tokens * (1 - self.length_spread / 2)))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopTimes:
    """Means over the requests of the benchmark."""

    ttft_s: float
    tpot_s: float


class GridPrices:
    """Passes of one replica, priced at a grid and interpolated: decode over (requests, mean context), what prompts add
    over (decoding requests, prompt tokens), and the attention of a chunk to what came before it.

    The grid depends on users only by its end, so one grid serves every number of users up to `users`.
    """

    def __init__(self, forward: ForwardModel, loop: ClosedLoop, users: int) -> None:
        self._replicas = loop.replicas
        self._prompt = loop.mean_input
        self.collectives = loop.collectives
        self.requests = _steps_up_to(users)
        self.contexts = np.unique(
            np.geomspace(
                max(1, round(loop.input_tokens * (1 - loop.length_spread))),
                loop.input_tokens + loop.output_tokens,
                NUM_CONTEXTS,
            ).astype(np.int64)
        )
        most = max(loop.budget_tokens, self._prompt)
        self.tokens = np.array([*(t for t in _PREFILL_TOKENS if t < most), most])
        middle = int(self._prompt + loop.output_tokens / 2)
        batches = [self._decode(n, s) for n in self.requests for s in self.contexts]
        batches += [self._prefill(t) for t in self.tokens]
        batches += [(*self._decode(n, middle), *self._prefill(t)) for n in self.requests for t in self.tokens]
        batches += [self._decode(n, middle) for n in self.requests]
        half = max(1, self._prompt // 2)
        batches += [self._chunk(half, half), self._chunk(half, 2 * half)]
        most_context = loop.input_tokens + loop.output_tokens
        batches += [self._decode(1, most_context), self._decode(2, most_context)]
        priced = forward.price(batches)
        self.kv_tokens = most_context * _requests_that_fit(*priced.available_bytes[-2:].tolist())
        """Tokens that the memory of a replica holds, when requests are as long as they get."""
        latency = priced.latency_s[:-2]
        n, s, t = len(self.requests), len(self.contexts), len(self.tokens)
        decode, alone, mixed, middles, chunks = np.split(latency, np.cumsum([n * s, t, n * t, n]))
        self.decode_s: FloatArray = decode.reshape(n, s)
        self.added_s = np.vstack([alone, mixed.reshape(n, t) - middles[:, np.newaxis]])
        """First row: with nobody decoding."""
        self.per_pair_s = max(0.0, float(chunks[1] - chunks[0])) / half**2
        """Seconds a token of a chunk needs for each token before the chunk."""

    def with_overheads(self, overheads: Overheads) -> _Priced:
        return _Priced(self, overheads)

    def _decode(self, requests: int, context: int) -> Batch:
        return (_group(requests * self._replicas, 1, int(context), is_decode=True),)

    def _prefill(self, tokens: int) -> Batch:
        """So many tokens as whole prompts, as equal as can be."""
        prompts = max(1, round(tokens / self._prompt))
        length = max(1, round(tokens / prompts))
        return (_group(prompts * self._replicas, length, length, is_decode=False),)

    def _chunk(self, query_len: int, seq_len: int) -> Batch:
        return (_group(self._replicas, query_len, seq_len, is_decode=False),)


@dataclass(frozen=True, slots=True)
class _Priced:
    """The grid as prices of steps."""

    grid: GridPrices
    overheads: Overheads

    def latency_s(
        self, decode_requests: IntArray, sum_seq_len: IntArray, prefills: Sequence[tuple[PrefillGroup, ...]]
    ) -> FloatArray:
        grid = self.grid
        seconds = np.full(len(decode_requests), self.overheads.collective_s * grid.collectives, np.float64)
        some = decode_requests > 0
        n = decode_requests[some]
        seconds[some] += _bilinear(grid.requests, grid.contexts, grid.decode_s, n, sum_seq_len[some] / n)
        rows = [i for i, groups in enumerate(prefills) if groups]
        if rows:
            tokens = np.array([sum(m * q for m, q, _ in prefills[i]) for i in rows], float)
            pairs = np.array([sum(m * q * (s - q) for m, q, s in prefills[i]) for i in rows], float)
            requests = np.concatenate([[0], grid.requests])
            added = _bilinear(requests, grid.tokens, grid.added_s, decode_requests[rows], tokens)
            seconds[rows] += self.overheads.prefill_share * (np.maximum(added, 0.0) + grid.per_pair_s * pairs)
        return seconds


def predict(grid: GridPrices, loop: ClosedLoop, overheads: Overheads) -> LoopTimes:
    """Simulate the benchmark. Deterministic: the lengths are drawn from a fixed seed."""
    prices = grid.with_overheads(overheads)
    blocks = None if math.isinf(grid.kv_tokens) else int(grid.kv_tokens) // KV_BLOCK_TOKENS
    replica = Replica(
        scheduler=SCHEDULERS[SCHEDULER_OF[loop.backend]],
        max_batched_tokens=loop.budget_tokens,
        max_num_seqs=10**6,
        kv_blocks=blocks,
        kv_block_tokens=KV_BLOCK_TOKENS,
    )
    spread = LengthSpread(kind="uniform" if loop.length_spread else "fixed", amount=loop.length_spread)
    traffic = closed_traffic(loop.users, draw_lengths(spread, loop.input_tokens, loop.output_tokens, 0))
    served = serve(replica, traffic, prices, completions=ROUNDS * loop.users)
    return _means(served, loop, overheads)


def _means(served: Served, loop: ClosedLoop, overheads: Overheads) -> LoopTimes:
    end_s = np.asarray(served.runs.end_s)
    done = [request for request in served.ended if request.output_tokens > 1]
    first, last = (np.array([getattr(r, name) for r in done]) for name in ("first_token_run", "end_run"))
    arrival = np.array([0.0 if r.arrival_run < 0 else end_s[r.arrival_run] for r in done])
    passes = np.array([r.output_tokens - 1 for r in done])
    in_burst = np.array([r.number < loop.users for r in done])
    tpot = (end_s[last] - end_s[first]) / passes
    ttft = end_s[first] - arrival + np.where(in_burst, 0.0, loop.delay_steps * tpot)
    weights = np.where(in_burst, BURST_SHARE / in_burst.sum(), (1 - BURST_SHARE) / (~in_burst).sum())
    ttft_s, tpot_s = float(np.average(ttft, weights=weights)), float(np.average(tpot, weights=weights))
    return LoopTimes(ttft_s=ttft_s + overheads.ttft_steps * tpot_s, tpot_s=tpot_s)


def _requests_that_fit(one: float, two: float) -> float:
    """From the bytes that one and two requests leave free.

    Without end where not even one fits: it did run, so the weights are smaller than the engine takes them to be.
    """
    return 1 + one / (one - two) if one > max(two, 0) else math.inf


def _group(requests: int, query_len: int, seq_len: int, *, is_decode: bool) -> RequestGroup:
    return RequestGroup(num_requests=requests, query_len=query_len, seq_len=seq_len, is_decode=is_decode)


def _steps_up_to(users: int) -> IntArray:
    """1, 2, 3, 4, 6, 8, 12, … and the last one."""
    steps = sorted({n for k in range(20) for n in (2**k, 3 * 2**k) if n < users} | {users})
    return np.array(steps, np.int64)


def _bilinear(xs: IntArray, ys: IntArray, values: FloatArray, x: IntArray, y: FloatArray) -> FloatArray:
    """Values at (x, y), shape of x; inside the grid's x, extended along its first and last span in y."""
    i = np.clip(np.searchsorted(xs, x, side="right") - 1, 0, max(len(xs) - 2, 0))
    j = np.clip(np.searchsorted(ys, y, side="right") - 1, 0, max(len(ys) - 2, 0))
    i1, j1 = np.minimum(i + 1, len(xs) - 1), np.minimum(j + 1, len(ys) - 1)
    u = np.clip((x - xs[i]) / np.maximum(xs[i1] - xs[i], 1), 0, 1)
    v = (y - ys[j]) / np.maximum(ys[j1] - ys[j], 1)
    low = values[i, j] * (1 - v) + values[i, j1] * v
    high = values[i1, j] * (1 - v) + values[i1, j1] * v
    result: FloatArray = low * (1 - u) + high * u
    return result
