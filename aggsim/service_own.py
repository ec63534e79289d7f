"""Own entries packed into ids and read back; any id, own or of the catalog, resolved."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal

from aggsim.devices.catalog import load_device
from aggsim.devices.parse import MAX_FILE_CHARS, device_values, read_device
from aggsim.devices.spec import DeviceSpec
from aggsim.errors import InputError
from aggsim.models.catalog import MAX_CONFIG_BYTES, decode_config, load_model
from aggsim.models.parse import parse_config
from aggsim.models.spec import ModelSpec
from aggsim.scenario_own import IN_STORE, MAX_OWN_CHARS, OWN, PACKED, OwnId, checked_name, is_own, named
from aggsim.store import cache_key, default_store

__all__ = ["IN_STORE_NOTE", "find_device", "find_model", "is_in_store", "own_config", "own_device", "own_model",
           "read_config"]  # fmt: skip

Kind = Literal["model", "device"]
MAX_BYTES: Mapping[Kind, int] = {"model": MAX_CONFIG_BYTES, "device": MAX_FILE_CHARS}
REMEMBERED = 64
MODEL_SOURCE = "a config.json of your own"
IN_STORE_NOTE = "Too long for a link: it is kept on this server, and a link to it works on this server only."


def find_model(model_id: str) -> ModelSpec:
    """The model of an id. Raises InputError("model", …) where there is none, UnsupportedModelError."""
    return _own_model(model_id) if is_own(model_id) else load_model(model_id)


def find_device(device_id: str) -> DeviceSpec:
    """The device of an id; its dicts are the caller's own. Raises InputError("device", …) where there is none."""
    if not is_own(device_id):
        return load_device(device_id)
    spec = _own_device(device_id)
    return replace(spec, mma_ops_per_s=dict(spec.mma_ops_per_s), gp_ops_per_s=dict(spec.gp_ops_per_s))


def own_config(model_id: str) -> Mapping[str, Any]:
    """The config.json inside an own model's id. Raises InputError("model", …)."""
    name, text = _contents("model", model_id)
    return decode_config(text, OWN + name)


def read_config(text: str | bytes, name: str) -> ModelSpec:
    """What an own model of this name would be, from the text of its config.json.

    Raises InputError for a name or text that will not do, UnsupportedModelError naming the field.
    """
    called = OWN + checked_name(name)
    return parse_config(decode_config(_bytes(text), called), called, MODEL_SOURCE)


def own_model(text: str | bytes, name: str) -> str:
    """The id of an own model. Raises as read_config; InputError("store", …) where it is too long for a link and this
    server cannot keep it either."""
    read_config(text, name)
    return _packed("model", name, decode_config(_bytes(text), name))


def own_device(spec: DeviceSpec, name: str) -> str:
    """The id of an own device: spec under this name. Raises InputError for a name or a value that will not do."""
    values = device_values(spec)
    del values["device_id"]
    read_device(values | {"device_id": checked_name(name)}, name)
    return _packed("device", name, values)


def is_in_store(entry_id: str) -> bool:
    """Its link works on this server only."""
    return is_own(entry_id) and OwnId.parse(entry_id, "link").form == IN_STORE


def _bytes(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text


def _packed(kind: Kind, name: str, values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    data = base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode().rstrip("=")
    entry = OwnId(name=checked_name(name), form=PACKED, data=data)
    if len(str(entry)) <= MAX_OWN_CHARS:
        return str(entry)
    digest = hashlib.sha256(text.encode()).hexdigest()
    default_store().put(_store_key(kind, digest), text)
    if default_store().get(_store_key(kind, digest)) != text:
        allowed = f"at most {MAX_OWN_CHARS:,} characters once packed, since this server keeps no store"
        raise InputError(kind, f"{len(data):,} characters", allowed)
    return str(replace(entry, form=IN_STORE, data=digest))


@lru_cache(maxsize=REMEMBERED)
def _own_model(model_id: str) -> ModelSpec:
    config = own_config(model_id)
    return parse_config(config, named(model_id), MODEL_SOURCE)


@lru_cache(maxsize=REMEMBERED)
def _own_device(device_id: str) -> DeviceSpec:
    name, text = _contents("device", device_id)
    try:
        values = decode_config(text, name)
        return replace(read_device({**values, "device_id": name}, name), device_id=OWN + name)
    except InputError as error:
        raise InputError("device", OWN + name, f"the fields of a device ({error})") from error


def _contents(kind: Kind, entry_id: str) -> tuple[str, bytes]:
    """Name and JSON text. Raises InputError(kind, …)."""
    entry = OwnId.parse(entry_id, kind)
    text = _stored(kind, entry) if entry.form == IN_STORE else _unpacked(kind, entry)
    return entry.name, text


def _stored(kind: Kind, entry: OwnId) -> bytes:
    text = default_store().get(_store_key(kind, entry.data))
    if not isinstance(text, str) or hashlib.sha256(text.encode()).hexdigest() != entry.data:
        where = "an entry that this server keeps: it was too long for a link, which works only where it was made"
        raise InputError(kind, OWN + entry.name, where)
    return text.encode()


def _unpacked(kind: Kind, entry: OwnId) -> bytes:
    limit = MAX_BYTES[kind]
    unpacker = zlib.decompressobj()
    try:
        packed = base64.urlsafe_b64decode(entry.data + "=" * (-len(entry.data) % 4))
        text = unpacker.decompress(packed, limit + 1)
    except (binascii.Error, zlib.error) as error:
        raise InputError(kind, OWN + entry.name, "an entry that can be unpacked: the link is damaged") from error
    if len(text) > limit:
        raise InputError(kind, OWN + entry.name, f"an entry of at most {limit:,} bytes once unpacked")
    if not unpacker.eof or unpacker.unused_data:
        raise InputError(kind, OWN + entry.name, "an entry that can be unpacked: the link is cut off or damaged")
    return text


def _store_key(kind: Kind, digest: str) -> str:
    return cache_key("own entry", kind=kind, digest=digest)
