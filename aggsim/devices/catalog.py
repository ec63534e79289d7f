"""The devices that come with aggsim, one file each in data/, and those of another package (see package.py)."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from aggsim.devices.package import load_package_device, package_device_ids
from aggsim.devices.parse import parse_device
from aggsim.devices.spec import DeviceSpec
from aggsim.errors import InputError
from aggsim.scenario import shown

__all__ = ["catalog_ids", "device_ids", "load_device"]

_DATA = Path(__file__).parent / "data"


@cache
def device_ids() -> tuple[str, ...]:
    """Every device that comes with aggsim, in alphabetical order: what "all" stands for, wherever it runs."""
    return tuple(sorted(path.stem for path in _DATA.glob("*.toml")))


@cache
def catalog_ids() -> tuple[str, ...]:
    """device_ids, then those that another package brings along."""
    return (*device_ids(), *(device_id for device_id in package_device_ids() if device_id not in device_ids()))


def load_device(device_id: str) -> DeviceSpec:
    """A device of the catalog; its dicts are the caller's own. Raises InputError for an id that is not there."""
    if device_id not in catalog_ids():
        near = get_close_matches(device_id.upper(), catalog_ids(), n=3, cutoff=0.4)
        closest = f"closest {' or '.join(near)}; " if near else ""
        raise InputError("device", shown(device_id), f"an id of the catalog ({closest}all: {', '.join(catalog_ids())})")
    spec = _parsed(device_id)
    return replace(spec, mma_ops_per_s=dict(spec.mma_ops_per_s), gp_ops_per_s=dict(spec.gp_ops_per_s))


@cache
def _parsed(device_id: str) -> DeviceSpec:
    if device_id not in device_ids():
        return load_package_device(device_id)
    path = _DATA / f"{device_id}.toml"
    return parse_device(path.read_text(encoding="utf-8"), path.name)
