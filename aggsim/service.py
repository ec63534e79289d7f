"""What pages and the command line call: answers, from memory or the store where they were given before.

Nothing above this module binds an engine, and nothing below it knows that answers are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from aggsim.devices import catalog as device_catalog
from aggsim.devices.catalog import load_device
from aggsim.devices.spec import DeviceSpec
from aggsim.engines import engine_names, load_engine
from aggsim.engines.plugins import clashes
from aggsim.errors import UnsupportedModelError
from aggsim.forward.cost import ForwardCost
from aggsim.models.catalog import catalog_ids, load_model
from aggsim.models.spec import ModelSpec
from aggsim.planning.forward_request import ForwardRequest
from aggsim.service_answers import bind, forget
from aggsim.service_jobs import EvaluationJob, SearchJob, start_evaluation, start_search
from aggsim.service_law import propose_law
from aggsim.service_load import evaluate, load_run, steady_state
from aggsim.service_own import find_device, find_model
from aggsim.service_search import explain, search, size
from aggsim.service_traces import keep_trace

__all__ = [
    "EngineStatus",
    "EvaluationJob",
    "SearchJob",
    "bind",
    "devices",
    "engines",
    "evaluate",
    "explain",
    "find_device",
    "find_model",
    "forget",
    "forward",
    "keep_trace",
    "load_run",
    "models",
    "propose_law",
    "search",
    "size",
    "start_evaluation",
    "start_search",
    "steady_state",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """One engine on this machine."""

    name: str
    version: str
    reason: str | None
    """Why it cannot be used here; None: it can."""


def forward(request: ForwardRequest, *, model: ModelSpec | None = None) -> ForwardCost:
    """The price of one forward pass. Raises AggsimError as evaluate does."""
    binding = request.resolve(model or find_model(request.model), find_device(request.device))
    return bind(binding).cost((request.group,))


def models() -> dict[str, ModelSpec | UnsupportedModelError]:
    """The catalog by id; an entry that cannot be priced is the error that says why."""
    found: dict[str, ModelSpec | UnsupportedModelError] = {}
    for model_id in catalog_ids():
        try:
            found[model_id] = load_model(model_id)
        except UnsupportedModelError as error:
            found[model_id] = error
    return found


def devices() -> dict[str, DeviceSpec]:
    """The catalog by id."""
    return {device_id: load_device(device_id) for device_id in device_catalog.catalog_ids()}


def engines() -> tuple[EngineStatus, ...]:
    """Every engine, usable here or not, those of other packages last."""
    loaded = [load_engine(name) for name in engine_names()]
    refused = [EngineStatus(name=name, version="", reason=reason) for name, reason in clashes().items()]
    return (*(EngineStatus(name=e.name, version=e.version, reason=e.availability()) for e in loaded), *refused)
