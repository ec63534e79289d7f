"""Models and devices of the user's own: what they hold is their id, so whoever has the link has the entry.

    own:NAME:zDATA      DATA: base64url, without its =, of zlib of canonical JSON
    own:NAME:sDIGEST    too long for a link: SHA-256 (hex) of that JSON, which the store of one server keeps

An id stands wherever a catalog id may. On screen it is own:NAME, which no catalog id can be.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from aggsim.errors import InputError
from aggsim.parameters import MAX_OWN_CHARS, OWN

__all__ = ["IN_STORE", "MAX_OWN_CHARS", "NAME_ALLOWED", "OWN", "PACKED", "OwnId", "checked_name", "is_own", "named"]

PACKED: Final = "z"
IN_STORE: Final = "s"
NAME_ALLOWED = "1 to 64 letters, digits, and _ . - after the first"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_ID = re.compile(rf"{OWN}({_NAME.pattern}):([{PACKED}{IN_STORE}])([A-Za-z0-9_-]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnId:
    """The parts of an id."""

    name: str
    form: Literal["z", "s"]
    data: str

    @classmethod
    def parse(cls, text: str, field: str) -> OwnId:
        """field: model or device, for the InputError of an id that is none."""
        found = _ID.fullmatch(text)
        if found is None or len(text) > MAX_OWN_CHARS:
            raise InputError(field, named(text), "an own entry as the Catalog page writes it: the link is damaged")
        name, form, data = found.groups()
        return cls(name=name, form=PACKED if form == PACKED else IN_STORE, data=data)

    def __str__(self) -> str:
        return f"{OWN}{self.name}:{self.form}{self.data}"


def is_own(entry_id: str) -> bool:
    """It names no catalog entry but carries one."""
    return entry_id.startswith(OWN)


def named(entry_id: str) -> str:
    """What a model or device is called on screen and in tables: its catalog id, or own:NAME."""
    return OWN + entry_id[len(OWN) :].partition(":")[0][:64] if is_own(entry_id) else entry_id


def checked_name(text: str) -> str:
    """A name for an own entry. Raises InputError."""
    if not _NAME.fullmatch(text.strip()):
        raise InputError("name", text, NAME_ALLOWED)
    return text.strip()
