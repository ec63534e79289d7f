"""What stands behind the names of a scenario: digests of the descriptions of its model and its device."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from functools import lru_cache

from aggsim.devices.catalog import load_device
from aggsim.errors import AggsimError
from aggsim.models.catalog import load_model, raw_config
from aggsim.scenario import Scenario
from aggsim.scenario_own import is_own
from aggsim.store import canonical_json

__all__ = ["Contents", "contents"]

_CHARS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Digests, alike where the descriptions are: of the model's config.json, and of what the device's file says."""

    model: str
    device: str


def contents(scenario: Scenario) -> Contents:
    """Of what the scenario's model and device are today.

    An own entry's id holds all that is known of it, so it stands for itself; so does what the catalog does not know.
    """
    model, device = scenario.model, scenario.device
    return Contents(
        model=_digest(model) if is_own(model) else _model_digest(model),
        device=_digest(device) if is_own(device) else _device_digest(device),
    )


@lru_cache(maxsize=256)
def _model_digest(model_id: str) -> str:
    try:
        return _digest(raw_config(load_model(model_id)) or model_id)
    except AggsimError:
        return _digest(model_id)


@lru_cache(maxsize=256)
def _device_digest(device_id: str) -> str:
    try:
        spec = load_device(device_id)
    except AggsimError:
        return _digest(device_id)
    # What stays at its default is left out, so that a field that is new in aggsim changes no device; sources are words.
    values = ((field, getattr(spec, field.name)) for field in fields(spec) if field.name != "source")
    return _digest(canonical_json({field.name: value for field, value in values if value != field.default}))


def _digest(content: object) -> str:
    text = content if isinstance(content, str) else canonical_json(content)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_CHARS]
