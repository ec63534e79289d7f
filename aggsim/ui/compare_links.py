"""A link pasted into Compare: its scenario, or all of those that a comparison's link holds."""

from __future__ import annotations

import streamlit as st

from aggsim.errors import AggsimError, InputError
from aggsim.report.format import count
from aggsim.scenario import PARAMETER
from aggsim.scenario_own import is_own
from aggsim.share import fields_of
from aggsim.share_compare import MAX_SCENARIOS, decode_comparison_lenient
from aggsim.share_frozen import FROZEN
from aggsim.ui import pin, shelf
from aggsim.ui.catalog import device_ids, model_ids, problem
from aggsim.ui.markdown import plain

_TEXT = "compare-link"
_SAID = "_compare_link_said"


def draw_add_links() -> None:
    """A popover with a field; what was wrong with the last link stays below it, and so does the link."""
    with st.popover("Add a link", icon=":material/link:"):
        with st.form("compare-add", border=False):
            st.text_input(
                "Link or query",
                key=_TEXT,
                placeholder="https://…?v=1&model=…  or  tp=4&input=2000",
                help="Any link copied from aggsim, or the part after its question mark. The link of a comparison adds "
                "all of its scenarios.",
            )
            st.form_submit_button("Add", on_click=_add)
        said: tuple[bool, str] | None = st.session_state.pop(_SAID, None)
        if said:
            (st.success if said[0] else st.error)(plain(said[1]))


def _add() -> None:
    """A callback."""
    text = st.session_state[_TEXT].strip()
    try:
        added = _pin_all(text)
    except AggsimError as error:
        st.session_state[_SAID] = (False, str(error))
        return
    st.session_state[_SAID] = (True, added)
    st.session_state[_TEXT] = ""


def _pin_all(text: str) -> str:
    """What was pinned, in words. Raises AggsimError for a link with anything wrong: nothing of it is pinned then."""
    query = fields_of(text)
    query.pop(FROZEN, None)
    if not any(key in PARAMETER or key == "v" for key in query):
        raise InputError(
            "link", text or "nothing", "a link copied from aggsim, or key=value pairs such as tp=4&input=2000"
        )
    decoded = decode_comparison_lenient(query)
    if decoded.errors:
        raise decoded.errors[0]
    if decoded.unknown_keys:
        raise InputError("link", ", ".join(decoded.unknown_keys), f"the keys of a link: {', '.join(PARAMETER)}")
    scenarios = decoded.comparison.shown
    for scenario in scenarios:
        _check_known(scenario.model, scenario.device)
    new = [scenario for scenario in scenarios if scenario not in pin.pins()]
    room = MAX_SCENARIOS - len(pin.pins())
    if len(new) > room:
        allowed = f"at most {count(room, 'more scenario')}: {MAX_SCENARIOS} fit side by side"
        raise InputError("link", count(len(new), "scenario"), allowed)
    for scenario in new:
        pin.pin(scenario)
    return f"{count(len(new), 'scenario')} added." if new else "It was there already."


def _check_known(model: str, device: str) -> None:
    asked: dict[shelf.Kind, tuple[str, list[str]]] = {
        "model": (model, model_ids()),
        "device": (device, device_ids()),
    }
    for kind, (given, known) in asked.items():
        if wrong := problem(kind, given):
            raise wrong
        if not is_own(given) and given not in known:
            raise InputError(kind, given, "an id in the catalog of this server")
