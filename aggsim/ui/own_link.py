"""The session's other own entries in the address of the Catalog page: a reload, or whoever opens it, has them all."""

from __future__ import annotations

from collections.abc import MutableMapping

from aggsim.errors import InputError
from aggsim.scenario import Scenario
from aggsim.share import query_of
from aggsim.ui import shelf
from aggsim.ui.catalog import problem

__all__ = ["PAGE", "pairs", "query", "take"]

PAGE = "catalog"
KEYS: dict[shelf.Kind, str] = {"model": "own_models", "device": "own_devices"}
MAX_CHARS = 6_000
"""Of all of them; the oldest do not go along."""
MAX_ENTRIES = 32


def take(query: MutableMapping[str, list[str]], problems: list[str]) -> None:
    """Put what a link brings on the shelf, and its keys out of the query; what cannot be read goes into problems."""
    for kind, key in KEYS.items():
        given = [entry for text in query.pop(key, [])[-1:] for entry in text.split(",") if entry.strip()]
        if len(given) > MAX_ENTRIES:
            problems.append(str(InputError(key, f"{len(given)} entries", f"at most {MAX_ENTRIES}")))
        for entry_id in reversed(given[:MAX_ENTRIES]):
            if error := problem(kind, entry_id):
                problems.append(str(error))
            else:
                shelf.keep(kind, [entry_id])


def pairs(asked: Scenario) -> dict[str, str]:
    """Key → ids of the own entries that the scenario itself does not carry, the newest first."""
    room, found = MAX_CHARS, {}
    for kind, key in KEYS.items():
        taken: list[str] = []
        for entry_id in shelf.entries(kind)[:MAX_ENTRIES]:
            if entry_id != getattr(asked, kind) and len(entry_id) < room:
                taken.append(entry_id)
                room -= len(entry_id) + 1
        if taken:
            found[key] = ",".join(taken)
    return found


def query(asked: Scenario) -> str:
    """The same as the end of a query: "", or "&own_models=…"."""
    spelled = query_of(list(pairs(asked).items()))
    return f"&{spelled}" if spelled else ""
