"""The bundled models, and config.json files from elsewhere."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from aggsim.errors import InputError
from aggsim.models.parse import parse_config
from aggsim.models.spec import ModelSpec

__all__ = ["MAX_CONFIG_BYTES", "decode_config", "load_model", "load_model_path", "model_ids", "raw_config"]

DATA = Path(__file__).parent / "data"
MAX_CONFIG_BYTES = 2 * 10**6
WANTED = "a Hugging Face config.json: one JSON object of at most 2 MB"


@cache
def model_ids() -> tuple[str, ...]:
    """The ids of the bundled models, sorted. The model org/name lives in data/org--name.json."""
    return tuple(sorted(path.stem.replace("--", "/", 1) for path in DATA.glob("*.json")))


@cache
def load_model(model_id: str) -> ModelSpec:
    """A bundled model. InputError("model", …) for an id that is not in the catalog, with the closest ones."""
    if model_id not in model_ids():
        raise InputError("model", model_id, f"an id in the catalog{_like(model_id)}")
    path = _path(model_id)
    return parse_config(decode_config(path.read_bytes(), model_id), model_id, f"bundled {path.name}")


def raw_config(model: ModelSpec) -> Mapping[str, Any] | None:
    """The config.json that a bundled model was read from; None for any other model, whatever its id."""
    if model.model_id not in model_ids() or load_model(model.model_id) != model:
        return None
    return decode_config(_path(model.model_id).read_bytes(), model.model_id)


def load_model_path(path: str | Path) -> ModelSpec:
    """The model of a config.json or of the folder that holds one.

    InputError("model", …) where there is no such file or it is no JSON object; UnsupportedModelError where its
    content cannot be priced.
    """
    file = Path(path)
    try:
        if file.is_dir():
            file = file / "config.json"
        # a regular file of bounded size: neither a device nor a pipe may keep us reading
        if not file.is_file() or file.stat().st_size > MAX_CONFIG_BYTES:
            raise InputError("model", str(path), WANTED)
        data = file.read_bytes()
    except (OSError, ValueError) as error:
        raise InputError("model", str(path), f"a file that can be read ({type(error).__name__})") from error
    name = file.resolve().parent.name if file.name == "config.json" else file.stem.replace("--", "/", 1)
    return parse_config(decode_config(data, str(path)), name or str(path), f"file {file.name}")


def decode_config(data: bytes, name: str) -> Mapping[str, Any]:
    """JSON text → object. InputError("model", name, …) for anything else, however deep, long or odd."""
    if len(data) > MAX_CONFIG_BYTES:
        raise InputError("model", name, WANTED)
    try:
        config = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError("model", name, f"{WANTED} (this is not JSON: {_reason(error)})") from error
    if not isinstance(config, dict):
        raise InputError("model", name, WANTED)
    return config


def _path(model_id: str) -> Path:
    return DATA / f"{model_id.replace('/', '--', 1)}.json"


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} in line {error.lineno}"
    return "nested too deeply" if isinstance(error, RecursionError) else "not UTF-8 text, or a number without end"


def _like(model_id: str) -> str:
    known = {known_id.lower(): known_id for known_id in model_ids()}
    short = {known_id.lower().split("/")[-1]: known_id for known_id in model_ids()}
    wanted = model_id[:200].lower()
    close = difflib.get_close_matches(wanted, known, n=3, cutoff=0.6) or difflib.get_close_matches(wanted, short, n=3)
    names = [known.get(name) or short[name] for name in close]
    return f", for example {' or '.join(names)}" if names else ""
