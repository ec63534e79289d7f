"""Named locks over threads and processes, for the store: who comes second waits, but not for ever."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakValueDictionary

if sys.platform != "win32":
    import fcntl

__all__ = ["hold"]

_guard = threading.Lock()
_threads: WeakValueDictionary[tuple[Path, str], threading.RLock] = WeakValueDictionary()
_files: dict[Path, int] = {}  # never closed: closing one lets go of every lock that this process has on the file


@contextmanager
def hold(path: Path, name: str, wait_s: float) -> Iterator[None]:
    """Waits at most wait_s for the lock `name` in the file `path`, then goes on without it. Threads may nest a name.

    Over processes it is one byte of the file, which the system lets go when its holder dies. Where that cannot be had
    (Windows, some network disks, a read-only folder) only the threads of this process are kept apart.
    """
    deadline = time.monotonic() + wait_s
    with _guard:
        lock = _threads.setdefault((path, name), threading.RLock())
    if not lock.acquire(timeout=wait_s):
        yield
        return
    try:
        byte = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7])
        file = _locked_file(path, byte, deadline)
        try:
            yield
        finally:
            if file is not None and sys.platform != "win32":
                fcntl.lockf(file, fcntl.LOCK_UN, 1, byte)
    finally:
        lock.release()


def _locked_file(path: Path, byte: int, deadline: float) -> int | None:
    if sys.platform == "win32":
        return None
    try:
        with _guard:
            file = _files.get(path)
            if file is None or os.fstat(file).st_nlink == 0:
                file = _files[path] = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        while True:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
                return file
            except BlockingIOError:
                if time.monotonic() > deadline:
                    return None
                time.sleep(0.01)
    except OSError:
        return None
