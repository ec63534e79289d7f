"""What the form offers to choose from."""

from __future__ import annotations

from functools import cache

from aggsim import service
from aggsim.engines import engine_names
from aggsim.models.spec import ModelSpec


@cache
def _experts() -> dict[str, bool]:
    """Model id → it routes to experts."""
    return {model_id: isinstance(spec, ModelSpec) and spec.is_moe for model_id, spec in service.models().items()}


@cache
def device_ids() -> list[str]:
    """Every device of the catalog."""
    return list(service.devices())


def engine_ids() -> list[str]:
    """Every engine, those of other packages last; none of them is loaded for that."""
    return list(engine_names())


def model_ids() -> list[str]:
    """Every model of the catalog."""
    return list(_experts())


def is_moe(model_id: str) -> bool:
    """A catalog model that routes to experts: EP and MoE-DP mean something for it."""
    return _experts().get(model_id, False)
