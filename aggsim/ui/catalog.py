"""What the form offers to choose from: the catalog, and before it what this session brought along."""

from __future__ import annotations

from functools import cache

from aggsim import service
from aggsim.engines import engine_names
from aggsim.errors import AggsimError, InputError, UnsupportedModelError
from aggsim.models.spec import ModelSpec
from aggsim.scenario_own import is_own
from aggsim.ui import shelf


@cache
def _experts() -> dict[str, bool]:
    """Model id → it routes to experts."""
    return {model_id: spec.is_moe for model_id, spec in service.models().items() if isinstance(spec, ModelSpec)}


@cache
def _devices() -> tuple[str, ...]:
    return tuple(service.devices())


def device_ids() -> list[str]:
    """Every device: own ones, then the catalog."""
    return [*shelf.entries("device"), *_devices()]


def engine_ids() -> list[str]:
    """Every engine, those of other packages last; none of them is loaded for that."""
    return list(engine_names())


def model_ids() -> list[str]:
    """Every model: own ones, then the catalog."""
    return [*shelf.entries("model"), *_experts()]


def is_moe(model_id: str) -> bool:
    """A model that routes to experts: EP and MoE-DP mean something for it."""
    if is_own(model_id):
        try:
            return service.find_model(model_id).is_moe
        except AggsimError:
            return False
    return _experts().get(model_id, False)


def problem(kind: shelf.Kind, entry_id: str) -> AggsimError | None:
    """What is wrong with an own entry that a link brings, or with a model of the catalog that is not understood; None:
    nothing."""
    if not is_own(entry_id):
        refused = service.models().get(entry_id) if kind == "model" else None
        reason = str(refused) if isinstance(refused, UnsupportedModelError) else ""
        return InputError(kind, entry_id, f"a model that aggsim understands ({reason})") if reason else None
    try:
        _ = service.find_model(entry_id) if kind == "model" else service.find_device(entry_id)
    except AggsimError as error:
        return error
    return None
