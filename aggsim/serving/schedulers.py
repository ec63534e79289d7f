"""Who runs in the next step. A scheduler is one class and one entry of SCHEDULERS.

There are two questions. A burst (wave.py, stepped.py) is decided in counts over the whole deployment: `decide`. One
replica under continuous batching (continuous.py) is planned request by request: `plan_step`. A scheduler may answer
one or both; both are pure, so that equal states may be decided once and runs of equal steps jumped over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from aggsim.errors import InputError

__all__ = [
    "SCHEDULERS",
    "ChunkedPrefill",
    "DecodeFirstWithSlack",
    "PrefillFirst",
    "Prompt",
    "ReplicaScheduler",
    "ReplicaState",
    "Scheduler",
    "SchedulerState",
    "StaticBatch",
    "StepDecision",
    "StepPlan",
    "burst_scheduler",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerState:
    """The queues before a step, over the whole deployment."""

    ready: int
    """Requests that can decode."""
    pending: int
    """Requests at the front of the prefill queue that share their next chunk."""
    query_len: int
    """New tokens of that chunk, per request; the token budget when nothing is pending. ≥ 1."""
    max_batched_tokens: int
    """Token budget of one step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDecision:
    """Requests taken from the front of each queue: at most pending and ready, not both 0."""

    prefill_requests: int
    decode_requests: int


@runtime_checkable
class Scheduler(Protocol):
    """A policy for a burst."""

    def decide(self, state: SchedulerState) -> StepDecision:
        """What runs in the next step. Sees counts, never times."""
        ...

    def step_latency(self, prefill_s: float, decode_s: float) -> float:
        """Seconds of a step from its two passes; 0 stands for a pass that did not run."""
        ...


class Prompt(NamedTuple):
    """A prompt that may be prefilled in the next step."""

    done_tokens: int
    """Computed in earlier steps; what the prefix cache gave does not count."""
    left_tokens: int
    """Still to compute, ≥ 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaState:
    """One replica before a step of continuous batching."""

    ready: int
    """Requests that can decode."""
    prompts: tuple[Prompt, ...]
    """First those begun, then the head of the queue as far as seats and KV memory admit it; cut where one step could
    not take more anyway (chunks of twice the token budget)."""
    has_decoded: bool
    """Somebody has decoded since the replica was last empty."""
    decode_query_len: int
    """Tokens that one decoding request takes of the budget: one and its drafts."""
    max_batched_tokens: int
    """Token budget of one step."""
    max_chunk_tokens: int
    """Longest chunk of one prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """Which requests get how many tokens."""

    decode_requests: int
    """From the front of the decode queue, one pass each."""
    prefill_tokens: tuple[int, ...]
    """Of the first prompts, in order: 1 … left_tokens each."""


@runtime_checkable
class ReplicaScheduler(Protocol):
    """A policy for continuous batching."""

    @property
    def takes_turns(self) -> bool:
        """Requests are admitted as soon as they can be, and a prompt that got a chunk and is not done goes behind the
        others. Else a request is admitted with its first chunk, and the prompts that are begun stay in front."""
        ...

    @property
    def cuts_prompts(self) -> bool:
        """Prompts may be computed in several chunks; else they must fit the token budget."""
        ...

    def plan_step(self, state: ReplicaState) -> StepPlan:
        """What runs in the next step. Must run something wherever anything can run."""
        ...


class DecodeFirstWithSlack:
    """Decode all that the budget allows, then prefill what fits into the budget plus 15%; both passes overlap."""

    SLACK = 1.15
    takes_turns = True
    cuts_prompts = True

    def decide(self, state: SchedulerState) -> StepDecision:
        limit = math.floor(state.max_batched_tokens * self.SLACK)
        decode_requests = min(state.ready, state.max_batched_tokens)
        room = (limit - decode_requests) // state.query_len
        return StepDecision(prefill_requests=min(state.pending, room), decode_requests=decode_requests)

    def step_latency(self, prefill_s: float, decode_s: float) -> float:
        return max(prefill_s, decode_s)

    def plan_step(self, state: ReplicaState) -> StepPlan:
        """The same for prompts of different lengths: whole chunks of those at the front that are at the same chunk."""
        budget, longest = state.max_batched_tokens, state.max_chunk_tokens
        decode_requests = min(state.ready, budget)
        room = math.floor(budget * self.SLACK) - decode_requests
        tokens: list[int] = []
        for prompt in state.prompts:
            query_len = min(prompt.left_tokens, longest)
            if query_len > room or prompt.done_tokens // longest != state.prompts[0].done_tokens // longest:
                break
            tokens.append(query_len)
            room -= query_len
        return StepPlan(decode_requests=decode_requests, prefill_tokens=tuple(tokens))


class ChunkedPrefill:
    """vLLM v1: every ready request decodes, the rest of the budget goes to prompts, the last of them cut to fit."""

    takes_turns = False
    cuts_prompts = True

    def plan_step(self, state: ReplicaState) -> StepPlan:
        decode_requests = _decodable(state)
        room = state.max_batched_tokens - decode_requests * state.decode_query_len
        tokens: list[int] = []
        for prompt in state.prompts:
            if room <= 0:
                break
            tokens.append(min(prompt.left_tokens, room, state.max_chunk_tokens))
            room -= tokens[-1]
        return StepPlan(decode_requests=decode_requests, prefill_tokens=tuple(tokens))


class PrefillFirst:
    """vLLM v0, or TensorRT-LLM without chunking: whole prompts as soon as they are admitted, decode only where none."""

    takes_turns = False
    cuts_prompts = False

    def plan_step(self, state: ReplicaState) -> StepPlan:
        if state.prompts:
            return StepPlan(decode_requests=0, prefill_tokens=_whole_prompts(state))
        return StepPlan(decode_requests=_decodable(state), prefill_tokens=())


class StaticBatch:
    """A batch is prefilled whole, then decoded until its last request is done; only then is the next one admitted."""

    takes_turns = False
    cuts_prompts = False

    def plan_step(self, state: ReplicaState) -> StepPlan:
        if state.prompts and not state.has_decoded:
            return StepPlan(decode_requests=0, prefill_tokens=_whole_prompts(state))
        return StepPlan(decode_requests=_decodable(state), prefill_tokens=())


def _decodable(state: ReplicaState) -> int:
    """Ready requests that the budget holds, at least one."""
    return min(state.ready, max(1, state.max_batched_tokens // state.decode_query_len))


def _whole_prompts(state: ReplicaState) -> tuple[int, ...]:
    """The prompts in front that fit the budget together. One that exceeds it by itself (a preempted request
    computes its output again as well) has a step of its own."""
    room = state.max_batched_tokens
    tokens: list[int] = []
    for prompt in state.prompts:
        if tokens and prompt.left_tokens > room:
            break
        tokens.append(prompt.left_tokens)
        room -= prompt.left_tokens
    return tuple(tokens)


SCHEDULERS: dict[str, ReplicaScheduler] = {
    "decode_first_with_slack": DecodeFirstWithSlack(),
    "chunked_prefill": ChunkedPrefill(),
    "prefill_first": PrefillFirst(),
    "static_batch": StaticBatch(),
}
"""By the name a Scenario uses."""


def burst_scheduler(name: str) -> Scheduler:
    """The scheduler of that name for a burst. Raises InputError where it only knows continuous batching."""
    scheduler = SCHEDULERS[name]
    if isinstance(scheduler, Scheduler):
        return scheduler
    able = ", ".join(other for other, known in SCHEDULERS.items() if isinstance(known, Scheduler))
    raise InputError("scheduler", name, f"{able}; {name} needs requests that arrive: arrival closed, open or trace")
