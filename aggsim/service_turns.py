"""Turns for what is worked out beside the pages: one thread at a time, whichever session it is for, and pages first.

Python runs one thread at a time: every further one that computes makes the pages that are being drawn wait for its
share. So what is beside them stands back while one is drawn.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager

__all__ = ["Turns", "beside"]

_LOOK_S = 0.1
"""How soon one that waits notices that it is no longer wanted."""
_STAND_BACK_S = 0.1
"""At most, between two passes: where pages are drawn all the time, the rest goes on slowly."""


class Turns:
    """First come, first served; who is cancelled while waiting leaves the queue."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: list[object] = []
        self._drawn = 0
        """Pages that are being drawn."""
        self._mine = threading.local()

    @contextmanager
    def turn(self, cancelled: threading.Event) -> Iterator[None]:
        """Raises CancelledError where that is set before the turn comes."""
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
        try:
            with self._changed:
                while self._queue[0] is not ticket:
                    if cancelled.is_set():
                        raise CancelledError
                    self._changed.wait(_LOOK_S)
            if cancelled.is_set():
                raise CancelledError
            yield
        finally:
            with self._changed:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def give_way(self) -> None:
        """Called now and then by whose turn it is."""
        if self._drawn:
            with self._changed:
                self._changed.wait_for(lambda: self._drawn == 0, _STAND_BACK_S)

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """This thread draws a page."""
        self._count(1)
        self._mine.draws = True
        try:
            yield
        finally:
            self._mine.draws = False
            self._count(-1)

    @contextmanager
    def resting(self) -> Iterator[None]:
        """This thread waits for somebody's turn: it draws nothing meanwhile."""
        draws = getattr(self._mine, "draws", False)
        self._count(-draws)
        try:
            yield
        finally:
            self._count(draws)

    def _count(self, pages: int) -> None:
        with self._changed:
            self._drawn += pages
            self._changed.notify_all()


beside = Turns()
"""Of this process."""
