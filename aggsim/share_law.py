"""A law of engine linear as TOML: one line a coefficient, what a benchmark's repository keeps."""

from __future__ import annotations

import tomllib
from dataclasses import asdict
from typing import Final

from aggsim.errors import InputError
from aggsim.parameters import LAW_NAMES
from aggsim.scenario import PARAMETER, LinearLaw, shown

__all__ = ["LAW_UNITS", "law_from_toml", "law_query", "law_toml"]

LAW_UNITS: Final[dict[str, str]] = {
    "fixed_s": "seconds per step",
    "per_token_s": "seconds per new token",
    "per_token_ctx_s": "seconds per new token and token of context",
    "per_ctx_s": "seconds per token of context",
    "memory_gib": "GiB of each device that the KV cache may take",
    "gib_per_ctx": "GiB of each device per token of context",
}
MAX_TOML_CHARS = 100_000


def law_toml(law: LinearLaw) -> str:
    """Inverse of law_from_toml."""
    lines = [f"{name} = {value!r}  # {LAW_UNITS[name]}" for name, value in asdict(law).items()]
    return "\n".join(("[law]", *lines, ""))


def law_from_toml(text: str) -> LinearLaw:
    """The law of a TOML text: its coefficients, at the top or in a table called law; absent ones are 0.

    Raises InputError, field "law", naming the coefficient or the place that is wrong.
    """
    allowed = f"TOML with {', '.join(LAW_NAMES)}: a number each"
    if len(text) > MAX_TOML_CHARS:
        raise InputError("law", f"{len(text):,} characters", f"at most {MAX_TOML_CHARS:,} characters")
    try:
        found = tomllib.loads(text.removeprefix("\ufeff"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError("law", text.strip()[:40], f"{allowed} ({error})") from error
    table = found.get("law", found)
    if not isinstance(table, dict) or not table:
        raise InputError("law", shown(table) if table else "nothing", allowed)
    for name, value in table.items():
        if name in LAW_NAMES and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise InputError("law", f"{name} = {shown(value)}", f"a number, {LAW_UNITS[name]}")
    law: LinearLaw = PARAMETER["law"].check(table)
    return law


def law_query(law: LinearLaw) -> str:
    """The part of a link that asks engine linear with this law."""
    return f"engine=linear&law={PARAMETER['law'].format(law)}"
