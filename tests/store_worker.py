"""Another process at the same store, for tests/test_store.py: python -m tests.store_worker JOB LOCATION [NOTES].

Every job says "ready" and starts when it reads a line.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
from pathlib import Path

from aggsim.store import Store

VALUE = {"rows": list(range(20_000))}


def compute(location: str, notes: str, seconds: float) -> None:
    """Answer one key; a line in the file `notes` for each time that it had to be computed."""

    def slow() -> object:
        with Path(notes).open("a") as file:
            file.write("computed\n")
        time.sleep(seconds)
        return VALUE

    print(json.dumps(Store(location).get_or_compute("cold", slow) == VALUE))


def write_forever(location: str) -> None:
    """Values as files and values as rows, until killed."""
    store = Store(location)
    for number in range(1_000_000):
        store.put(f"file {number % 50}", [number, *VALUE["rows"]])
        store.put(f"row {number % 50}", number)


def full_disk(location: str) -> None:
    """Answer 50 keys where no file may grow beyond 96 KiB: SQLite and diskcache see a disk without room."""
    logging.basicConfig(stream=sys.stderr, format="%(name)s %(levelname)s %(message)s")
    resource.setrlimit(resource.RLIMIT_FSIZE, (96 << 10, 96 << 10))
    store = Store(location)
    print(json.dumps([store.get_or_compute(f"key {i}", lambda i=i: [i] * 9_000) == [i] * 9_000 for i in range(50)]))
    print(json.dumps(store.stats().problem))


if __name__ == "__main__":
    job, arguments = sys.argv[1], sys.argv[2:]
    print("ready", flush=True)
    sys.stdin.readline()
    if job == "compute":
        compute(*arguments, seconds=0.5)
    elif job == "compute_slowly":
        compute(*arguments, seconds=300.0)
    elif job == "write_forever":
        write_forever(*arguments)
    elif job == "full_disk":
        full_disk(*arguments)
