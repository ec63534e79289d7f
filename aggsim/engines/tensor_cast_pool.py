"""Worker processes that price passes for `tensor_cast`: one a deployment, started on demand, few, never left behind.

A Worker speaks the protocol of tensor_cast_worker.py. Whatever goes wrong (too slow, dead, garbage, an interrupt while
somebody waits) ends its process and becomes an EngineError; the next question starts a fresh one.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any, TypeVar

from aggsim.engines.tensor_cast_settings import NAME, Limits
from aggsim.errors import EngineError

__all__ = ["Job", "VersionsChangedError", "Worker", "WorkerPool"]

MAX_LINE_BYTES = 16 * 2**20
MAX_LAST_WORDS = 200
GOODBYE_S = 1.0
"""For a process to end by itself once its input has ended."""

_T = TypeVar("_T")
_Reply = dict[str, Any]


class VersionsChangedError(EngineError):
    """The worker is not what aggsim's cache keys say: the checkout or its Python was changed meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one process is for; equal jobs share one."""

    command: tuple[str, ...]
    versions: str
    """JSON of what the process must say it is."""
    bind: str
    """JSON of the deployment."""
    limits: Limits


class Worker:
    """One deployment's process, while it is there. Not for two threads at once, save cancel()."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.busy = False
        self.idle_since = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._last_words: deque[str] = deque(maxlen=20)
        self._listener: threading.Thread | None = None
        self._cause = ""
        self._number = 0

    def ask(self, question: Mapping[str, Any], num_replies: int, read: Callable[[_Reply], _T]) -> list[_T]:
        """What `read` makes of each reply; it raises KeyError, TypeError or ValueError for what is none."""
        answered = False
        try:
            if self._process is None or self._process.poll() is not None:
                self._start()
            replies = self._exchange(question, num_replies, self.job.limits.shape_s)
            values = [self._read(read, reply) for reply in replies if "error" not in reply]
            answered = True
        finally:
            if not answered:  # also when an interrupt ends the wait
                self.stop(grace_s=0)
        if "error" in replies[-1]:
            raise EngineError(NAME, f"TensorCast cannot price this: {replies[-1]['error']}")
        return values

    def cancel(self, cause: str = "was cancelled") -> None:
        """End the process whatever it does; from any thread. Who waits for it gets an EngineError."""
        process = self._process
        if process is not None:
            self._cause = self._cause or cause
            process.kill()

    def stop(self, *, grace_s: float = GOODBYE_S) -> None:
        """End the process and clean up behind it."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(OSError):
            _pipe(process.stdin).close()
        _end(process, grace_s)
        _pipe(process.stdout).close()

    def _start(self) -> None:
        self.stop(grace_s=0)
        self._cause = ""
        self._last_words.clear()
        try:
            process = subprocess.Popen(  # noqa: S603
                self.job.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=os.environ | {"PYTHONHASHSEED": "0"},  # the same bytes from every process
                start_new_session=True,  # an interrupt at the terminal is for the parent, which ends the process
            )
        except OSError as error:
            raise EngineError(NAME, f"its worker cannot be started: {error.strerror}") from error
        self._process = process
        self._listener = threading.Thread(target=self._listen, args=(process,), daemon=True)
        self._listener.start()
        hello = self._receive(self.job.limits.start_s).get("hello")
        if hello != json.loads(self.job.versions):
            raise VersionsChangedError(NAME, "TensorCast or its Python has changed since it was looked at; ask again")
        bound = self._exchange({"bind": json.loads(self.job.bind)}, 1, self.job.limits.start_s)
        if "error" in bound[0]:
            raise EngineError(NAME, f"TensorCast cannot build this: {bound[0]['error']}")

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        """Keeps the end of what the process prints, and reaps it when it ends."""
        with _pipe(process.stderr) as stderr:
            while line := stderr.readline(4096):
                if text := " ".join(line.decode(errors="replace").split()):
                    self._last_words.append(text)
        process.wait()

    def _exchange(self, question: Mapping[str, Any], num_replies: int, timeout_s: float) -> list[_Reply]:
        """The replies up to the first error."""
        self._number += 1
        line = json.dumps({"id": self._number, **question}).encode() + b"\n"
        replies: list[_Reply] = []
        while len(replies) < num_replies and not any("error" in reply for reply in replies):
            reply = self._receive(timeout_s, line if not replies else b"")
            if reply.get("id") != self._number:
                raise self._garbage(json.dumps(reply))
            replies.append(reply)
        return replies

    def _receive(self, timeout_s: float, question: bytes = b"") -> _Reply:
        """Send the question, if any, and wait for one line."""
        if self._process is None:
            raise EngineError(NAME, "its worker is not running")
        timer = threading.Timer(timeout_s, self.cancel, [f"did not answer within {timeout_s:g} s and was stopped"])
        timer.daemon = True
        timer.start()
        try:
            stdin = _pipe(self._process.stdin)
            stdin.write(question)
            stdin.flush()
            line = _pipe(self._process.stdout).readline(MAX_LINE_BYTES)
        except BrokenPipeError:
            line = b""
        finally:
            timer.cancel()
        if not line.endswith(b"\n"):
            raise self._dead(line)
        try:
            reply = json.loads(line)
        except ValueError:
            reply = None
        if not isinstance(reply, dict):
            raise self._garbage(line.decode(errors="replace"))
        return reply

    def _read(self, read: Callable[[_Reply], _T], reply: _Reply) -> _T:
        try:
            return read(reply)
        except (KeyError, TypeError, ValueError):
            raise self._garbage(json.dumps(reply)) from None

    def _dead(self, rest: bytes) -> EngineError:
        process = self._process
        if len(rest) == MAX_LINE_BYTES or process is None:
            return self._garbage(rest.decode(errors="replace"))
        code = _end(process, GOODBYE_S)  # its output is closed: it is about to end
        if self._listener is not None:
            self._listener.join(GOODBYE_S)
        how = f"ended with signal {-code}" if code < 0 else f"ended with exit code {code}"
        return EngineError(NAME, f"its worker {self._cause or how}{self._tail()}")

    def _garbage(self, text: str) -> EngineError:
        shown = " ".join(text.split())[:80]
        return EngineError(NAME, f'its worker sent what is no answer, "{shown}", and was stopped{self._tail()}')

    def _tail(self) -> str:
        return f" (it last said: {self._last_words[-1][-MAX_LAST_WORDS:]})" if self._last_words else ""


class WorkerPool:
    """Workers by Job, at most limits.workers of them: the one that has been idle for longest makes room."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._workers: dict[Job, Worker] = {}
        self._reaper: threading.Thread | None = None
        atexit.register(self.close)

    def ask(self, job: Job, question: Mapping[str, Any], num_replies: int, read: Callable[[_Reply], _T]) -> list[_T]:
        """Worker.ask of the job's worker, once it is free. Raises EngineError."""
        with self._borrowed(job) as worker:
            return worker.ask(question, num_replies, read)

    def cancel(self) -> None:
        """End every process that is at work; who waits for it gets an EngineError."""
        with self._changed:
            for worker in self._workers.values():
                if worker.busy:
                    worker.cancel()

    def close(self) -> None:
        """End every process."""
        self.cancel()
        with self._changed:
            self._drop([job for job, worker in self._workers.items() if not worker.busy])

    @contextmanager
    def _borrowed(self, job: Job) -> Iterator[Worker]:
        with self._changed:
            while (worker := self._free(job)) is None:
                self._changed.wait()
            worker.busy = True
        try:
            yield worker
        finally:
            with self._changed:
                worker.busy, worker.idle_since = False, time.monotonic()
                if self._reaper is None:
                    self._reaper = threading.Thread(target=self._reap, daemon=True)
                    self._reaper.start()
                self._changed.notify_all()

    def _free(self, job: Job) -> Worker | None:
        """The job's worker, or a place for it; None: wait for one."""
        worker = self._workers.get(job)
        if worker is None:
            if len(self._workers) >= job.limits.workers:
                idle = [other for other, theirs in self._workers.items() if not theirs.busy]
                if not idle:
                    return None
                self._drop([min(idle, key=lambda other: self._workers[other].idle_since)])
            worker = self._workers[job] = Worker(job)
        return None if worker.busy else worker

    def _drop(self, jobs: list[Job]) -> None:
        for job in jobs:
            self._workers.pop(job).stop()

    def _reap(self) -> None:
        """Its own thread while there are workers: ends those that have been idle for too long."""
        with self._changed:
            while self._workers:
                ends = {job: w.idle_since + job.limits.idle_s for job, w in self._workers.items() if not w.busy}
                now = time.monotonic()
                self._drop([job for job, end in ends.items() if end <= now])
                self._changed.wait(max(min(ends.values(), default=now + 60) - now, 0.01))
            self._reaper = None


def _end(process: subprocess.Popen[bytes], grace_s: float) -> int:
    """The exit code of a process that is given this long to end by itself."""
    try:
        return process.wait(grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise RuntimeError("a worker's process has all three pipes")
    return stream
