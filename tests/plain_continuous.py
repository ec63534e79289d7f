"""Continuous batching as written down: one step at a time, every request its own entry, nothing jumped over.

Of aggsim.serving it only knows what a scheduler is; slow on purpose. An engine prices each step with one group for
each decoding request.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from aggsim.engines.base import ForwardModel
from aggsim.forward.batch import RequestGroup
from aggsim.serving.schedulers import Prompt, ReplicaScheduler, ReplicaState


@dataclass(eq=False)
class PlainRequest:
    arrival_s: float
    input_tokens: int
    output_tokens: int
    cached: int = 0
    computed: int = 0
    made: int = 0
    passes: int = 0
    due: int = 0
    token_s: list[float] = field(default_factory=list)
    preemptions: int = 0

    @property
    def left(self) -> int:
        return self.input_tokens + self.made - self.cached - self.computed


@dataclass
class PlainServed:
    requests: list[PlainRequest] = field(default_factory=list)
    ended: list[PlainRequest] = field(default_factory=list)
    step_s: list[float] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)


def plain_serve(
    *,
    scheduler: ReplicaScheduler,
    budget: int,
    seats: int,
    kv_blocks: float,
    block: int,
    rows: list[tuple[float, int, int]],
    users: int,
    completions: int,
    forward: ForwardModel,
    dp: int = 1,
    query_len: int = 1,
    tokens_per_pass: float = 1.0,
    prefix_hit: float = 0.0,
    mixed: str = "fused",
) -> PlainServed:
    """rows: in order of arrival; with users > 0 a new one comes at the end of each request. Everybody who is ready
    must decode together (budgets under the number of seats are not for this loop)."""
    out = PlainServed()
    coming = deque(rows)
    queue: deque[PlainRequest] = deque()
    running: list[PlainRequest] = []
    prompts: list[PlainRequest] = []
    decoding: list[PlainRequest] = []
    passes = 0  # of the replica since somebody last began to decode alone
    has_decoded = False
    now = 0.0

    def blocks_of(tokens: int) -> int:
        return math.ceil(tokens / block)

    def arrive(at: float) -> None:
        _, inputs, outputs = coming.popleft()
        request = PlainRequest(at, inputs, outputs, cached=math.floor(inputs * prefix_hit))
        out.requests.append(request)
        queue.append(request)

    def context(request: PlainRequest) -> int:
        return request.input_tokens + request.made - 1 + query_len

    def held() -> int:
        prompt_blocks = sum(blocks_of(r.input_tokens + r.made) for r in prompts)
        return prompt_blocks + sum(blocks_of(context(r)) for r in decoding)

    def price(groups: list[RequestGroup]) -> float:
        return forward.cost(tuple(groups)).latency_s if groups else 0.0

    for _ in range(users):
        arrive(0.0)
    while len(out.ended) < completions:
        while not users and coming and coming[0][0] <= now:
            arrive(coming[0][0])
        if not (running or queue):
            if not coming:
                break
            now = coming[0][0]
            continue
        full = False
        while held() > kv_blocks:
            victim = running.pop()
            for place in (prompts, decoding):
                if victim in place:
                    place.remove(victim)
            victim.computed = 0
            victim.preemptions += 1
            queue.appendleft(victim)
            full = True
        free, candidates = kv_blocks - held(), list(prompts)
        for request in queue:
            free -= blocks_of(request.input_tokens + request.made)
            if full or len(running) + len(candidates) - len(prompts) >= seats or free < 0:
                break
            candidates.append(request)
        if scheduler.takes_turns:
            for request in candidates[len(prompts) :]:
                queue.popleft()
                running.append(request)
            prompts = list(candidates)
        plan = scheduler.plan_step(
            ReplicaState(
                ready=len(decoding),
                prompts=tuple(Prompt(r.computed, r.left) for r in candidates),
                has_decoded=has_decoded,
                decode_query_len=query_len,
                max_batched_tokens=budget,
                max_chunk_tokens=budget,
            )
        )
        assert plan.decode_requests in (0, len(decoding))
        assert plan.decode_requests or plan.prefill_tokens
        chunks = []
        for request, query in zip(candidates, plan.prefill_tokens, strict=False):
            if request not in prompts:
                queue.popleft()
                running.append(request)
                prompts.append(request)
            request.computed += query
            seq = request.cached + request.computed
            chunks.append(RequestGroup(num_requests=dp, query_len=query, seq_len=seq, is_decode=False))
        decodes = [
            RequestGroup(num_requests=dp, query_len=query_len, seq_len=context(r), is_decode=True)
            for r in decoding
            if plan.decode_requests
        ]
        out.blocks.append(held())
        parts = (price(chunks), price(decodes))
        step_s = {"sum": sum(parts), "max": max(parts)}.get(mixed) or price(chunks + decodes)
        now += step_s
        out.step_s.append(step_s)

        ended = []
        if plan.decode_requests:
            has_decoded = True
            passes += 1
            tokens = math.floor(tokens_per_pass * passes + 1e-9)
            made = tokens - math.floor(tokens_per_pass * (passes - 1) + 1e-9)
            for request in list(decoding):
                request.made = min(request.output_tokens, request.made + made)
                request.token_s.append(now)
                if request.made == request.output_tokens:
                    decoding.remove(request)
                    ended.append(request)
        finished = []
        for request in candidates[: len(plan.prefill_tokens)]:
            if request.left:
                if scheduler.takes_turns:
                    prompts.remove(request)
                    prompts.append(request)
                continue
            prompts.remove(request)
            request.made += 1
            request.token_s.append(now)
            if request.made == request.output_tokens:
                finished.append(request)
            else:
                if not decoding:
                    passes = 0
                decoding.append(request)
        # whoever ends with the prompt ends before whoever ends by decoding; those by number
        for request in finished + sorted(ended, key=out.requests.index):
            running.remove(request)
            out.ended.append(request)
            if users:
                arrive(now)
        if not running:
            has_decoded = False
    return out
