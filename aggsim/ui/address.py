"""The address bar: read where something else than the form changed it, written after every valid change of the form."""

from __future__ import annotations

from difflib import get_close_matches
from urllib.parse import parse_qsl

import streamlit as st

from aggsim import service
from aggsim.errors import AggsimError, InputError
from aggsim.planning.evaluation import Evaluation
from aggsim.planning.resolve import resolve
from aggsim.scenario import PARAMETER, Scenario
from aggsim.scenario_own import is_own
from aggsim.service_search import takes_long
from aggsim.share import Decoded, decode_lenient, encode_short
from aggsim.share_compare import DecodedComparison
from aggsim.share_search import DecodedSearch
from aggsim.ui import compare_state, freeze, own_link, search_state, shelf
from aggsim.ui.catalog import device_ids, model_ids, problem
from aggsim.ui.patience import answered
from aggsim.ui.problems import blamed_field

_WRITTEN = "_address_written"
_PROBLEMS = "_address_problems"


def is_news(page_path: str) -> bool:
    """First run of the session, or an address we did not write: an edited link, the Back button.

    A click on a page's name comes with an empty query: the form then stays as it is.
    """
    query = st.query_params.to_dict()
    written_page, written = st.session_state.get(_WRITTEN, (None, None))
    if query == written:  # of a search, on another page: see search_state.scenario_elsewhere
        return bool(query) and written_page == search_state.PAGE != page_path
    return bool(query) or written is None or page_path == written_page


def page_on_screen() -> str:
    """Path of the page that wrote the address last."""
    page: str = st.session_state.get(_WRITTEN, ("", None))[0]
    return page


def load(page_path: str) -> Scenario:
    """The scenario of the address bar. What it gets wrong is left at its default and told by problems()."""
    elsewhere = search_state.scenario_elsewhere(st.query_params.to_dict())
    if page_path != search_state.PAGE and elsewhere is not None:
        return elsewhere
    query = {key: st.query_params.get_all(key) for key in st.query_params}
    problems: list[str] = []
    own_link.take(query, problems)
    decoded: Decoded | DecodedSearch | DecodedComparison
    if page_path == search_state.PAGE:
        searched = search_state.load(query, problems)
        decoded, scenario = searched, searched.question.base
    elif page_path == compare_state.PAGE:
        freeze.take(query, problems, is_comparison=True)
        compared = compare_state.load(query, is_other_page=page_on_screen() not in ("", page_path))
        decoded, scenario = compared, compared.comparison.current
    else:
        if compare_state.is_own(query):
            query = compare_state.without_pins(query)
        else:
            freeze.take(query, problems, is_comparison=False)
        decoded = decode_lenient(query)
        scenario = decoded.scenario
    problems += [*map(str, decoded.errors), *decoded.notes]
    if decoded.unknown_keys:
        problems.append(f"unknown: {', '.join(decoded.unknown_keys)}")
    known_ids = {"model": model_ids(), "device": device_ids()}
    for key in shelf.KINDS:
        given, known = getattr(scenario, key), known_ids[key]
        if wrong := problem(key, given):
            problems.append(str(wrong))
            scenario = scenario.replace(**{key: PARAMETER[key].default})
        elif not is_own(given) and given not in known:
            near = get_close_matches(given, known, n=3, cutoff=0.3) or known[:3]
            problems.append(str(InputError(key, given, f"an id in the catalog, such as {', '.join(near)}")))
            scenario = scenario.replace(**{key: PARAMETER[key].default})
    st.session_state[_PROBLEMS] = problems
    return _answerable(page_path, scenario, problems)


def ask(page_path: str, scenario: Scenario) -> Evaluation | None:
    """The answer; None on the page of searches where the engine is slow: nobody waits for it there.

    Raises AggsimError.
    """
    if page_path == search_state.PAGE and takes_long(scenario):
        resolve(scenario, service.find_model(scenario.model), service.find_device(scenario.device))
        return None
    return answered(scenario)


def _answerable(page_path: str, scenario: Scenario, problems: list[str]) -> Scenario:
    """The scenario without the fields that its model, device or engine cannot serve."""
    while True:
        try:
            ask(page_path, scenario)
        except AggsimError as error:
            field = blamed_field(error)
            if not field or getattr(scenario, field) == PARAMETER[field].default:
                return scenario
            problems.append(str(error))
            kept = _pairs(scenario)
            del kept[field]
            scenario = decode_lenient(kept).scenario
        else:
            return scenario


def problems() -> list[str]:
    """What the last loaded address got wrong, one sentence each, until the form is changed."""
    found: list[str] = st.session_state.get(_PROBLEMS, [])
    return found


def forget_problems() -> None:
    """The form has been changed: what the link said no longer matters."""
    st.session_state[_PROBLEMS] = []


def write(page_path: str, asked: Scenario) -> None:
    """Make the address bar say what the page shows."""
    if page_path == search_state.PAGE:
        pairs = search_state.pairs(asked)
    elif page_path == compare_state.PAGE:
        pairs = compare_state.pairs(asked)
    else:
        pairs = freeze.pairs(asked, is_comparison=False) or _pairs(asked)
    if page_path == own_link.PAGE:
        pairs |= own_link.pairs(asked)
    st.session_state[_WRITTEN] = (page_path, pairs)
    if st.query_params.to_dict() != pairs:
        st.query_params.from_dict(pairs)


def _pairs(scenario: Scenario) -> dict[str, str]:
    """Key → text of every field that is not at its default."""
    return dict(parse_qsl(encode_short(scenario), keep_blank_values=True))
