"""Scenario ↔ link and Scenario ↔ JSON. The keys are those of PARAMETERS everywhere.

    v=1&model=Qwen/Qwen3-32B&device=H200_SXM_141G&devices=8&tp=auto&…

A full link carries every field, in table order, so that it outlives a change of a default; only an absent key takes the
default. Where a full link does not name them, corrections are auto with engine auto and none with any other, as before
there were any. None is a word: auto, or none for a limit. Of a repeated key the last counts, as in Streamlit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from aggsim.errors import InputError
from aggsim.scenario import PARAMETER, PARAMETERS, Parameter, Scenario, shown

__all__ = [
    "VERSION",
    "Decoded",
    "decode",
    "decode_lenient",
    "encode",
    "encode_short",
    "fields_of",
    "from_json",
    "query_of",
    "to_json",
]

VERSION = "1"
MAX_QUERY_CHARS = 16_384

Query = str | Mapping[str, str | list[str]]
"""A whole link, the part after its "?", or the parsed query (Streamlit's, or that of parse_qs)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What a link says."""

    scenario: Scenario
    unknown_keys: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """One sentence each: what was read in a way that may surprise."""
    errors: tuple[InputError, ...] = ()
    """What was wrong, one per dropped field; always empty in the answer of decode()."""


def encode(scenario: Scenario) -> str:
    """The complete, versioned query; the same scenario always gives the same string."""
    return query_of(
        [("v", VERSION), *((p.key, _spelling(p, scenario)) for p in PARAMETERS if not _is_silent(p, scenario))]
    )


def encode_short(scenario: Scenario) -> str:
    """Only what differs from the defaults, for the address bar; empty for the default scenario."""
    return query_of([(p.key, _spelling(p, scenario)) for p in PARAMETERS if getattr(scenario, p.key) != p.default])


def decode(query: Query) -> Decoded:
    """The scenario of a link. Raises InputError for the first bad value; unknown keys are reported only."""
    decoded = decode_lenient(query)
    if decoded.errors:
        raise decoded.errors[0]
    return decoded


def decode_lenient(query: Query, base: Scenario | None = None) -> Decoded:
    """As decode, but never raises: a bad field takes its value of base (the default scenario), all others stay.

    Where fields contradict each other, only the field that the rule blames is dropped.
    """
    base = base or Scenario()
    try:
        given = fields_of(query)
    except InputError as error:
        return Decoded(scenario=base, errors=(error,))
    values: dict[str, Any] = {}
    errors: list[InputError] = []
    if {"v", "engine", "rules"} <= given.keys():
        given.setdefault("corrections", [_unsaid_corrections(given["engine"][-1].strip())])
    version = given.pop("v", [VERSION])
    if version[-1].strip() != VERSION:
        errors.append(InputError("v", shown(version[-1]), f"{VERSION}, the version of links this aggsim reads"))
    for parameter in PARAMETERS:
        if parameter.key in given:
            try:
                values[parameter.key] = parameter.parse(given[parameter.key][-1])
            except InputError as error:
                errors.append(error)
                values[parameter.key] = getattr(base, parameter.key)
    scenario = _settle(values, base, errors)
    return Decoded(
        scenario=scenario,
        unknown_keys=tuple(str(shown(key)) for key in given if key not in PARAMETER),
        notes=tuple(
            f"{key} is given {len(texts)} times; the last one counts"
            for key, texts in given.items()
            if len(texts) > 1 and key in PARAMETER
        ),
        errors=tuple(errors),
    )


def to_json(scenario: Scenario) -> dict[str, Any]:
    """A scenario as JSON values, in table order: null for None, a list of rates, an object for a law. Of a burst
    without the fields that only other arrivals look at."""
    values = {
        p.key: getattr(scenario, p.key)
        for p in PARAMETERS
        if p.key in ("law", "corrections") or not _is_silent(p, scenario)
    }
    values["mtp_rates"] = list(scenario.mtp_rates)
    values["law"] = asdict(scenario.law) if scenario.law else None
    return values


def from_json(values: Mapping[str, Any]) -> Scenario:
    """Inverse of to_json; absent keys take the default. The words of a link (auto, none, "0.9,0.6") are read as well.

    Raises InputError, for an unknown key too: in a file it is a slip that nobody would see reported.
    """
    if not isinstance(values, Mapping):
        raise InputError("scenario", shown(values), "a JSON object whose keys are the fields of a scenario")
    for key in values:
        if key not in PARAMETER:
            near = get_close_matches(str(key), PARAMETER, n=1)
            closest = f"closest {near[0]}; " if near else ""
            raise InputError(
                str(shown(key)), "an unknown key", f"a key of a scenario ({closest}all: {', '.join(PARAMETER)})"
            )
    return Scenario(**{key: _from_json_value(PARAMETER[key], value) for key, value in values.items()})


def _from_json_value(parameter: Parameter, value: object) -> Any:
    if isinstance(value, str) and (parameter.kind in ("rates", "law") or value == parameter.none_word):
        return parameter.parse(value)
    return parameter.check(value)


def _settle(values: dict[str, Any], base: Scenario, errors: list[InputError]) -> Scenario:
    """The scenario of these values; a field that a rule blames falls back to base, then to its default."""
    while True:
        try:
            return Scenario(**values)
        except InputError as error:
            key = error.field
            if all(known.field != key for known in errors):
                errors.append(error)
            fallback = getattr(base, key)
            values[key] = fallback if values[key] != fallback else PARAMETER[key].default


def fields_of(query: Query) -> dict[str, list[str]]:
    """Key → texts in the order given. Raises InputError where there is no query to read at all."""
    if not isinstance(query, str):
        lists = {key: [texts] if isinstance(texts, str) else list(texts) for key, texts in query.items()}
        return {key: texts for key, texts in lists.items() if texts}
    if len(query) > MAX_QUERY_CHARS:
        raise InputError("link", f"{len(query):,} characters", f"at most {MAX_QUERY_CHARS:,} characters")
    head, mark, tail = query.strip().partition("?")
    if head.startswith(("http://", "https://")) or (mark and "=" not in head):
        query = tail
    fields: dict[str, list[str]] = {}
    printable = query.partition("#")[0].encode("utf-8", "replace").decode()
    for key, text in parse_qsl(printable, keep_blank_values=True, errors="replace"):
        fields.setdefault(key, []).append(text)
    return fields


def query_of(pairs: list[tuple[str, str]]) -> str:
    """The query of (key, text) pairs."""
    return urlencode(pairs, quote_via=quote, safe="/:,")


def _spelling(parameter: Parameter, scenario: Scenario) -> str:
    return parameter.format(getattr(scenario, parameter.key))


def _is_silent(parameter: Parameter, scenario: Scenario) -> bool:
    """A law is mentioned only where there is one, corrections where they are not what is taken for granted, and how
    requests arrive where they do not come in a burst."""
    if parameter.kind == "law":
        return scenario.law is None
    if parameter.key == "corrections":
        return scenario.corrections == _unsaid_corrections(scenario.engine)
    is_default = getattr(scenario, parameter.key) == parameter.default
    return parameter.group == "Arrivals" and is_default and not (scenario.is_load and scenario.uses(parameter.key))


def _unsaid_corrections(engine: str) -> str:
    """What a full link means that says nothing of them."""
    return "auto" if engine == "auto" else "none"
