"""python -m aggsim.service_worker: does items of a Pool, one after the other, until its standard input ends."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from typing import IO, Any

__all__ = ["main"]


def main() -> None:
    """Frames in: (function, item). Frames out: ("report", None) before each pass, then ("done", result) or
    ("failed", traceback); whatever libraries print goes to standard error."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that engines end their own processes
    frames = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    items: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
    # of its own, so that the end of whoever asked is seen in the middle of a pass too
    source = os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    threading.Thread(target=_read, args=(source, items), daemon=True).start()

    def send(kind: str, value: Any = None) -> None:
        pickle.dump((kind, value), frames)
        frames.flush()

    while True:
        function, item = items.get()
        try:
            send("done", function(item, lambda: send("report")))
        except BrokenPipeError:  # whoever asked is gone
            return
        except (
            ArithmeticError,
            AttributeError,
            ImportError,
            LookupError,
            OSError,
            RuntimeError,
            TypeError,
            ValueError,
        ):
            send("failed", traceback.format_exc())


def _read(source: IO[bytes], items: queue.SimpleQueue[tuple[Any, Any]]) -> None:
    """When there is no more, this process ends as if it had been told to."""
    try:
        while True:
            items.put(pickle.load(source))  # noqa: S301 - from the process that started this one
    except EOFError:
        pass
    except (AttributeError, ImportError, IndexError, OSError, pickle.UnpicklingError):
        traceback.print_exc()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
