"""python -m aggsim.service_worker: does items of a Pool, one after the other, until its standard input ends."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from typing import Any

__all__ = ["main"]


def main() -> None:
    """Frames in: (function, item). Frames out: ("report", None) before each pass, then ("done", result) or
    ("failed", traceback); whatever libraries print goes to standard error."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that engines end their own processes
    frames = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def send(kind: str, value: Any = None) -> None:
        pickle.dump((kind, value), frames)
        frames.flush()

    while True:
        try:
            function, item = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this one
        except EOFError:
            return
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


if __name__ == "__main__":
    main()
