"""Searches and explanations in threads of their own: watched from outside, and stopped for good when cancelled."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from aggsim.devices.spec import DeviceSpec
from aggsim.errors import AggsimError
from aggsim.models.spec import ModelSpec
from aggsim.planning.explain import Explanation
from aggsim.planning.search import Outcome, ranked
from aggsim.planning.search_result import SearchResult
from aggsim.scenario import Scenario
from aggsim.scenario_search import SearchQuestion
from aggsim.service_executors import Executor, Watch
from aggsim.service_search import Question, explain, is_slow, search
from aggsim.service_turns import beside

__all__ = ["ExplanationJob", "SearchJob", "start_search"]

_log = logging.getLogger(__name__)


class SearchJob(Watch):
    """At work from the moment it is made. Any thread may ask it; what was priced is kept, whatever becomes of it."""

    def __init__(self, question: Question, **rest: Any) -> None:
        """rest: as of service_search.search."""
        super().__init__()
        self.question = SearchQuestion(base=question) if isinstance(question, Scenario) else question
        self.num_layouts = 0
        """Known as soon as the search begins; 0: not yet, or the answer was kept from an earlier one."""
        self.num_passes = 0
        """Asked for, those that were known included."""
        self.passes_before = 0
        """Those of the layouts that are done, as far as that can be told: num_passes when the last one was."""
        self.error: str | None = None
        """What ended it, in a sentence; None: nothing, so far."""
        self._rest = rest
        self._outcomes: dict[int, Outcome] = {}
        self._result: SearchResult | None = None
        self._lock = threading.Lock()
        self._start_s = time.monotonic()
        self._end_s: float | None = None
        self._thread = threading.Thread(target=self._work, name="search", daemon=True)
        self._thread.start()

    @property
    def num_done(self) -> int:
        return len(self._outcomes)

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    @property
    def is_cancelled(self) -> bool:
        return self.cancelled.is_set()

    @property
    def is_complete(self) -> bool:
        """result() is the whole answer."""
        return self._result is not None

    @property
    def elapsed_s(self) -> float:
        return (self._end_s or time.monotonic()) - self._start_s

    @property
    def left_s(self) -> float | None:
        """Expected seconds to the end, by the layouts so far; None: nothing to go by yet."""
        done = self.num_done
        return self.elapsed_s / done * (self.num_layouts - done) if done else None

    def result(self) -> SearchResult:
        """The answer, or what there is of it so far."""
        if self._result is not None:
            return self._result
        with self._lock:
            outcomes = [self._outcomes[index] for index in sorted(self._outcomes)]
        return ranked(self.question, outcomes, self.elapsed_s)

    def cancel(self) -> None:
        """Stop all work at once; worker processes are killed, in this process a pass is finished."""
        self.cancelled.set()

    def join(self, timeout_s: float | None = None) -> None:
        """Wait for the end of all work."""
        self._thread.join(timeout_s)

    def begin(self, num_layouts: int) -> None:
        self.num_layouts = num_layouts

    def count_pass(self) -> None:
        self.check()
        self.num_passes += 1

    def done(self, index: int, outcome: Outcome) -> None:
        with self._lock:
            self._outcomes[index] = outcome
        self.passes_before = self.num_passes

    def _work(self) -> None:
        try:
            self._result = search(self.question, watch=self, **self._rest)
        except CancelledError:
            pass
        except AggsimError as error:
            self.error = str(error)
        except RuntimeError as error:
            _log.exception("The search of %s ended", self.question.base.model)
            self.error = f"The search ended by an error: {str(error).splitlines()[-1]}"
        finally:
            self._end_s = time.monotonic()


class ExplanationJob(Watch):
    """What limits a scenario and what would help: first on its own device, which is quick, then on others too."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__()
        self.scenario = scenario
        self.answers: list[Explanation] = []
        """So far, the fullest last."""
        self.error: str | None = None
        """What ended it, in a sentence; None: nothing, so far."""
        self._thread = threading.Thread(target=self._work, name="explain", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def cancel(self) -> None:
        """Stop before the next pass."""
        self.cancelled.set()

    def check(self) -> None:
        """Pages come first. Raises CancelledError."""
        beside.give_way()
        super().check()

    def join(self, timeout_s: float | None = None) -> None:
        """Wait for the end of all work."""
        self._thread.join(timeout_s)

    def _turn(self) -> AbstractContextManager[None]:
        """An engine that takes seconds a pass works in a process of its own: nobody has to wait for it."""
        return nullcontext() if is_slow(self.scenario) else beside.turn(self.cancelled)

    def _work(self) -> None:
        try:
            for other_devices in (False, True):
                with self._turn():
                    self.answers.append(explain(self.scenario, other_devices=other_devices, watch=self))
        except CancelledError:
            pass
        except AggsimError as error:
            self.error = str(error)
        except RuntimeError as error:
            _log.exception("The explanation of %s ended", self.scenario.model)
            self.error = f"The explanation ended by an error: {str(error).splitlines()[-1]}"


def start_search(
    question: Question,
    *,
    model: ModelSpec | None = None,
    devices: Mapping[str, DeviceSpec] | None = None,
    executor: Executor | None = None,
) -> SearchJob:
    """A search in the background; arguments as of search."""
    return SearchJob(question, model=model, devices=devices, executor=executor)
