"""Models of aiconfigurator-core's model configs, where that package is installed: read when first asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aggsim.errors import InputError, UnsupportedModelError
from aggsim.models.parse import parse_config
from aggsim.models.spec import ModelSpec
from aggsim.packages import package_folder, package_title

__all__ = ["load_package_model", "package_config_files", "package_model_source"]

Decode = Callable[[bytes, str], Mapping[str, Any]]

ENDING = "_config.json"
QUANTIZATION_ENDING = "_hf_quant_config.json"
"""ModelOpt's own file beside a config.json that says nothing of number formats, or not by which method."""


@functools.cache
def package_config_files() -> dict[str, Path]:
    """Model id → config.json, sorted by id; empty where the package is not installed."""
    folder = package_folder()
    files = folder.glob(f"model_configs/*{ENDING}") if folder else ()
    found = {
        file.name.removesuffix(ENDING).replace("--", "/", 1): file
        for file in files
        if not file.name.endswith(QUANTIZATION_ENDING)
    }
    return dict(sorted(found.items()))


def package_model_source() -> str:
    """What such an entry is marked with."""
    return f"{package_title()} model config"


def load_package_model(model_id: str, decode: Decode) -> ModelSpec:
    """One of package_config_files; decode: its JSON. Raises UnsupportedModelError where it cannot be priced."""
    found = _parsed(model_id, decode)
    if isinstance(found, UnsupportedModelError):
        raise found
    return found


@functools.cache
def _parsed(model_id: str, decode: Decode) -> ModelSpec | UnsupportedModelError:
    file = package_config_files()[model_id]
    try:
        config = decode(file.read_bytes(), model_id)
        own = config.get("quantization_config")
        named = isinstance(own, Mapping) and isinstance(own.get("quant_method"), str)
        beside = file.with_name(file.name.removesuffix(ENDING) + QUANTIZATION_ENDING)
        if not named and beside.is_file():
            config = {**config, **_model_optimizer(decode(beside.read_bytes(), model_id))}
        return parse_config(config, model_id, package_model_source())
    except UnsupportedModelError as error:
        return error
    except (InputError, OSError) as error:
        reason = f"is not {error.allowed}" if isinstance(error, InputError) else f"no file ({type(error).__name__})"
        return UnsupportedModelError(model_id, "config.json", reason)


def _model_optimizer(config: Mapping[str, Any]) -> dict[str, Any]:
    """hf_quant_config.json as the quantization_config that later checkpoints hold; empty where it is something else."""
    said = config.get("quantization")
    return {"quantization_config": {"quant_method": "modelopt", **said}} if isinstance(said, Mapping) else {}
