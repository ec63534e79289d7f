"""What surrounds every page: link → form → answer → address bar → sidebar, in this order, once a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import streamlit as st

from aggsim import service
from aggsim.errors import AggsimError
from aggsim.planning.evaluation import Evaluation
from aggsim.scenario import Scenario
from aggsim.ui import address, form
from aggsim.ui.problems import blamed_field
from aggsim.ui.style import draw_style

_ANSWER = "_answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the pages show."""

    page_path: str
    """Of the page on screen, for its link."""
    evaluation: Evaluation | None
    """Of the form's scenario, or of the last valid one; None: nothing was answered yet."""
    errors: Mapping[str, AggsimError] = field(default_factory=dict)
    """What is wrong with the form, by field; "" where no field is to blame."""

    @property
    def is_stale(self) -> bool:
        """The form says something else than the answer."""
        return bool(self.errors)


def draw_frame(page_path: str) -> None:
    """Answer the question and draw the sidebar; pages read the answer with current_answer()."""
    draw_style()
    if st.session_state.pop(form.TOUCHED, False):
        address.forget_problems()
    elif address.is_news(page_path):
        form.fill(address.load())
    scenario, errors = form.read()
    evaluation, errors = _ask(scenario, errors)
    answer = Answer(page_path=page_path, evaluation=evaluation, errors=errors)
    st.session_state[_ANSWER] = answer
    if evaluation is not None:
        address.write(page_path, evaluation.asked)
    form.draw(None if errors else evaluation, errors)


def current_answer() -> Answer:
    """The answer of this run."""
    answer: Answer = st.session_state[_ANSWER]
    return answer


def _ask(
    scenario: Scenario | None, errors: Mapping[str, AggsimError]
) -> tuple[Evaluation | None, Mapping[str, AggsimError]]:
    """The scenario's evaluation, or the last one there was and what is wrong with this."""
    last: Answer | None = st.session_state.get(_ANSWER)
    kept = last.evaluation if last else None
    if scenario is None or (kept is not None and kept.asked == scenario):
        return kept, errors
    try:
        return service.evaluate(scenario), errors
    except AggsimError as error:
        return kept, {blamed_field(error): error}
