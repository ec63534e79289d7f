"""The bundled models, those of another package (see package.py), and config.json files from elsewhere."""

from __future__ import annotations

import difflib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from aggsim.errors import InputError
from aggsim.models.package import load_package_model, package_config_files, package_model_source
from aggsim.models.parse import parse_config
from aggsim.models.reader import printable
from aggsim.models.spec import ModelSpec

__all__ = [
    "MAX_CONFIG_BYTES",
    "catalog_ids",
    "decode_config",
    "load_model",
    "load_model_path",
    "model_ids",
    "model_source",
    "raw_config",
]

DATA = Path(__file__).parent / "data"
MAX_CONFIG_BYTES = 2 * 10**6
MAX_DEPTH = 64
"""Objects and lists inside one another."""
WANTED = "a Hugging Face config.json: one JSON object of at most 2 MB"


@cache
def model_ids() -> tuple[str, ...]:
    """The ids of the bundled models, sorted. The model org/name lives in data/org--name.json."""
    return tuple(sorted(path.stem.replace("--", "/", 1) for path in DATA.glob("*.json")))


@cache
def catalog_ids() -> tuple[str, ...]:
    """The bundled models, then those that another package brings along, read or not."""
    return (*model_ids(), *(model_id for model_id in package_config_files() if model_id not in model_ids()))


def model_source(model_id: str) -> str:
    """Where an entry of the catalog is from, whether or not it can be read."""
    return f"bundled {_path(model_id).name}" if model_id in model_ids() else package_model_source()


@cache
def load_model(model_id: str) -> ModelSpec:
    """A model of the catalog. InputError("model", …) for an id that is not in it, with the closest ones;
    UnsupportedModelError for one that cannot be priced."""
    if model_id not in model_ids():
        if model_id in package_config_files():
            return load_package_model(model_id, decode_config)
        raise InputError("model", model_id, f"an id in the catalog{_like(model_id)}")
    path = _path(model_id)
    return parse_config(decode_config(path.read_bytes(), model_id), model_id, model_source(model_id))


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
    """JSON text → object. InputError("model", name, …) for anything else, however deep, long or odd: a key given twice
    and a number that is none (NaN, 1e999) have no one meaning either."""
    if len(data) > MAX_CONFIG_BYTES:
        raise InputError("model", name, f"{WANTED} (this has {len(data) / 1e6:,.1f} MB)")
    try:
        config = json.loads(data, object_pairs_hook=_once, parse_constant=_finite, parse_float=_finite)
        _check_depth(config)
    except (ValueError, RecursionError) as error:
        raise InputError("model", name, f"{WANTED} (this is not JSON: {_reason(error)})") from error
    if not isinstance(config, dict):
        raise InputError("model", name, WANTED)
    return config


class _BadJsonError(ValueError):
    """Its text says what is wrong."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise _BadJsonError(f'the key "{printable(twice)}" is given twice')
    return values


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _BadJsonError(f"{printable(text)} is no finite number")
    return number


def _check_depth(config: object) -> None:
    level = [config]
    for _ in range(MAX_DEPTH):
        level = [part for value in level for part in _parts(value)]
    if level:
        raise RecursionError


def _parts(value: object) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _path(model_id: str) -> Path:
    return DATA / f"{model_id.replace('/', '--', 1)}.json"


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} in line {error.lineno}"
    if isinstance(error, _BadJsonError):
        return str(error)
    return "nested too deeply" if isinstance(error, RecursionError) else "not UTF-8 text, or a number without end"


def _like(model_id: str) -> str:
    known = {known_id.lower(): known_id for known_id in catalog_ids()}
    short = {known_id.lower().split("/")[-1]: known_id for known_id in catalog_ids()}
    wanted = model_id[:200].lower()
    close = difflib.get_close_matches(wanted, known, n=3, cutoff=0.6) or difflib.get_close_matches(wanted, short, n=3)
    names = [known.get(name) or short[name] for name in close]
    return f", for example {' or '.join(names)}" if names else ""
