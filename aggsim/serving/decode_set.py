"""The decoding requests of one replica under continuous batching: context, KV blocks and who finishes when.

All of them make a pass together, so one counter of passes stands for everybody's progress: a request is two numbers,
what its context would have been at pass 0 and the token count at which it is done. A run of passes costs no more than
one. Where a pass yields E tokens on average (drafts of MTP), pass p yields floor(E·p) − floor(E·(p − 1)): whole
tokens, the same for every request.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from collections.abc import Iterable
from itertools import islice

__all__ = ["DecodeSet"]


class DecodeSet:
    """Members are ids, in the order of their turns; a context is tokens whose keys and values are in the cache."""

    def __init__(self, *, block_tokens: int, query_len: int = 1, tokens_per_pass: float = 1.0) -> None:
        self._block = block_tokens
        self._query_len = query_len
        self._tokens_per_pass = tokens_per_pass
        self._passes = 0
        self._made = 0  # floor(E · passes)
        self._members: OrderedDict[int, tuple[int, int]] = OrderedDict()  # id → (context at pass 0, made when done)
        self._due: list[tuple[int, int]] = []  # heap of (made when done, id), with entries that no longer hold
        # Of the contexts at pass 0: their sum, and whole blocks and the rest of each.
        self._sum_context = 0
        self._sum_blocks = 0
        self._rests = [0] * block_tokens

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, request: int) -> bool:
        return request in self._members

    def join(self, request: int, context: int, left_tokens: int) -> None:
        """At the end of the turns, with left_tokens ≥ 1 still to make."""
        if not self._members:
            self._passes = self._made = 0
            self._due.clear()
        self._enter(request, context - self._made, self._made + left_tokens)

    def to_front(self, requests: Iterable[int]) -> None:
        """These members have the next turns, in this order."""
        for request in reversed(list(requests)):
            self._members.move_to_end(request, last=False)

    def leave(self, request: int) -> int:
        """Takes a member out. Returns the tokens it still had to make."""
        context, due = self._members.pop(request)
        self._count(context, -1)
        return due - self._made

    def sum_seq_len(self, ahead: int = 0) -> int:
        """Σ seq_len over the members in the next pass, or in one that many later; drafts included."""
        return self._sum_context + len(self._members) * (self._made_after(ahead) + self._query_len)

    def sum_seq_len_of(self, width: int) -> int:
        """Of those with the next turns."""
        contexts = (context for context, _ in islice(self._members.values(), width))
        return sum(contexts) + width * (self._made + self._query_len)

    def blocks(self, ahead: int = 0) -> int:
        """KV blocks that the members need in that pass."""
        laps, shift = divmod(self._made_after(ahead) + self._query_len, self._block)
        # ceil((rest + shift) / block): mostly 1, 2 for the rests that overflow, 0 for an empty one
        empty = self._rests[0] if shift == 0 else 0
        overflowing = sum(self._rests[self._block - shift + 1 :])
        return self._sum_blocks + len(self._members) * (laps + 1) + overflowing - empty

    def passes_to_finish(self) -> int:
        """Passes up to and including the first that completes a member."""
        while (due := self._due[0])[1] not in self._members or self._members[due[1]][1] != due[0]:
            heapq.heappop(self._due)
        passes = math.ceil((due[0] - 0.5) / self._tokens_per_pass)
        while self._tokens(passes) < due[0]:
            passes += 1
        return passes - self._passes

    def passes_that_fit(self, blocks: int, at_most: int) -> int:
        """The most passes in a row that need no more than so many blocks; the first one must."""
        if self.blocks(at_most - 1) <= blocks:
            return at_most
        low, high = 1, at_most
        while high - low > 1:
            middle = (low + high) // 2
            if self.blocks(middle - 1) <= blocks:
                low = middle
            else:
                high = middle
        return low

    def serve_all(self, passes: int) -> list[int]:
        """Everybody makes so many passes, at most passes_to_finish(). Returns who is done; they leave."""
        self._passes += passes
        self._made = self._tokens(self._passes)
        return self._done()

    def serve(self, width: int) -> tuple[list[int], list[int]]:
        """The first `width` members make a pass and go to the end. Returns them, and who of them is done and left."""
        served = list(islice(self._members, width))
        waiting = list(islice(self._members, width, None))
        before = self._made
        self._passes += 1
        self._made = self._tokens(self._passes)
        for request in waiting:
            context, due = self._members.pop(request)
            self._count(context, -1)
            self._enter(request, context - (self._made - before), due + (self._made - before))
        for request in served:
            self._members.move_to_end(request)
        return served, self._done()

    def _enter(self, request: int, context: int, due: int) -> None:
        self._members[request] = (context, due)
        self._count(context, 1)
        heapq.heappush(self._due, (due, request))

    def _count(self, context: int, sign: int) -> None:
        blocks, rest = divmod(context, self._block)
        self._sum_context += sign * context
        self._sum_blocks += sign * blocks
        self._rests[rest] += sign

    def _done(self) -> list[int]:
        done: list[int] = []
        while self._due and self._due[0][0] <= self._made:
            due, request = heapq.heappop(self._due)
            if request in self._members and self._members[request][1] == due:
                self.leave(request)
                done.append(request)
        return sorted(done)

    def _made_after(self, ahead: int) -> int:
        return self._tokens(self._passes + ahead) if ahead else self._made

    def _tokens(self, passes: int) -> int:
        return math.floor(self._tokens_per_pass * passes + 1e-9)
