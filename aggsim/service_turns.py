"""Turns for what is worked out beside the pages: one thread at a time, whichever session it is for.

Python runs one thread at a time. Every further one that computes makes each page that is drawn wait for its share.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager

__all__ = ["Turns", "beside"]

_LOOK_S = 0.1
"""How soon one that waits notices that it is no longer wanted."""


class Turns:
    """First come, first served; who is cancelled while waiting leaves the queue."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: list[object] = []

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


beside = Turns()
"""Of this process."""
