"""python -m aggsim own FILE"""

from __future__ import annotations

import argparse
from pathlib import Path

from aggsim.devices.parse import parse_device
from aggsim.errors import InputError
from aggsim.models.catalog import MAX_CONFIG_BYTES
from aggsim.service_own import own_device, own_model

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Print the field of a query that holds the model of a config.json or the device of a TOML file."""
    path = Path(options.file)
    text = _read(path)
    if path.suffix == ".toml":
        spec = parse_device(text.decode("utf-8", "replace"), path.name)
        print(f"device={own_device(spec, options.name or spec.device_id)}")
    else:
        print(f"model={own_model(text, options.name or _name(path))}")
    return 0


def _name(path: Path) -> str:
    """A config.json is called after its folder."""
    return path.absolute().parent.name if path.name == "config.json" else path.stem


def _read(path: Path) -> bytes:
    try:
        if not path.is_file() or path.stat().st_size > MAX_CONFIG_BYTES:
            raise InputError("file", str(path), "a config.json or a device's TOML file of at most 2 MB")
        return path.read_bytes()
    except OSError as error:
        raise InputError("file", str(path), f"a file that can be read ({error.strerror})") from error
