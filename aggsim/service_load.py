"""Requests that arrive: the steady state beside a burst, one simulation whole, long answers in the background."""

from __future__ import annotations

import logging
import threading
import time

from aggsim.devices.spec import DeviceSpec
from aggsim.errors import AggsimError, CancelledError
from aggsim.models.spec import ModelSpec
from aggsim.planning.evaluation import Evaluation
from aggsim.planning.load_evaluate import evaluate_any, first_run
from aggsim.planning.load_evaluate import steady_state as steady_state_of
from aggsim.planning.load_result import LoadResult, SteadyState
from aggsim.planning.load_runs import Hooks, Measured
from aggsim.planning.resolve import Deployment, resolve
from aggsim.scenario import Scenario
from aggsim.service_answers import answer_key, bind, kept, model_key, remembered
from aggsim.service_own import find_device, find_model
from aggsim.service_traces import trace_rows
from aggsim.service_verdicts import Verdicts

__all__ = ["EvaluationJob", "evaluate", "load_run", "start_evaluation", "steady_state"]

_log = logging.getLogger(__name__)


def evaluate(
    scenario: Scenario,
    *,
    model: ModelSpec | None = None,
    device: DeviceSpec | None = None,
    hooks: Hooks | None = None,
) -> Evaluation:
    """The answer to a scenario; model and device default to the catalog entries that it names.

    hooks: hears how far simulated arrivals are, and may stop them (CancelledError). Raises AggsimError: InputError
    naming the field, UnsupportedModelError, EngineError, NoProgressError.
    """
    deployment, key = _question(Evaluation, scenario, model, device)
    rows = trace_rows(scenario)
    return kept(Evaluation, key, lambda: evaluate_any(deployment, bind(deployment), rows, hooks))


def steady_state(
    scenario: Scenario,
    *,
    model: ModelSpec | None = None,
    device: DeviceSpec | None = None,
    hooks: Hooks | None = None,
) -> LoadResult | None:
    """What a burst's users see when each sends the next request as the last one ends; None where none fits in memory.

    Raises EngineError where a pass takes seconds, and as evaluate does.
    """
    burst = evaluate(scenario.as_burst(), model=model, device=device)
    deployment, key = _question(SteadyState, burst.scenario, model, device)

    def compute() -> SteadyState:
        return steady_state_of(deployment, bind(deployment), burst, hooks)

    return kept(SteadyState, key, compute).load


def load_run(scenario: Scenario, *, model: ModelSpec | None = None, device: DeviceSpec | None = None) -> Measured:
    """One replica with the first seed, step by step and request by request; remembered, not stored.

    scenario: as in Evaluation.scenario, users or rate settled. Raises InputError where they are not.
    """
    deployment, key = _question(Measured, scenario, model, device)
    rows = trace_rows(scenario)
    return remembered(key, lambda: first_run(deployment, bind(deployment), rows))


def _question(
    kind: type, scenario: Scenario, model: ModelSpec | None, device: DeviceSpec | None
) -> tuple[Deployment, str]:
    contents = model_key(scenario.model, model)
    model, device = model or find_model(scenario.model), device or find_device(scenario.device)
    deployment = resolve(scenario, model, device, Verdicts(model=contents).ask)
    key = answer_key(
        kind,
        asked=deployment.asked,
        scenario=deployment.scenario,
        model=contents,
        device=deployment.device,
        engine=[deployment.engine.name, deployment.engine.version, deployment.fallback],
    )
    return deployment, key


class EvaluationJob:
    """An evaluation in a thread of its own, at work from the moment it is made."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.share = 0.0
        """Done so far, 0 … 1; a search does not know exactly how far it is."""
        self.error: AggsimError | None = None
        self._cancel = threading.Event()
        self._answer: Evaluation | None = None
        self._start_s = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="evaluation", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    @property
    def is_cancelled(self) -> bool:
        return self._cancel.is_set()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._start_s

    def result(self) -> Evaluation | None:
        """The answer; None: not yet, or never."""
        return self._answer

    def cancel(self) -> None:
        """Stop soon; nothing is kept of it."""
        self._cancel.set()

    def join(self, timeout_s: float | None = None) -> None:
        """Wait for the end of all work."""
        self._thread.join(timeout_s)

    def _hear(self, share: float) -> None:
        self.share = max(self.share, min(1.0, share))

    def _work(self) -> None:
        try:
            self._answer = evaluate(self.scenario, hooks=Hooks(progress=self._hear, cancel=self._cancel))
            self.share = 1.0
        except CancelledError:
            pass
        except AggsimError as error:
            self.error = error
        except RuntimeError as error:
            _log.exception("The evaluation of %s ended", self.scenario.model)
            self.error = AggsimError(f"The evaluation ended by an error: {str(error).splitlines()[-1]}")


def start_evaluation(scenario: Scenario) -> EvaluationJob:
    """An answer in the background, for arrivals that take seconds to simulate."""
    return EvaluationJob(scenario)
