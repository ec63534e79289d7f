"""One data-parallel replica under continuous batching: how it serves, and who is in it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import NamedTuple

from aggsim.serving.decode_set import DecodeSet
from aggsim.serving.schedulers import Prompt, ReplicaScheduler

__all__ = ["Offer", "Replica", "Request", "Seats"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """How one replica serves."""

    scheduler: ReplicaScheduler
    max_batched_tokens: int
    max_num_seqs: int
    """Seats: requests that hold KV blocks at a time."""
    kv_blocks: int | None
    """What memory leaves for the KV cache; None: without end."""
    kv_block_tokens: int
    prefix_hit: float = 0.0
    """Share of each prompt that the prefix cache holds."""
    decode_query_len: int = 1
    """New tokens of a decode pass: one and the drafts of MTP."""
    tokens_per_pass: float = 1.0
    """Output tokens it yields on average."""
    max_chunk_tokens: int | None = None
    """Longest chunk of one prompt; None: the token budget."""

    @property
    def longest_chunk(self) -> int:
        return self.max_chunk_tokens or self.max_batched_tokens

    @property
    def max_request_tokens(self) -> float:
        """Most input + output tokens of a request that can be served."""
        if self.kv_blocks is None:
            return math.inf
        return self.kv_blocks * self.kv_block_tokens - (self.decode_query_len - 1)

    def blocks(self, tokens: int) -> int:
        """KV blocks of so many tokens."""
        return -(-tokens // self.kv_block_tokens)


@dataclass(slots=True, eq=False)
class Request:
    """One request on its way; runs are indices into the log, −1: not yet."""

    number: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    arrival_s: float
    arrival_run: int
    """It arrived at the end of this run; −1: at arrival_s."""
    left_tokens: int
    """Of the prompt, and after a preemption of the output so far, still to compute."""
    made_tokens: int = 0
    """Output so far; while it decodes, before it joined."""
    start_run: int = -1
    """The first that computed something for it."""
    first_token_run: int = -1
    last_token_run: int = -1
    """Before a preemption."""
    end_run: int = -1
    preemptions: int = 0

    @property
    def context(self) -> int:
        """Tokens whose keys and values the prefill leaves in the cache."""
        return self.input_tokens + self.made_tokens

    @property
    def done_tokens(self) -> int:
        """Computed since it was admitted."""
        return self.context - self.cached_tokens - self.left_tokens


class Offer(NamedTuple):
    """What a scheduler may choose from."""

    prompts: tuple[Prompt, ...]
    is_blocked: bool
    """Seats or memory keep the head of the queue out."""
    sees_all: bool
    """One more request in the queue would be in the offer."""


class Seats:
    """Who waits, who has a seat, and the KV blocks they hold."""

    def __init__(self, replica: Replica) -> None:
        self.queue: deque[Request] = deque()
        self.prompts: deque[Request] = deque()
        """Have a seat and are not done with their prompt."""
        self.decode = DecodeSet(
            block_tokens=replica.kv_block_tokens,
            query_len=replica.decode_query_len,
            tokens_per_pass=replica.tokens_per_pass,
        )
        self._replica = replica
        self._seated: dict[int, Request] = {}  # in the order of admission
        self._prompt_blocks = 0

    def __len__(self) -> int:
        return len(self._seated)

    def blocks(self, ahead: int = 0) -> int:
        """KV blocks held in the next pass of all who decode, or that many passes later."""
        return self._prompt_blocks + self.decode.blocks(ahead)

    def passes_that_fit(self, at_most: int) -> int:
        """Passes of all who decode before memory runs out; the first one fits."""
        if self._replica.kv_blocks is None:
            return at_most
        return self.decode.passes_that_fit(self._replica.kv_blocks - self._prompt_blocks, at_most)

    def make_room(self) -> list[tuple[Request, bool]]:
        """Preempts, last admitted first, until the next pass of all who decode fits. Returns who had to go, and whether
        they were decoding."""
        preempted: list[tuple[Request, bool]] = []
        while self._replica.kv_blocks is not None and self.blocks() > self._replica.kv_blocks:
            _, request = self._seated.popitem()
            decodes = request.number in self.decode
            if decodes:
                request.made_tokens = request.output_tokens - self.decode.leave(request.number)
            else:
                self._leave_prompts(request)
            request.left_tokens = request.context - request.cached_tokens
            request.preemptions += 1
            self.queue.appendleft(request)
            preempted.append((request, decodes))
        return preempted

    def offer(self, *, admits: bool) -> Offer:
        """Prompts for the next step, those that could be admitted included; admits: somebody may be."""
        takes_turns = self._replica.scheduler.takes_turns
        if admits and takes_turns:
            for _ in list(self._admissible()):
                self._admit()
        room = 2 * self._replica.max_batched_tokens
        prompts: list[Prompt] = []
        for request in chain(self.prompts, self._admissible() if admits and not takes_turns else ()):
            prompts.append(Prompt(request.done_tokens, request.left_tokens))
            room -= min(request.left_tokens, self._replica.longest_chunk)
            if room <= 0:
                return Offer(tuple(prompts), is_blocked=False, sees_all=False)
        waiting = len(self.queue) - (len(prompts) - len(self.prompts))
        is_full = len(self) + len(prompts) - len(self.prompts) >= self._replica.max_num_seqs
        return Offer(tuple(prompts), is_blocked=waiting > 0, sees_all=admits and not waiting and not is_full)

    def take_chunks(self, tokens: tuple[int, ...]) -> list[Request]:
        """The first prompts of the offer compute so many tokens each; who has no seat yet takes one."""
        for _ in range(len(tokens) - len(self.prompts)):
            self._admit()
        chunks = list(islice(self.prompts, len(tokens)))
        for request, query_len in zip(chunks, tokens, strict=True):
            request.left_tokens -= query_len
        return chunks

    def end_chunk(self, request: Request) -> bool:
        """After its chunk. True: the prompt is done and makes a token."""
        if not request.left_tokens:
            self._leave_prompts(request)
            return True
        if self._replica.scheduler.takes_turns:
            self.prompts.remove(request)
            self.prompts.append(request)
        return False

    def leave(self, request: Request) -> None:
        """It has ended."""
        del self._seated[request.number]

    def _admissible(self) -> Iterator[Request]:
        """The head of the queue, as far as seats and the memory for whole prompts reach."""
        replica = self._replica
        seats = replica.max_num_seqs - len(self)
        if seats <= 0 or not self.queue:
            return
        free = math.inf if replica.kv_blocks is None else float(replica.kv_blocks - self.blocks())
        for request in islice(self.queue, seats):
            free -= replica.blocks(request.context)
            if free < 0:
                return
            yield request

    def _admit(self) -> None:
        request = self.queue.popleft()
        self.prompts.append(request)
        self._seated[request.number] = request
        self._prompt_blocks += self._replica.blocks(request.context)

    def _leave_prompts(self, request: Request) -> None:
        self.prompts.remove(request)
        self._prompt_blocks -= self._replica.blocks(request.context)
