"""Freeze: a link that carries its results, and what is said where such a link is opened."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, quote, urlencode

import streamlit as st

from aggsim import __version__
from aggsim.errors import InputError
from aggsim.planning.evaluation import Evaluation
from aggsim.report.frozen_check import frozen_answer
from aggsim.service_contents import contents
from aggsim.share_frozen import FROZEN, Frozen, FrozenAnswer, decode_frozen, encode_frozen, inputs_digest
from aggsim.ui.copy_link import draw_copy_link

_OPENED = "_frozen_opened"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A frozen link that this session was given."""

    given: Mapping[str, str]
    """The rest of the link, as it was spelled."""
    text: str
    frozen: Frozen
    is_comparison: bool
    asked: Hashable = None
    """The Scenario or Comparison it came to; None: not known yet."""


def frozen_query(link: str, evaluations: Sequence[Evaluation | None]) -> str:
    """The complete link with its results; evaluations: in the order of the link's scenarios."""
    answers = tuple(today(evaluation) for evaluation in evaluations)
    frozen = Frozen(aggsim=__version__, inputs=inputs_digest(parse_qs(link, keep_blank_values=True)), answers=answers)
    return f"{link}&{urlencode({FROZEN: encode_frozen(frozen)}, quote_via=quote, safe='/:,;')}"


def today(evaluation: Evaluation | None) -> FrozenAnswer | None:
    """What would be frozen of an answer."""
    if evaluation is None:
        return None
    found = contents(evaluation.scenario)
    return frozen_answer(evaluation, model=found.model, device=found.device)


def draw_freeze(query: str, page_path: str) -> None:
    """The button in the header. query: of frozen_query."""
    draw_copy_link(
        query,
        page_path,
        label="Freeze",
        done="Frozen link copied ✓",
        icon="frost",
        hint="Copies a link that also holds the engine's version and today's results: "
        "whoever opens it sees whether they still come out, or what has changed.",
    )


def take(query: MutableMapping[str, list[str]], problems: list[str], *, is_comparison: bool) -> None:
    """Take the frozen part out of a link that is opened. A damaged one is told; the rest of the link is not touched."""
    st.session_state.pop(_OPENED, None)
    texts = query.pop(FROZEN, None)
    if not texts:
        return
    try:
        frozen = decode_frozen(texts[-1])
    except InputError as error:
        problems.append(str(error))
        return
    if not is_comparison and len(frozen.answers) != 1:
        allowed = "one answer on this page; a frozen comparison opens on Compare"
        problems.append(str(InputError(FROZEN, f"{len(frozen.answers)} answers", allowed)))
        return
    given = {key: values[-1] for key, values in query.items()}
    st.session_state[_OPENED] = Opened(given=given, text=texts[-1], frozen=frozen, is_comparison=is_comparison)


def in_force(asked: Hashable, *, is_comparison: bool) -> Opened | None:
    """The frozen link whose question is on screen; the first question after opening it is the link's own."""
    opened: Opened | None = st.session_state.get(_OPENED)
    if opened is None or opened.is_comparison != is_comparison:
        return None
    if opened.asked is None:
        opened = replace(opened, asked=asked)
        st.session_state[_OPENED] = opened
    return opened if opened.asked == asked else None


def pairs(asked: Hashable, *, is_comparison: bool) -> dict[str, str] | None:
    """Key → text for the address bar, as the link was spelled; None: nothing frozen is on screen."""
    opened = in_force(asked, is_comparison=is_comparison)
    return {**opened.given, FROZEN: opened.text} if opened else None
