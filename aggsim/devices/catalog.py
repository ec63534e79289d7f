"""The devices that come with aggsim: one file each in data/."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from aggsim.devices.parse import parse_device
from aggsim.devices.spec import DeviceSpec
from aggsim.errors import InputError
from aggsim.scenario import shown

__all__ = ["device_ids", "load_device"]

_DATA = Path(__file__).parent / "data"


@cache
def device_ids() -> tuple[str, ...]:
    """Every device of the catalog, in alphabetical order."""
    return tuple(sorted(path.stem for path in _DATA.glob("*.toml")))


def load_device(device_id: str) -> DeviceSpec:
    """A device of the catalog; its dicts are the caller's own. Raises InputError for an id that is not there."""
    if device_id not in device_ids():
        near = get_close_matches(device_id.upper(), device_ids(), n=3, cutoff=0.4)
        closest = f"closest {' or '.join(near)}; " if near else ""
        raise InputError("device", shown(device_id), f"an id of the catalog ({closest}all: {', '.join(device_ids())})")
    spec = _parsed(device_id)
    return replace(spec, mma_ops_per_s=dict(spec.mma_ops_per_s), gp_ops_per_s=dict(spec.gp_ops_per_s))


@cache
def _parsed(device_id: str) -> DeviceSpec:
    path = _DATA / f"{device_id}.toml"
    return parse_device(path.read_text(encoding="utf-8"), path.name)
