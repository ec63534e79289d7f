"""The disk cache: answers that outlive the process and are shared by every session on the machine.

    <location>/entries/    diskcache: a SQLite index, larger values as files beside it
    <location>/damaged/    the last index that could not be read, kept for a look
    <location>/locks       a lock file: one byte range a key, let go by the system when its process dies

A value is JSON, zlib-compressed, behind the SHA-256 of key and payload; nothing is ever pickled or unpickled.
Whatever goes wrong with the disk costs speed, never an answer: one warning a problem, then the answer is computed.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TypeVar

import diskcache
from diskcache.core import DBNAME

from aggsim.store_disk import JSON, BadEntryError, BytesDisk, encode, pack, unpack
from aggsim.store_locks import hold

__all__ = ["JSON", "Store", "StoreStats", "cache_key", "canonical_json", "default_location", "default_store"]

LARGEST_PART = 16  # of the size limit, for one value: diskcache evicts ten at a time, even the one it has just stored
BUSY_WAIT_S = 5.0  # for another process's transaction
PAUSE_S = 30.0  # before a disk that failed is tried again

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_MISS = object()


def canonical_json(value: object) -> str:
    """One text for equal values: sorted keys, no spaces, every dataclass with the name of its class under "@type".

    Takes dataclasses, dicts with str keys, tuples, lists, str, int, float, bool and None, nested at will; inf and nan
    become Infinity and NaN. Raises TypeError for anything else, and for a dict that has a key "@type" itself.
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))


def cache_key(schema: str, **parts: object) -> str:
    """SHA-256 (hex) of everything that determines a value; schema names what the value is and its version."""
    return hashlib.sha256(canonical_json({"schema": schema, "parts": parts}).encode()).hexdigest()


def _plain(value: object) -> JSON:
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str) or key == "@type":
                raise TypeError(f"canonical_json: {key!r} cannot be a key")
        return {key: _plain(item) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        type_name, field_names = _type_and_fields(type(value))
        return {"@type": type_name} | {name: _plain(getattr(value, name)) for name in field_names}
    raise TypeError(f"canonical_json: {type(value).__qualname__} is neither JSON nor a dataclass")


@functools.cache
def _type_and_fields(cls: type) -> tuple[str, tuple[str, ...]]:
    return f"{cls.__module__}.{cls.__qualname__}", tuple(field.name for field in fields(cls))


# What diskcache raises on a bad disk; the last three when the settings it reads from the index are nonsense.
_FAILURES = (sqlite3.Error, diskcache.Timeout, OSError, ValueError, TypeError, AttributeError)

# What may pass by itself; any other error of SQLite means that the index is damaged.
_PASSING = ("BUSY", "LOCKED", "READONLY", "IOERR", "FULL", "CANTOPEN", "PERM", "AUTH", "NOMEM", "PROTOCOL")
_PASSING_CODES = {getattr(sqlite3, f"SQLITE_{name}") for name in _PASSING}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStats:
    """How the store is doing; location None: switched off; problem: why the disk is not used at the moment."""

    entries: int
    size_bytes: int
    location: str | None
    problem: str | None


class Store:
    """JSON values under str keys (see cache_key), least recently used out first; for many threads and processes.

    location None: no cache, every value is computed. wait_s bounds the wait for another caller who computes the key.
    The disk is first touched by the first operation, and no method raises because of it.
    """

    def __init__(self, location: Path | str | None, *, size_limit_bytes: int = 1 << 30, wait_s: float = 120.0) -> None:
        # diskcache expands both as well: the folder that is made must be the one that is used.
        self._location = None if location is None else Path(os.path.expandvars(os.path.expanduser(location))).absolute()
        root = self._location or Path()
        self._entries, self._damaged, self._locks = root / "entries", root / "damaged", root / "locks"
        self._size_limit_bytes, self._wait_s = size_limit_bytes, wait_s
        self._current: tuple[diskcache.Cache, _Index | None] | None = None
        self._paused_until = 0.0
        self._problem: str | None = None
        self._warned: set[object] = set()

    def get(self, key: str) -> JSON:
        """The value stored under key, or None."""
        value = self._look_up(key)
        return None if value is _MISS else value

    def put(self, key: str, value: JSON) -> None:
        """Store a JSON value, unless it takes over 1/16 of the size limit; raises TypeError if it is not JSON."""
        self._write(key, encode(value))

    def get_or_compute(self, key: str, compute: Callable[[], JSON]) -> JSON:
        """The stored value, else compute(), stored: of many threads and processes one computes, the others wait.

        A computed value is returned as its JSON reads back, so cold and warm answers have the same types. Errors of
        compute pass through, and nothing is stored. Raises TypeError if compute returns something that is not JSON.
        """
        value = self._look_up(key)
        if value is not _MISS:
            return value
        if not self._in_use():
            return json.loads(encode(compute()))
        with hold(self._locks, key, self._wait_s):
            value = self._look_up(key)
            if value is _MISS:
                text = encode(compute())
                self._write(key, text)
                value = json.loads(text)
        return value

    def clear(self) -> None:
        """Remove every entry, for all processes, and what was damaged before."""
        if self._location is not None:
            self._set_aside(self._index_on_disk())
            shutil.rmtree(self._damaged, ignore_errors=True)

    def stats(self) -> StoreStats:
        """Entries, bytes on disk, where, and what is wrong if anything."""
        entries, size_bytes = self._run(lambda cache: (len(cache), int(cache.volume())), (0, 0))
        location = None if self._location is None else str(self._location)
        return StoreStats(entries=entries, size_bytes=size_bytes, location=location, problem=self._problem)

    def close(self) -> None:
        """Let go of the files; a later call opens them again."""
        current, self._current = self._current, None
        if current is not None:
            current[0].close()

    def _look_up(self, key: str) -> JSON:
        salt = key.encode()
        try:
            packed = self._run(lambda cache: cache.get(key), None)
            return _MISS if packed is None else unpack(salt, packed)
        except BadEntryError as error:
            self._warn(str(error), f"{error}; it is dropped and computed again")
            self._run(lambda cache: cache.delete(key), False)
            return _MISS

    def _write(self, key: str, text: bytes) -> None:
        packed = pack(key.encode(), text)
        if len(packed) <= self._size_limit_bytes // LARGEST_PART:
            self._run(lambda cache: cache.set(key, packed), False)

    def _in_use(self) -> bool:
        return self._location is not None and time.monotonic() >= self._paused_until

    def _run(self, operation: Callable[[diskcache.Cache], _T], otherwise: _T) -> _T:
        """operation's result. A damaged index is replaced and operation tried again; when the disk fails: otherwise."""
        for may_repair in (True, False):
            if not self._in_use():
                break
            index = self._index_on_disk()
            try:
                result = operation(self._opened(index))
            except _FAILURES as error:
                problem = f"{type(error).__name__}: {error}".rstrip(": ")
                kind = type(error), getattr(error, "sqlite_errorcode", getattr(error, "errno", None))
                if may_repair and _is_damage(error) and self._set_aside(index):
                    self._warn(kind, f"damaged ({problem}), kept as {self._damaged}; a new one was started")
                else:
                    self._warn(kind, f"{problem}; answers are computed without it")
                    self._problem, self._current = problem, None
                    self._paused_until = time.monotonic() + PAUSE_S
            else:
                self._problem = None
                return result
        return otherwise

    def _opened(self, index: _Index | None) -> diskcache.Cache:
        """The open index, or a new one where another process has replaced it or a person removed it."""
        cache = self._open_on(index)
        if cache is None:
            self._entries.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with hold(self._locks, _OPENING, BUSY_WAIT_S):
                cache = self._open_on(self._index_on_disk())
                if cache is None:
                    cache = _open(self._entries, self._size_limit_bytes)
                    self._current = cache, self._index_on_disk()
        return cache

    def _open_on(self, index: _Index | None) -> diskcache.Cache | None:
        current = self._current
        return None if current is None or index is None or current[1] != index else current[0]

    def _index_on_disk(self) -> _Index | None:
        try:
            found = os.stat(self._entries / DBNAME)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _set_aside(self, index: _Index | None) -> bool:
        """Moves the folder of index away, if that is still the one in use: two processes may find the same damage."""
        with hold(self._locks, _OPENING, BUSY_WAIT_S):
            if index is not None and index == self._index_on_disk():
                self._current = None
                shutil.rmtree(self._damaged, ignore_errors=True)
                try:
                    self._entries.rename(self._damaged)
                except OSError as error:
                    self._warn(type(error), f"{error}; it cannot be moved away")
                    return False
        return True

    def _warn(self, kind: object, text: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            _log.warning("The cache in %s: %s", self._location, text)


_Index = tuple[int, int]  # which file the index is: device and inode
_OPENING = "open"


def _is_damage(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", -1)
    return not isinstance(error, (OSError, diskcache.Timeout)) and code & 0xFF not in _PASSING_CODES


def _open(folder: Path, size_limit_bytes: int) -> diskcache.Cache:
    folder.mkdir(mode=0o700, exist_ok=True)
    mode = folder.stat().st_mode
    if mode & 0o077:
        folder.chmod(mode & 0o700)
    # diskcache would wait a minute for a locked index; this waits less, and finds most damage.
    probe = sqlite3.connect(folder / DBNAME, timeout=BUSY_WAIT_S)
    try:
        probe.execute("BEGIN IMMEDIATE")
    finally:
        probe.close()
    return diskcache.Cache(
        str(folder),
        timeout=BUSY_WAIT_S,
        disk=BytesDisk,
        size_limit=size_limit_bytes,
        eviction_policy="least-recently-used",
        sqlite_synchronous=0,  # values carry checksums and a damaged index is replaced: no need to wait for the disk
        sqlite_mmap_size=0,  # truncating a mapped file kills the process
        sqlite_cache_size=1024,  # pages, for each thread's connection: 4 MiB
    )


@functools.cache
def default_store() -> Store:
    """The store that every caller in this process shares, at default_location()."""
    return Store(default_location())


def default_location() -> Path | None:
    """AGGSIM_CACHE_DIR, else the folder aggsim in the platform's cache folder.

    AGGSIM_CACHE_DIR=off: None, no cache (a folder of that name is ./off); empty: as if unset. The platform's folder is
    XDG_CACHE_HOME or ~/.cache on Linux, ~/Library/Caches on macOS and LOCALAPPDATA on Windows.
    """
    asked = os.environ.get("AGGSIM_CACHE_DIR", "")
    if asked:
        return None if asked.lower() == "off" else Path(asked)
    try:
        home = Path.home()
    except RuntimeError:  # an account without a home folder
        _log.warning("There is no home folder to cache in; set AGGSIM_CACHE_DIR. Answers are computed without a cache.")
        return None
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "aggsim"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "aggsim"
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(xdg) if os.path.isabs(xdg) else home / ".cache") / "aggsim"
