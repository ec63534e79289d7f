"""Pins: the scenarios of this session that Compare shows beside the form's. Nobody else sees them."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from aggsim.scenario import Scenario
from aggsim.share_compare import MAX_SCENARIOS

_PINS = "_pins"
ICON = ":material/keep:"


def pins() -> tuple[Scenario, ...]:
    """In the order they were pinned; at most MAX_SCENARIOS, none twice."""
    found: tuple[Scenario, ...] = st.session_state.get(_PINS, ())
    return found


def set_pins(scenarios: Sequence[Scenario]) -> None:
    """All of them at once, as a link says."""
    st.session_state[_PINS] = tuple(dict.fromkeys(scenarios))[:MAX_SCENARIOS]


def pin(scenario: Scenario) -> bool:
    """False: there is no room for another one."""
    set_pins((*pins(), scenario))
    return scenario in pins()


def unpin(scenario: Scenario) -> None:
    set_pins([pinned for pinned in pins() if pinned != scenario])


def toggle(scenario: Scenario) -> None:
    """A callback."""
    if scenario in pins():
        unpin(scenario)
    else:
        pin(scenario)


def draw_pin(scenario: Scenario | None) -> None:
    """The button in the header of every page; scenario: what the form asks, None: nothing yet."""
    if scenario is None:
        return
    number, is_pinned = len(pins()), scenario in pins()
    is_full = not is_pinned and number == MAX_SCENARIOS
    if is_pinned:
        words = "On the Compare page beside the others that you pin. A click takes it off again."
    elif is_full:
        words = f"{MAX_SCENARIOS} scenarios are pinned, the most that Compare shows: take one off there first."
    else:
        words = (
            "Keeps this scenario on the Compare page, to be seen beside others. Change the form and pin the next one."
        )
    st.button(
        f"Pinned ({number})" if is_pinned else "Pin to compare",
        key="pin",
        help=words,
        icon=":material/check:" if is_pinned else ICON,
        on_click=toggle,
        args=(scenario,),
        disabled=is_full,
    )
