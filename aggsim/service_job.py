"""Work in a thread of its own: watched from outside, stopped for good when it is cancelled."""

from __future__ import annotations

import logging
import threading
import time
from concurrent import futures

from aggsim.errors import AggsimError, CancelledError
from aggsim.service_executors import Watch

__all__ = ["Job"]

_log = logging.getLogger(__name__)


class Job(Watch):
    """At work from the moment it is made; any thread may ask it. Whoever derives sets its own fields first."""

    noun = "work"
    """What it is called where it ends by an error."""

    def __init__(self) -> None:
        super().__init__()
        self.error: AggsimError | None = None
        """What ended it; None: nothing, so far."""
        self._start_s = time.monotonic()
        self._end_s: float | None = None
        self._thread = threading.Thread(target=self._work, name=self.noun, daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    @property
    def is_cancelled(self) -> bool:
        return self.cancelled.is_set()

    @property
    def elapsed_s(self) -> float:
        return (self._end_s or time.monotonic()) - self._start_s

    def cancel(self) -> None:
        """Stop soon: worker processes are killed, in this process a pass is finished."""
        self.cancelled.set()

    def join(self, timeout_s: float | None = None) -> None:
        """Wait for the end of all work."""
        self._thread.join(timeout_s)

    def run(self) -> None:
        """The work itself. Raises AggsimError, and CancelledError where it was cancelled."""
        raise NotImplementedError

    def _work(self) -> None:
        try:
            self.run()
        except (CancelledError, futures.CancelledError):
            pass  # of a simulation, of a pass or a turn
        except AggsimError as error:
            self.error = error
        except RuntimeError as error:
            _log.exception("The %s ended", self.noun)
            self.error = AggsimError(f"The {self.noun} ended by an error: {str(error).splitlines()[-1]}")
        finally:
            self._end_s = time.monotonic()
