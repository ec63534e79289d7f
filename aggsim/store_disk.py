"""What lies on the store's disk: JSON, zlib-compressed, behind the SHA-256 of key and payload; never a pickle."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from typing import Any, TypeAlias

import diskcache
from diskcache.core import MODE_BINARY, MODE_RAW

__all__ = ["JSON", "BadEntryError", "BytesDisk", "encode", "pack", "unpack"]

JSON: TypeAlias = Any
"""What json.loads returns: dict, list, str, int, float (inf and nan as well), bool or None."""


class BadEntryError(Exception):
    """An entry that this module did not write, or that has changed since."""


def encode(value: JSON) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()  # order kept: a table's columns may be a dict


def pack(salt: bytes, text: bytes) -> bytes:
    payload = zlib.compress(text, level=1)
    return hashlib.sha256(salt + payload).digest() + payload


def unpack(salt: bytes, packed: bytes) -> JSON:
    digest, payload = packed[:32], packed[32:]
    if digest != hashlib.sha256(salt + payload).digest():
        raise BadEntryError("a value does not match its checksum")
    try:
        return json.loads(zlib.decompress(payload))
    except (zlib.error, ValueError, RecursionError) as error:
        raise BadEntryError("a value is not compressed JSON") from error


class BytesDisk(diskcache.Disk):  # type: ignore[misc]
    """str keys and bytes values only: diskcache itself unpickles what it finds in its folder (CVE-2025-69872)."""

    def put(self, key: object) -> tuple[str, bool]:
        if not isinstance(key, str):
            raise TypeError("a key of the store is a str")
        return key, True

    def get(self, key: object, raw: object) -> str:
        if not raw or not isinstance(key, str):
            raise BadEntryError("a key is not text")
        return key

    def store(self, value: object, read: bool, key: object = diskcache.UNKNOWN) -> tuple[int, int, str | None, object]:
        if read or type(value) is not bytes:
            raise TypeError("a value of the store is bytes")
        return super().store(value, read, key=key)  # type: ignore[no-any-return]

    def fetch(self, mode: int, filename: object, value: object, read: bool) -> bytes:
        in_row = mode == MODE_RAW and type(value) is bytes
        if read or not (in_row or (mode == MODE_BINARY and _is_value_file(filename))):
            raise BadEntryError("an entry was not written by aggsim")
        return super().fetch(mode, filename, value, read)  # type: ignore[no-any-return]

    def remove(self, file_path: object) -> None:
        if _is_value_file(file_path):
            super().remove(file_path)


def _is_value_file(name: object) -> bool:
    return isinstance(name, str) and bool(re.fullmatch(r"[0-9a-f]{2}[/\\][0-9a-f]{2}[/\\][0-9a-f]{28}\.val", name))
