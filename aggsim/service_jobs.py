"""Searches, explanations, evaluations and steady states in threads of their own."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from aggsim.devices.spec import DeviceSpec
from aggsim.models.spec import ModelSpec
from aggsim.planning.evaluation import Evaluation
from aggsim.planning.explain import Explanation
from aggsim.planning.load_result import LoadResult
from aggsim.planning.load_runs import Hooks
from aggsim.planning.search import Outcome, ranked
from aggsim.planning.search_result import SearchResult
from aggsim.scenario import Scenario
from aggsim.scenario_search import SearchQuestion
from aggsim.service_executors import Executor
from aggsim.service_job import Job
from aggsim.service_load import evaluate, steady_state
from aggsim.service_search import Question, explain, is_slow, search
from aggsim.service_turns import beside

__all__ = ["EvaluationJob", "ExplanationJob", "SearchJob", "SteadyJob", "start_evaluation", "start_search"]


class SearchJob(Job):
    """What was priced is kept, whatever becomes of it."""

    noun = "search"

    def __init__(self, question: Question, **rest: Any) -> None:
        """rest: as of service_search.search."""
        self.question = SearchQuestion(base=question) if isinstance(question, Scenario) else question
        self.num_layouts = 0
        """Known as soon as the search begins; 0: not yet, or the answer was kept from an earlier one."""
        self.num_passes = 0
        """Asked for, those that were known included."""
        self.passes_before = 0
        """Those of the layouts that are done, as far as that can be told: num_passes when the last one was."""
        self._rest = rest
        self._outcomes: dict[int, Outcome] = {}
        self._result: SearchResult | None = None
        self._lock = threading.Lock()
        super().__init__()

    @property
    def num_done(self) -> int:
        return len(self._outcomes)

    @property
    def is_complete(self) -> bool:
        """result() is the whole answer."""
        return self._result is not None

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

    def begin(self, num_layouts: int) -> None:
        self.num_layouts = num_layouts

    def count_pass(self) -> None:
        self.check()
        self.num_passes += 1

    def done(self, index: int, outcome: Outcome) -> None:
        with self._lock:
            self._outcomes[index] = outcome
        self.passes_before = self.num_passes

    def run(self) -> None:
        self._result = search(self.question, watch=self, **self._rest)


class ExplanationJob(Job):
    """What limits a scenario and what would help: first on its own device, which is quick, then on others too."""

    noun = "explanation"

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.answers: list[Explanation] = []
        """So far, the fullest last."""
        super().__init__()

    def check(self) -> None:
        """Pages come first. Raises CancelledError."""
        beside.give_way()
        super().check()

    def run(self) -> None:
        for other_devices in (False, True):
            with self._turn():
                self.answers.append(explain(self.scenario, other_devices=other_devices, watch=self))

    def _turn(self) -> AbstractContextManager[None]:
        """An engine that takes seconds a pass works in a process of its own: nobody has to wait for it."""
        return nullcontext() if is_slow(self.scenario) else beside.turn(self.cancelled)


class SteadyJob(Job):
    """The steady state beside a burst, in its turn."""

    noun = "steady state"

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.load: LoadResult | None = None
        """None: not yet, or there is none."""
        super().__init__()

    def run(self) -> None:
        with beside.turn(self.cancelled):
            hooks = Hooks(progress=lambda _: beside.give_way(), cancel=self.cancelled)
            self.load = steady_state(self.scenario, hooks=hooks)


class EvaluationJob(Job):
    """One answer; nothing is kept of it where it is cancelled."""

    noun = "evaluation"

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.share = 0.0
        """Done so far, 0 … 1; a search does not know exactly how far it is."""
        self._answer: Evaluation | None = None
        super().__init__()

    def result(self) -> Evaluation | None:
        """The answer; None: not yet, or never."""
        return self._answer

    def run(self) -> None:
        self._answer = evaluate(self.scenario, hooks=Hooks(progress=self._hear, cancel=self.cancelled))
        self.share = 1.0

    def _hear(self, share: float) -> None:
        self.share = max(self.share, min(1.0, share))


def start_search(
    question: Question,
    *,
    model: ModelSpec | None = None,
    devices: Mapping[str, DeviceSpec] | None = None,
    executor: Executor | None = None,
) -> SearchJob:
    """A search in the background; arguments as of search."""
    return SearchJob(question, model=model, devices=devices, executor=executor)


def start_evaluation(scenario: Scenario) -> EvaluationJob:
    """An answer in the background, for arrivals that take seconds to simulate."""
    return EvaluationJob(scenario)
