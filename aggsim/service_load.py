"""Requests that arrive: the steady state beside a burst and one simulation whole."""

from __future__ import annotations

from aggsim.devices.spec import DeviceSpec
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

__all__ = ["evaluate", "load_run", "steady_state"]


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
