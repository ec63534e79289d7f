"""What pages and the command line call: answers, from memory or the store where they were given before.

Nothing above this module binds an engine, and nothing below it knows that answers are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from aggsim.devices.catalog import device_ids, load_device
from aggsim.devices.spec import DeviceSpec
from aggsim.engines import engine_names, load_engine
from aggsim.engines.plugins import clashes
from aggsim.errors import UnsupportedModelError
from aggsim.forward.cost import ForwardCost
from aggsim.models.catalog import load_model, model_ids
from aggsim.models.spec import ModelSpec
from aggsim.planning.evaluate import evaluate as evaluate_deployment
from aggsim.planning.evaluation import Evaluation
from aggsim.planning.forward_request import ForwardRequest
from aggsim.planning.resolve import resolve
from aggsim.scenario import Scenario
from aggsim.service_answers import answer_key, bind, forget, kept, model_key
from aggsim.service_jobs import SearchJob, start_search
from aggsim.service_search import explain, search, size

__all__ = [
    "EngineStatus",
    "SearchJob",
    "bind",
    "devices",
    "engines",
    "evaluate",
    "explain",
    "forget",
    "forward",
    "models",
    "search",
    "size",
    "start_search",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """One engine on this machine."""

    name: str
    version: str
    reason: str | None
    """Why it cannot be used here; None: it can."""


def evaluate(scenario: Scenario, *, model: ModelSpec | None = None, device: DeviceSpec | None = None) -> Evaluation:
    """The answer to a scenario; model and device default to the catalog entries that it names.

    Raises AggsimError: InputError naming the field, UnsupportedModelError, EngineError, NoProgressError.
    """
    contents = model_key(scenario.model, model)
    model, device = model or load_model(scenario.model), device or load_device(scenario.device)
    deployment = resolve(scenario, model, device)
    key = answer_key(
        Evaluation,
        asked=deployment.asked,
        scenario=deployment.scenario,
        model=contents,
        device=deployment.device,
        engine=[deployment.engine.name, deployment.engine.version],
    )
    return kept(Evaluation, key, lambda: evaluate_deployment(deployment, bind(deployment)))


def forward(request: ForwardRequest, *, model: ModelSpec | None = None) -> ForwardCost:
    """The price of one forward pass. Raises AggsimError as evaluate does."""
    binding = request.resolve(model or load_model(request.model), load_device(request.device))
    return bind(binding).cost((request.group,))


def models() -> dict[str, ModelSpec | UnsupportedModelError]:
    """The catalog by id; an entry that cannot be priced is the error that says why."""
    found: dict[str, ModelSpec | UnsupportedModelError] = {}
    for model_id in model_ids():
        try:
            found[model_id] = load_model(model_id)
        except UnsupportedModelError as error:
            found[model_id] = error
    return found


def devices() -> dict[str, DeviceSpec]:
    """The catalog by id."""
    return {device_id: load_device(device_id) for device_id in device_ids()}


def engines() -> tuple[EngineStatus, ...]:
    """Every engine, usable here or not, those of other packages last."""
    loaded = [load_engine(name) for name in engine_names()]
    refused = [EngineStatus(name=name, version="", reason=reason) for name, reason in clashes().items()]
    return (*(EngineStatus(name=e.name, version=e.version, reason=e.availability()) for e in loaded), *refused)
