"""What takes a moment is drawn last: the run is held for it a little, and a click ends that at once.

A timer that redraws (run_every) asks for the page that the browser showed when it was set: a step back that is still
waiting then is lost. So there is one only for what takes longer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import streamlit as st

from aggsim.scenario import Scenario
from aggsim.service_turns import beside
from aggsim.ui.jump import is_waiting

_PARTS = "_late_parts"
_HOLD_S = 2.0
_TICK_S = 0.03
_POLL_S = 0.5

State = tuple[int, bool]
"""How much there is to draw, and whether more is to come."""


class Work(Protocol):
    """Something under way in a thread of its own."""

    def cancel(self) -> None: ...


_Work = TypeVar("_Work", bound=Work)


class Kept(Generic[_Work]):
    """Of one session; at most one is at work."""

    def __init__(self) -> None:
        self.scenario: Scenario | None = None
        self.work: _Work | None = None

    def cancel(self) -> None:
        if self.work is not None:
            self.work.cancel()

    def of(self, scenario: Scenario, start: Callable[[Scenario], _Work]) -> _Work:
        """The work for this scenario, begun now or before; work for another one is given up."""
        if self.work is None or self.scenario != scenario:
            self.cancel()
            self.scenario, self.work = scenario, start(scenario)
        return self.work


@dataclass(frozen=True, slots=True)
class _Part:
    state: Callable[[], State]
    draw: Callable[[State], None] | None
    drawn: State

    @property
    def has_changed(self) -> bool:
        return self.state() != self.drawn


@contextmanager
def page() -> Iterator[None]:
    """Around all that a run draws at once: nothing is late yet, and what is worked out beside pages stands back."""
    st.session_state[_PARTS] = []
    with beside.drawing():
        yield


def wait(join: Callable[[float], object], seconds: float) -> None:
    """For work that is under way beside this page, so long at most: it is drawn with the page then."""
    with beside.resting():
        join(seconds)


def later(state: Callable[[], State], drawn: State, draw: Callable[[State], None] | None = None) -> None:
    """Draw again when the state is no longer the one that was drawn; None: by running the whole page again."""
    if drawn[1]:
        st.session_state[_PARTS].append(_Part(state, draw, drawn))


def finish() -> None:
    """Last in a run: every access to the session's state lets a click or a closed tab end it."""
    end_s = time.monotonic() + _HOLD_S
    while (parts := st.session_state[_PARTS]) and time.monotonic() < end_s:
        st.session_state[_PARTS] = [part for part in map(_brought_up, parts) if part.drawn[1]]
        time.sleep(_TICK_S)
    if parts:
        st.fragment(run_every=_POLL_S)(_poll)(parts, [])


def _brought_up(part: _Part) -> _Part:
    if not part.has_changed:
        return part
    if part.draw is None:
        st.rerun()
    now = part.state()
    part.draw(now)
    return _Part(part.state, part.draw, now)


def _poll(parts: list[_Part], polls: list[bool]) -> None:
    """Draws nothing; the first time is part of the page's own run, which nothing may cut short."""
    if polls and (is_waiting() or any(part.has_changed for part in parts)):
        st.rerun()
    polls.append(True)
