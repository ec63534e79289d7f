"""Worker processes of our own: each is given one item at a time, and can be killed with all it has started.

A worker is a Python of its own (see service_worker.py), not a fork or a multiprocessing child: those would run the main
script again, which under Streamlit is the dashboard. Frames of pickle go over its standard input and output.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from aggsim.errors import EngineError

__all__ = ["Pool"]

WORKER = (sys.executable, "-m", "aggsim.service_worker")
GRACE_S = 2.0


@dataclass(slots=True, eq=False)
class _Worker:
    process: subprocess.Popen[bytes]
    index: int
    """The item it works on."""


class Pool:
    """function(item, report) of every item, in worker processes; leaving it kills them."""

    def __init__(self, function: Callable[..., Any], items: Sequence[Any], *, num_workers: int, retries: int) -> None:
        self._function, self._items = function, items
        self._waiting = deque(range(len(items)))
        self._left = len(items)
        self._tries = dict.fromkeys(self._waiting, retries + 1)
        self._heard: queue.SimpleQueue[tuple[_Worker, tuple[str, Any] | None]] = queue.SimpleQueue()
        self._workers: set[_Worker] = set()
        self._num_workers = num_workers

    def __enter__(self) -> Pool:
        while self._waiting and len(self._workers) < self._num_workers:
            self._start(self._waiting.popleft())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            _end(worker.process)
        self._workers.clear()

    @property
    def is_done(self) -> bool:
        return self._left == 0

    def events(self, timeout_s: float) -> Iterator[tuple[int | None, Any]]:
        """What happened within the time: (index, result) of an item, (None, None) of one report.

        Raises RuntimeError with the traceback where function raised, EngineError where an item's worker died too often.
        """
        try:
            worker, message = self._heard.get(timeout=timeout_s)
        except queue.Empty:
            return
        if message is None:
            self._replace(worker)
            return
        kind, value = message
        if kind == "report":
            yield None, None
        elif kind == "failed":
            raise RuntimeError(f"a search worker failed:\n{value}")
        else:
            self._left -= 1
            index = worker.index
            if self._waiting:
                self._give(worker, self._waiting.popleft())
            yield index, value

    def _start(self, index: int) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
        process = subprocess.Popen(  # noqa: S603
            WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True
        )
        worker = _Worker(process, index)
        self._workers.add(worker)
        threading.Thread(target=_listen, args=(worker, self._heard), name="search-worker", daemon=True).start()
        self._give(worker, index)

    def _give(self, worker: _Worker, index: int) -> None:
        worker.index = index
        self._tries[index] -= 1
        pipe = worker.process.stdin
        if pipe is None:
            raise RuntimeError("a worker has its standard input piped")
        try:
            pickle.dump((self._function, self._items[index]), pipe)
            pipe.flush()
        except OSError:  # it has died: _listen says so
            return

    def _replace(self, worker: _Worker) -> None:
        """Its worker died: another one takes the item."""
        self._workers.discard(worker)
        _end(worker.process)
        if not self._tries[worker.index]:
            raise EngineError("search", f"the process working on layout {worker.index + 1} died again and again")
        self._start(worker.index)


def _listen(worker: _Worker, heard: queue.SimpleQueue[tuple[_Worker, tuple[str, Any] | None]]) -> None:
    """Everything the worker says, then None when it says no more."""
    pipe = worker.process.stdout
    try:
        while pipe is not None:
            heard.put((worker, pickle.load(pipe)))  # noqa: S301 - from a process of our own
    except (EOFError, OSError, ValueError, pickle.UnpicklingError):
        heard.put((worker, None))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what was asked to go and has not gone, with all its session, and reap it; what is gone already is fine.

    Asked first, since an engine's own processes may live in sessions of their own and are ended by who started them.
    """
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S)
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            if pipe is not None:
                pipe.close()
    process.wait()
