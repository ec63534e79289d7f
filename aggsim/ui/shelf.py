"""The models and devices that this session brought along or found in a link: seen by nobody else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import streamlit as st

from aggsim.scenario_own import is_own, named

__all__ = ["KINDS", "Kind", "drop", "entries", "keep", "label", "replace"]

Kind = Literal["model", "device"]
KINDS: tuple[Kind, ...] = ("model", "device")
_SHELF = "_own_entries"


def entries(kind: Kind) -> list[str]:
    """Their ids, the newest first."""
    return list(_shelf()[kind])


def keep(kind: Kind, ids: Iterable[str]) -> None:
    """Put those ids that are own ones on the shelf."""
    kept = _shelf()[kind]
    for entry_id in ids:
        if is_own(entry_id) and entry_id not in kept:
            kept.insert(0, entry_id)


def replace(kind: Kind, entry_id: str) -> None:
    """Keep it in place of whatever has the same name."""
    shelf = _shelf()
    shelf[kind] = [entry_id, *(other for other in shelf[kind] if named(other) != named(entry_id))]


def drop(kind: Kind, entry_id: str) -> None:
    """Forget it."""
    shelf = _shelf()
    shelf[kind] = [other for other in shelf[kind] if other != entry_id]


def label(kind: Kind, entry_id: str) -> str:
    """Its name; of several with one name, the older ones are numbered."""
    name = named(entry_id)
    same = [other for other in _shelf()[kind] if named(other) == name][::-1]
    position = same.index(entry_id) if entry_id in same else 0
    return f"{name} ({position + 1})" if position else name


def _shelf() -> dict[Kind, list[str]]:
    shelf: dict[Kind, list[str]] = st.session_state.setdefault(_SHELF, {kind: [] for kind in KINDS})
    return shelf
