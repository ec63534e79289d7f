"""The decoding requests of a simulated run, kept so that a run of steps costs no more than one."""

from __future__ import annotations

from collections import deque
from itertools import chain

__all__ = ["DecodeQueue"]


class DecodeQueue:
    """First in, first out; a request that still has tokens to make goes back to the end.

    That is a circle with a pointer. A lap is one round of the pointer from a fixed mark, so a request that joins
    behind the pointer in lap l makes the last of its n tokens in lap l + n: nobody needs to be touched for a token,
    and who joins first finishes first.
    """

    def __init__(self) -> None:
        self.ready = 0
        """Requests in the queue."""
        self._lap = 0
        self._num_ahead = 0
        # From the mark on the circle is passed + ahead, entries (last lap, requests). Entries whose last lap is over
        # are dead; they lie in the way until the pointer meets them.
        self._passed: deque[tuple[int, int]] = deque()
        self._ahead: deque[tuple[int, int]] = deque()
        # (last lap, requests, event of the first token) in the order of joining, which is that of finishing.
        self._due: deque[tuple[int, int, int]] = deque()

    def join(self, num_requests: int, remaining: int, event: int) -> None:
        """Requests with `remaining` ≥ 1 tokens still to make enter at the end; event: when they had their first."""
        last_lap = self._lap + remaining
        self._passed.append((last_lap, num_requests))
        self._due.append((last_lap, num_requests, event))
        self.ready += num_requests

    def steps_to_finish(self, width: int) -> int:
        """Steps of `width` requests each up to and including the first in which a request finishes."""
        first_due = self._due[0][0]
        laps = first_due - self._lap
        if width == self._num_ahead == self.ready:
            return laps + 1
        served = self._num_ahead + (laps - 1) * self.ready if laps else 0
        for last_lap, num_requests in chain(self._passed, self._ahead) if laps else self._ahead:
            if last_lap == first_due:
                break
            if last_lap > first_due:
                served += num_requests
        return served // width + 1

    def serve(self, num_tokens: int) -> list[tuple[int, int]]:
        """The next num_tokens requests of the circle make a token each, as often as their turn comes.

        Returns (requests, event of their first token) of those that made their last one.
        """
        finished: list[tuple[int, int]] = []
        while num_tokens >= self._num_ahead and num_tokens:
            num_tokens -= self._num_ahead
            self._finish(self._num_ahead, finished)
            self._lap += 1
            self._ahead.extendleft(reversed(self._passed))
            self._passed.clear()
            if num_tokens:
                idle_laps = min(num_tokens // self.ready, self._due[0][0] - self._lap)
                self._lap += idle_laps
                num_tokens -= idle_laps * self.ready
            self._num_ahead = self.ready
        self._num_ahead -= num_tokens
        while num_tokens:
            last_lap, num_requests = self._ahead.popleft()
            if last_lap < self._lap:
                continue
            served = min(num_requests, num_tokens)
            num_tokens -= served
            if served < num_requests:
                self._ahead.appendleft((last_lap, num_requests - served))
            if last_lap == self._lap:
                self._finish(served, finished)
            elif self._passed and self._passed[-1][0] == last_lap:
                self._passed[-1] = (last_lap, self._passed[-1][1] + served)
            else:
                self._passed.append((last_lap, served))
        return finished

    def _finish(self, at_most: int, finished: list[tuple[int, int]]) -> None:
        """Let up to at_most requests leave whose last lap is this one."""
        while at_most and self._due and self._due[0][0] == self._lap:
            last_lap, num_requests, event = self._due.popleft()
            leaving = min(num_requests, at_most)
            if leaving < num_requests:
                self._due.appendleft((last_lap, num_requests - leaving, event))
            finished.append((leaving, event))
            self.ready -= leaving
            at_most -= leaving
