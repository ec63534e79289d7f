"""What a search asks beyond the form: the axes that take several values, and the load to carry.

An axis and the form's field are one thing: several values leave the field at the search's base value, one value is the
field's own, and a field that is edited takes its axis back.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

import streamlit as st

from aggsim.errors import InputError
from aggsim.planning.deployment import MAX_LOAD
from aggsim.scenario import PARAMETER, Parameter, Scenario
from aggsim.scenario_own import is_own
from aggsim.scenario_search import ALL, LAYOUT_AXES, OPEN, SearchQuestion, Value
from aggsim.share import query_of
from aggsim.share_search import DecodedSearch, decode_search_lenient, encode_search, encode_search_short
from aggsim.ui import shelf
from aggsim.ui.catalog import device_ids, problem

PAGE = "search"
"""Path of the page whose links may list several values."""
LOADS = {
    "target_tokens_per_s": "output tokens/s",
    "target_requests_per_s": "requests/s",
}
"""Keys of a link → what is asked of a deployment."""
_AXES = "_search_axes"
_LOAD = "_search_load"
_OPENED = "_search_opened"
"""(scenario, question, query): what was opened on another page, from which search, and that one's address."""
_SHOWN = "_search_shown"
"""(question, query): the last search on screen and its address."""


def load(query: Mapping[str, list[str]], problems: list[str]) -> DecodedSearch:
    """Take the axes and the load of a link; the question's base is what the form shows."""
    rest = dict(query)
    st.session_state[_LOAD] = None
    for key in LOADS:
        if texts := rest.pop(key, None):
            try:
                st.session_state[_LOAD] = (key, _load(key, texts[-1]))
            except InputError as error:
                problems.append(str(error))
    decoded = decode_search_lenient(rest)
    axes = decoded.question.varied
    asked = [str(device) for device in axes.get("device", ())]
    broken = {device: found for device in asked if (found := problem("device", device))}
    unknown = [device for device in asked if not is_own(device) and device not in (*device_ids(), ALL)]
    if unknown:
        problems.append(str(InputError("device", ", ".join(unknown), "ids in the catalog")))
    if broken or unknown:
        problems += map(str, broken.values())
        axes = {key: values for key, values in axes.items() if key != "device"}
    shelf.keep("device", map(str, axes.get("device", ())))
    st.session_state[_AXES] = dict(axes)
    return decoded


def _load(key: str, text: str) -> float:
    parameter = Parameter(key=key, kind="number", group="Limits", label=key, help="", default=None,
                          above_minimum=True, maximum=MAX_LOAD)  # fmt: skip
    value: float = parameter.parse(text)
    return value


def question(base: Scenario) -> SearchQuestion:
    """Of the form's scenario and the axes; an axis whose field was edited since is the form's again."""
    asked = SearchQuestion(base=base)
    for key, several in _axes().items():
        if getattr(base, key) != base_value(key, several):
            continue
        try:
            asked = SearchQuestion(base=base, axes=(*asked.axes, (key, several)))
        except InputError:  # more MTP tokens than there are rates by now
            continue
    return asked


def base_value(key: str, values: tuple[Value, ...]) -> Value | None:
    """What the form shows while an axis has these values: SearchQuestion's rule."""
    default: Value | None = PARAMETER[key].default
    return default if key in LAYOUT_AXES or values == (ALL,) else values[0]


def shown(key: str) -> list[Value]:
    """What is chosen for a field: the values of its axis, the form's one, or ALL where every one is tried."""
    field: Value | None = st.session_state[key]
    several = _axes().get(key, ())
    if several and field == base_value(key, several):
        return list(several)
    if field is None:
        return [ALL] if key in OPEN else []
    return [field]


def vary(key: str, chosen: list[Value]) -> None:
    """From a control's callback: none gives the field back to auto, one is the field's value, more are an axis."""
    if ALL in chosen:
        chosen = [value for value in chosen if value != ALL] if ALL in shown(key) and len(chosen) > 1 else [ALL]
    axes = _axes()
    axes.pop(key, None)
    several = () if chosen == [ALL] and key in OPEN else tuple(chosen)
    if len(several) > 1 or several == (ALL,):
        axes[key] = several
        st.session_state[key] = base_value(key, several)
    else:
        st.session_state[key] = several[0] if several else PARAMETER[key].default
    if key == "devices":
        _move_layout(into_axes=len(several) > 1)


def _move_layout(*, into_axes: bool) -> None:
    """One layout for several device counts need not divide each of them: no field of the form, but a short axis."""
    axes = _axes()
    for key in LAYOUT_AXES:
        default = PARAMETER[key].default
        if into_axes and key not in axes and st.session_state[key] != default:
            axes[key] = (st.session_state[key],)
            st.session_state[key] = default
        elif not into_axes and len(axes.get(key, ())) == 1:
            st.session_state[key] = axes.pop(key)[0]


def target() -> tuple[str, float] | None:
    """(key of LOADS, how much); None: no load is given."""
    given: tuple[str, float] | None = st.session_state.get(_LOAD)
    return given


def aim(key: str, value: float | None) -> None:
    """From a control's callback."""
    st.session_state[_LOAD] = (key, value) if value else None


def pairs(base: Scenario) -> dict[str, str]:
    """Key → text for the address bar: what is not at its default."""
    asked = question(base)
    query = dict(parse_qsl(_with_load(encode_search_short(asked)), keep_blank_values=True))
    st.session_state[_SHOWN] = (asked, query)
    return query


def link(base: Scenario) -> str:
    """The complete query."""
    return _with_load(encode_search(question(base)))


def _with_load(query: str) -> str:
    given = target()
    load = query_of([(given[0], f"{given[1]:.12g}")]) if given else ""
    return "&".join(part for part in (query, load) if part)


def leave(opened: Scenario) -> None:
    """Another page is about to show this scenario; coming back from there unchanged brings the question back."""
    st.session_state[_OPENED] = (opened, *st.session_state[_SHOWN])


def returning(base: Scenario | None) -> Scenario | None:
    """The base of the search to come back to, its axes restored; None: the form asks something new."""
    opened, asked, _ = st.session_state.get(_OPENED, (None, None, None))
    if opened is None or opened != base:
        return None
    st.session_state[_AXES] = dict(asked.varied)
    restored: Scenario = asked.base
    return restored


def scenario_elsewhere(query: Mapping[str, str]) -> Scenario | None:
    """What another page shows under the address of a search of this session; None: it is no such address.

    Streamlit notes a change of page in two steps, the new query on the old page first: Back comes by there.
    """
    opened, _, left = st.session_state.get(_OPENED, (None, None, None))
    if opened is not None and query == left:
        scenario: Scenario = opened
        return scenario
    asked, shown_query = st.session_state.get(_SHOWN, (None, None))
    return asked.base if asked is not None and asked.axes and query == shown_query else None


def _axes() -> MutableMapping[str, tuple[Any, ...]]:
    axes: MutableMapping[str, tuple[Any, ...]] = st.session_state.setdefault(_AXES, {})
    return axes
