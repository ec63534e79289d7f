"""What surrounds every page: link → form → answer → address bar → sidebar, in this order, once a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import streamlit as st

from aggsim.errors import AggsimError
from aggsim.planning.evaluation import Evaluation
from aggsim.scenario import Scenario
from aggsim.ui import address, form, jump, search_state, tour
from aggsim.ui.problems import blamed_field
from aggsim.ui.style import draw_style

_ANSWER = "_answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the pages show."""

    page_path: str
    """Of the page on screen, for its link."""
    asked: Scenario | None
    """The form's scenario, or the last valid one; None: there was none yet."""
    evaluation: Evaluation | None
    """Of that scenario; None: nothing was answered yet, or the page does without and the engine is slow."""
    errors: Mapping[str, AggsimError] = field(default_factory=dict)
    """What is wrong with the form, by field; "" where no field is to blame."""

    @property
    def is_stale(self) -> bool:
        """The form says something else than the answer."""
        return bool(self.errors)


def draw_frame(page_path: str) -> None:
    """Answer the question and draw the sidebar; pages read the answer with current_answer()."""
    jump.go_on()
    draw_style()
    tour.decide(has_link=bool(st.query_params.to_dict()))
    if st.session_state.pop(form.TOUCHED, False):
        address.forget_problems()
    elif address.is_news(page_path):
        form.fill(address.load(page_path))
    elif page_path == search_state.PAGE and (base := search_state.returning(form.read()[0])):
        form.fill(base)
    answer = _ask(page_path, *form.read())
    st.session_state[_ANSWER] = answer
    if answer.asked is not None:
        address.write(page_path, answer.asked)
    form.draw(None if answer.errors else answer.evaluation, answer.errors)


def current_answer() -> Answer:
    """The answer of this run."""
    answer: Answer = st.session_state[_ANSWER]
    return answer


def _ask(page_path: str, scenario: Scenario | None, errors: Mapping[str, AggsimError]) -> Answer:
    """The scenario's answer, or the last one there was and what is wrong with this."""
    last: Answer | None = st.session_state.get(_ANSWER)
    asked, evaluation = (last.asked, last.evaluation) if last else (None, None)
    if scenario is not None and (scenario != asked or evaluation is None):
        try:
            evaluation = address.ask(page_path, scenario)
            asked = scenario
        except AggsimError as error:
            errors = {blamed_field(error): error}
    return Answer(page_path=page_path, asked=asked, evaluation=evaluation, errors=errors)
