"""Continuous batching on one data-parallel replica, request by request.

Before every step: a request whose next token would not fit in KV memory is preempted (last admitted first; it gives up
its blocks, goes to the head of the queue and later computes prompt and output so far again); requests are admitted from
the queue, first in first out, while a seat is free and the blocks of the whole prompt are; then the scheduler says who
gets how many tokens. The step that ends a prompt makes a token. A prefix-cache hit saves computing, not memory.

What happens in which step depends on times only where the queue runs empty and more requests are to come. Everything
else is planned in whole numbers, and the plan is put on the clock in bulk (run_log.py).
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from aggsim.errors import CancelledError, InputError, NoProgressError
from aggsim.forward.batch import FloatArray, IntArray
from aggsim.parameters_arrivals import TraceRow
from aggsim.serving.arrivals import Traffic
from aggsim.serving.replica import Offer, Replica, Request, Seats
from aggsim.serving.run_log import ReplicaRun, RunColumns, RunLog
from aggsim.serving.schedulers import Prompt, ReplicaState, StepPlan
from aggsim.serving.step_prices import PrefillGroup, StepPrices

__all__ = ["MAX_RUNS", "Served", "serve"]

MAX_RUNS = 2_000_000
"""Longest simulation; a budget of a few tokens cuts long prompts into more steps than anyone could look at."""
_AT_ONCE = 2048
"""Runs put on the clock together."""
_HEARD_EVERY = 256
"""Runs between two looks at progress and cancel."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Served:
    """What happened at one replica."""

    runs: RunColumns
    requests: tuple[Request, ...]
    """All that arrived, in order."""
    ended: tuple[Request, ...]
    """In the order they ended."""
    gaps: IntArray
    """Shape (K, 3): (run, earlier run, requests) that make a token in the first step of a run and had their last one at
    the end of an earlier run that is not the one before. All others who decode had it a step ago."""
    returns: IntArray
    """Shape (J, 2): (run that ended the recomputation of a preempted request, run of its last token before)."""


def serve(
    replica: Replica,
    traffic: Traffic,
    prices: StepPrices,
    *,
    completions: int,
    progress: Callable[[float], None] | None = None,
    cancel: threading.Event | None = None,
) -> Served:
    """Serve until so many requests have ended, or all of them.

    progress is told the share that is done; setting cancel raises CancelledError soon. Raises InputError where a
    request can never be served or the simulation gets too long, NoProgressError where the scheduler stalls.
    """
    serving = _Serving(replica, traffic, prices)
    while len(serving.ended) < completions and serving.step():
        if len(serving.log) % _HEARD_EVERY == 0:
            if progress is not None:
                progress(min(1.0, len(serving.ended) / completions))
            if cancel is not None and cancel.is_set():
                raise CancelledError("The simulation was stopped.")
        if serving.log.num_unsettled >= _AT_ONCE:
            serving.log.settle()
        if len(serving.log) > MAX_RUNS:
            allowed = f"a budget that needs at most {MAX_RUNS:,} scheduler decisions"
            raise InputError("max_batched_tokens", replica.max_batched_tokens, allowed)
    return Served(
        runs=serving.log.columns(),
        requests=tuple(serving.requests),
        ended=tuple(serving.ended),
        gaps=np.array(serving.gaps, np.int64).reshape(-1, 3),
        returns=np.array(serving.returns, np.int64).reshape(-1, 2),
    )


class _Serving:
    def __init__(self, replica: Replica, traffic: Traffic, prices: StepPrices) -> None:
        self.log = RunLog(prices)
        self.requests: list[Request] = []
        self.ended: list[Request] = []
        self.gaps: list[tuple[int, int, int]] = []
        self.returns: list[tuple[int, int]] = []
        self._replica = replica
        self._rows = traffic.rows
        self._has_users = traffic.users > 0
        self._next: TraceRow | None = None if self._has_users else next(self._rows, None)
        self._seats = Seats(replica)
        self._decode = self._seats.decode
        self._has_decoded = False
        self._last_full_pass = -1  # the last run in which everybody who was ready decoded
        self._behind: dict[int, int] = {}  # who decodes, but had the last token at the end of another run
        for _ in range(traffic.users):
            self._arrive(next(self._rows), -1)

    def step(self) -> bool:
        """One run, or a wait for the next request. False: there is nothing left to do."""
        preempted = self._seats.make_room()
        for request, decoded in preempted:
            if decoded:  # else it was computing its tokens once more already
                request.last_token_run = self._behind.pop(request.number, self._last_full_pass)
        offer = self._seats.offer(admits=not preempted)
        if offer.sees_all and self._next is not None:
            self.log.settle()
            if self._receive():
                offer = self._seats.offer(admits=True)
        if not offer.prompts and not self._decode:
            if self._next is None:
                return False
            self.log.idle_until(self._next.arrival_s)
            return True
        plan = self._plan(offer.prompts)
        ready, run = len(self._decode), len(self.log)
        chunks = self._seats.take_chunks(plan.prefill_tokens)
        for request in chunks:
            if request.start_run < 0:
                request.start_run = run
        repeat, known = 1, None
        if not chunks and plan.decode_requests == ready and self._has_decoded and not preempted:
            repeat, known = self._passes(offer)
        self.log.add(
            ReplicaRun(
                repeat=repeat,
                decode_requests=plan.decode_requests,
                sum_seq_len=self._sums(repeat, plan.decode_requests),
                prefills=_groups(chunks, plan.prefill_tokens),
                prompts=len(self._seats.prompts),
                ready=ready,
                kv_blocks=self._seats.blocks(repeat - 1),
                is_blocked=offer.is_blocked,
            ),
            known,
        )
        self._advance(chunks, plan.decode_requests, repeat, run)
        self._has_decoded = (self._has_decoded or plan.decode_requests > 0) and len(self._seats) > 0
        return True

    # --- before a step ---

    def _arrive(self, row: TraceRow, run: int) -> None:
        replica = self._replica
        if row.input_tokens + row.output_tokens > replica.max_request_tokens:
            size = f"{row.input_tokens:,} + output {row.output_tokens:,} tokens"
            held = f"at most {max(0, int(replica.max_request_tokens)):,} tokens together"
            raise InputError("input", size, f"{held}, which is what the KV cache of one replica holds")
        cached = math.floor(row.input_tokens * replica.prefix_hit)
        left = row.input_tokens - cached
        if left > replica.max_batched_tokens and not replica.scheduler.cuts_prompts:
            allowed = f"{left:,} or more: this scheduler does not cut prompts into chunks"
            raise InputError("max_batched_tokens", replica.max_batched_tokens, allowed)
        request = Request(
            len(self.requests), row.input_tokens, row.output_tokens, cached, row.arrival_s, run, left_tokens=left
        )
        self.requests.append(request)
        self._seats.queue.append(request)

    def _receive(self) -> bool:
        """Whoever has arrived by now joins the queue. False: nobody."""
        before = len(self.requests)
        while self._next is not None and self._next.arrival_s <= self.log.clock_s:
            self._arrive(self._next, -1)
            self._next = next(self._rows, None)
        return len(self.requests) > before

    def _plan(self, prompts: tuple[Prompt, ...]) -> StepPlan:
        """The scheduler's word; one that cannot be carried out is an error."""
        replica, ready = self._replica, len(self._decode)
        plan = replica.scheduler.plan_step(
            ReplicaState(
                ready=ready,
                prompts=prompts,
                has_decoded=self._has_decoded,
                decode_query_len=replica.decode_query_len,
                max_batched_tokens=replica.max_batched_tokens,
                max_chunk_tokens=replica.longest_chunk,
            )
        )
        tokens, decode_requests = plan.prefill_tokens, plan.decode_requests
        possible = 0 <= decode_requests <= ready and len(tokens) <= len(prompts)
        if not possible or any(not 1 <= q <= p.left_tokens for q, p in zip(tokens, prompts, strict=False)):
            raise ValueError(f"the scheduler chose {tokens} of {prompts} and {decode_requests} of {ready} to decode")
        if not tokens and not decode_requests:
            raise NoProgressError(
                f"The scheduler made no progress: with {len(prompts)} prompts to prefill and {ready} requests to "
                f"decode under a budget of {replica.max_batched_tokens} tokens, it ran neither."
            )
        return plan

    def _passes(self, offer: Offer) -> tuple[int, FloatArray | None]:
        """Decode passes until something happens, and their seconds where they had to be found out."""
        repeat = self._seats.passes_that_fit(self._decode.passes_to_finish())
        if self._next is None or not offer.sees_all:
            return repeat, None
        ready = len(self._decode)
        passes = self.log.passes_until(self._next.arrival_s, ready, self._sums(repeat, ready), repeat)
        return len(passes), passes

    def _sums(self, repeat: int, decode_requests: int) -> tuple[int, int, int]:
        decode = self._decode
        if repeat > 1:
            return decode.sum_seq_len(), decode.sum_seq_len((repeat - 1) // 2), decode.sum_seq_len(repeat - 1)
        everybody = decode_requests == len(decode)
        total = decode.sum_seq_len() if everybody else decode.sum_seq_len_of(decode_requests)
        return total, total, total

    # --- after it ---

    def _advance(self, chunks: list[Request], decode_requests: int, repeat: int, run: int) -> None:
        """Prompts that are done make a token and join those who decode, behind who is there; those who decoded make
        theirs and have their next turn after everybody else."""
        ready = len(self._decode)
        everybody = decode_requests == ready
        done: list[int] = []
        if everybody and ready:
            self._note_gaps(run, ready)
            done = self._decode.serve_all(repeat)
        joined = [request.number for request in chunks if self._joins(request, run)]
        if everybody:
            self._decode.to_front(joined)
        elif decode_requests:
            served, done = self._decode.serve(decode_requests)
            earlier = Counter(self._behind.get(number, self._last_full_pass) for number in served)
            self.gaps += [(run, other, count) for other, count in earlier.items() if other != run - 1]
            self._behind |= dict.fromkeys(served, run)
        for number in done:
            self._behind.pop(number, None)
            self._end(self.requests[number], run)

    def _note_gaps(self, run: int, ready: int) -> None:
        """Whoever decodes in this run without having made a token in the one before."""
        others = {other for other in self._behind.values() if other != run - 1}
        if others or self._last_full_pass != run - 1:
            earlier = Counter(self._behind.values())
            earlier[self._last_full_pass] += ready - len(self._behind)
            self.gaps += [(run, other, count) for other, count in earlier.items() if other != run - 1 and count]
        self._behind.clear()
        self._last_full_pass = run

    def _joins(self, request: Request, run: int) -> bool:
        """After its chunk. True: it decodes from now on."""
        if not self._seats.end_chunk(request):
            return False
        context = request.context
        request.made_tokens += 1
        if request.first_token_run < 0:
            request.first_token_run = run
        else:
            self.returns.append((run, request.last_token_run))
        left = request.output_tokens - request.made_tokens
        if not left:
            self._end(request, run)
            return False
        self._decode.join(request.number, context, left)
        self._behind[request.number] = run
        return True

    def _end(self, request: Request, run: int) -> None:
        request.end_run = run
        self._seats.leave(request)
        self.ended.append(request)
        if self._has_users:
            self._arrive(next(self._rows), run)


def _groups(chunks: list[Request], tokens: tuple[int, ...]) -> tuple[PrefillGroup, ...]:
    """The chunks that were just taken, equal ones together."""
    if len(chunks) == 1:
        return ((1, tokens[0], chunks[0].context - chunks[0].left_tokens),)
    counts: dict[tuple[int, int], int] = {}
    for request, query_len in zip(chunks, tokens, strict=True):
        pair = query_len, request.context - request.left_tokens
        counts[pair] = counts.get(pair, 0) + 1
    return tuple([(count, *pair) for pair, count in counts.items()])
