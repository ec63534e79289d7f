"""What buttons do with an entry of one's own: keep it, plan with it, forget it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from aggsim.parameters_choices import EXPERT_KEYS
from aggsim.scenario import Scenario
from aggsim.scenario_own import is_own
from aggsim.ui import form, shelf
from aggsim.ui.catalog import is_moe
from aggsim.ui.frame import current_answer
from aggsim.ui.jump import PLAN, is_waiting, open_scenario

__all__ = ["forget", "let_go", "plan_with", "use"]

_RERUN = "_own_rerun"


def use(kind: shelf.Kind, entry_id: str) -> None:
    """A callback: the form names that entry, everything else of it stays."""
    _keep(kind, entry_id)
    form.fill(_with(kind, entry_id))
    st.session_state[form.TOUCHED] = True
    st.session_state[_RERUN] = True


def plan_with(kind: shelf.Kind, entry_id: str) -> None:
    """A callback: the same, and Plan is next."""
    _keep(kind, entry_id)
    open_scenario(_with(kind, entry_id), PLAN)


def forget(kind: shelf.Kind, entry_id: str) -> None:
    """A callback: the entry leaves this session; links that hold it keep it."""
    shelf.drop(kind, entry_id)
    st.session_state[_RERUN] = True


def let_go() -> None:
    """First line of a fragment: a callback has changed what lies outside it."""
    if is_waiting() or st.session_state.pop(_RERUN, False):
        st.rerun()


def _keep(kind: shelf.Kind, entry_id: str) -> None:
    if is_own(entry_id):
        shelf.replace(kind, entry_id)


def _with(kind: shelf.Kind, entry_id: str) -> Scenario:
    base = form.read()[0] or current_answer().asked or Scenario()
    changes: dict[str, Any] = {kind: entry_id}
    if kind == "model" and not is_moe(entry_id):
        changes |= dict.fromkeys(EXPERT_KEYS)
    return base.replace(**changes)
