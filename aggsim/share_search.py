"""SearchQuestion ↔ link: the link of a Scenario in which some fields list several values.

    v=1&model=Qwen/Qwen3-32B&device=H100_SXM_80G,H200_SXM_141G&devices=4,8&tp=1,2,4,8&pp=1&…     tp=all: every one

A Scenario's own link is a search over the layouts it leaves open.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aggsim.errors import InputError
from aggsim.parameters import Parameter
from aggsim.scenario import PARAMETER, Scenario
from aggsim.scenario_search import ALL, AXES, COUNTS, LAYOUT_AXES, WITHOUT_ALL, SearchQuestion, Value
from aggsim.share import Query, decode_lenient, encode, encode_short, fields_of, query_of, to_json

__all__ = ["DecodedSearch", "decode_search", "decode_search_lenient", "encode_search", "encode_search_short",
           "question_json"]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedSearch:
    """What a link asks to search; fields as in share.Decoded."""

    question: SearchQuestion
    unknown_keys: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    errors: tuple[InputError, ...] = ()


def encode_search(question: SearchQuestion) -> str:
    """The complete, versioned query; the same question always gives the same string."""
    return _spelled(question, encode)


def encode_search_short(question: SearchQuestion) -> str:
    """Only what differs from the defaults, for the address bar."""
    return _spelled(question, encode_short)


def decode_search(query: Query) -> DecodedSearch:
    """The question of a link. Raises InputError for the first bad value; unknown keys are reported only."""
    decoded = decode_search_lenient(query)
    if decoded.errors:
        raise decoded.errors[0]
    return decoded


def decode_search_lenient(query: Query, base: Scenario | None = None) -> DecodedSearch:
    """As decode_search, but never raises: a bad field takes its value of base (the default scenario), as in share."""
    try:
        given = fields_of(query)
    except InputError as error:
        return DecodedSearch(question=SearchQuestion(base=base or Scenario()), errors=(error,))
    errors: list[InputError] = []
    axes: dict[str, tuple[Value, ...]] = {}
    texts = {key: given[key][-1].strip() for key in AXES if key in given}
    counts_vary = any(_varies(texts.get(key, "")) for key in COUNTS)
    for key, text in texts.items():
        is_fixed_cut = counts_vary and key in LAYOUT_AXES and text != PARAMETER[key].format(PARAMETER[key].default)
        if _varies(text) or is_fixed_cut:
            del given[key]
            try:
                axes[key] = _values(PARAMETER[key], text)
            except InputError as error:
                errors.append(error)
    decoded = decode_lenient(given, base)
    question = SearchQuestion(base=decoded.scenario)
    if axes:
        try:
            question = SearchQuestion(base=decoded.scenario, axes=tuple(axes.items()))
        except InputError as error:
            errors.append(error)
    return DecodedSearch(
        question=question,
        unknown_keys=decoded.unknown_keys,
        notes=decoded.notes,
        errors=(*decoded.errors, *errors),
    )


def question_json(question: SearchQuestion) -> dict[str, Any]:
    """As share.to_json; a field that varies is the list of its values, or "all"."""
    return to_json(question.base) | {key: ALL if v == (ALL,) else list(v) for key, v in question.axes}


def _spelled(question: SearchQuestion, spell: Callable[[Scenario], str]) -> str:
    fields = {key: texts[-1] for key, texts in fields_of(spell(question.base)).items()}
    fields |= {key: ",".join(PARAMETER[key].format(v) for v in values) for key, values in question.axes}
    known = ["v", *PARAMETER]
    return query_of(sorted(fields.items(), key=lambda pair: known.index(pair[0])))


def _varies(text: str) -> bool:
    return "," in text or text == ALL


def _values(parameter: Parameter, text: str) -> tuple[Value, ...]:
    if text == ALL:
        if parameter.key in WITHOUT_ALL:
            raise parameter.error(text)
        return (ALL,)
    return tuple(parameter.parse(part) for part in text.split(","))
