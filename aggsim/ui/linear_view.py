"""The law of engine linear on the Plan page: a form, a TOML, or a fit to measurements; each ends in the field `law`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import streamlit as st

from aggsim import service
from aggsim.errors import AggsimError, InputError
from aggsim.parameters import LAW_NAMES, PARAMETER, LinearLaw
from aggsim.report.law_words import law_words, proposal_words
from aggsim.report.theme import theme_named
from aggsim.scenario import Scenario
from aggsim.service_law import ProposedLaw
from aggsim.share_law import LAW_UNITS, law_from_toml, law_toml
from aggsim.ui import form
from aggsim.ui.frame import current_answer
from aggsim.ui.law_fit_view import draw_fit
from aggsim.ui.law_units import FIELDS, shifted
from aggsim.ui.markdown import plain

__all__ = ["draw_law"]

_SHOWN = "_law_shown"
_PROPOSED = "_law_proposed"


def draw_law() -> None:
    """Nothing while another engine is chosen."""
    if st.session_state["engine"] != "linear":
        return
    law = _given()
    proposed = _proposed() if law is None else None
    start = law or (proposed.law if proposed else LinearLaw(fixed_s=1.0))
    title = f"Law: {law_words(law)}" if law else "Engine linear needs a law: type it, paste it or fit it"
    with st.expander(plain(title), expanded=law is None, icon=":material/function:"):
        typed, pasted, fitted = st.tabs(["Coefficients", "TOML", "Fit to measurements"])
        with typed:
            if proposed:
                st.caption(plain(proposal_words(proposed.engine, proposed.fit)))
            _draw_form(start)
        with pasted:
            _draw_toml(law)
        with fitted:
            draw_fit(start, theme_named(st.context.theme.type), use)


def use(law: LinearLaw) -> None:
    """A callback: the scenario has this law."""
    st.session_state["law"] = PARAMETER["law"].format(law)
    st.session_state[form.TOUCHED] = True


def _given() -> LinearLaw | None:
    """The law in the sidebar; None: there is none, or the sidebar says what is wrong with it."""
    text = st.session_state["law"].strip()
    try:
        found: LinearLaw | None = PARAMETER["law"].parse(text) if text else None
    except InputError:
        return None
    return found


def _proposed() -> ProposedLaw | None:
    """A law to start from, of the scenario on screen; None: no engine prices it."""
    asked = current_answer().asked
    kept: tuple[Scenario, ProposedLaw | None] | None = st.session_state.get(_PROPOSED)
    if asked is None or (kept and kept[0] == asked):
        return kept[1] if kept else None
    try:
        found = service.propose_law(asked)
    except AggsimError:
        found = None
    st.session_state[_PROPOSED] = (asked, found)
    return found


def _draw_form(law: LinearLaw) -> None:
    if st.session_state.get(_SHOWN) != law or f"law_{LAW_NAMES[0]}" not in st.session_state:
        st.session_state[_SHOWN] = law
        for name, value in asdict(law).items():
            st.session_state[f"law_{name}"] = shifted(value, -FIELDS[name].places)
    with st.form("law_form", border=False):
        for names in (list(FIELDS)[:4], list(FIELDS)[4:]):
            for column, name in zip(st.columns(4), names, strict=False):
                field = FIELDS[name]
                column.number_input(
                    f"{field.label} ({field.unit})",
                    min_value=0.0,
                    max_value=field.most,
                    step=None,
                    format="%g",
                    key=f"law_{name}",
                    help=f"**{name}**, {LAW_UNITS[name]}. Allowed: {field.allowed}.",
                )
        st.caption(
            "Time of a step = each step + new tokens + Σ context + Σ new tokens · context, over the requests of one "
            "replica. Memory left = what the KV cache may take − Σ context."
        )
        st.form_submit_button("Use this law", on_click=_use_typed, type="primary", key="law_use_typed")
    if problem := st.session_state.pop("_law_problem", None):
        st.error(problem)


def _use_typed() -> None:
    values = {name: shifted(st.session_state[f"law_{name}"] or 0.0, field.places) for name, field in FIELDS.items()}
    try:
        use(LinearLaw(**values))
    except InputError as error:
        st.session_state["_law_problem"] = plain(str(error))


def _draw_toml(law: LinearLaw | None) -> None:
    file = st.file_uploader(
        "A TOML file", type=["toml"], key="law_toml_file", help="At most 5 MB; only the law is read."
    )
    text = st.text_area(
        "or its text",
        key="law_toml_text",
        height=190,
        placeholder=law_toml(LinearLaw(fixed_s=0.008, per_token_s=5e-6, per_ctx_s=6e-8, memory_gib=60.0)),
    )
    given = file.getvalue().decode("utf-8-sig", "replace") if file else text
    found = _read(lambda: law_from_toml(given)) if given.strip() else None
    if found:
        st.caption(plain(law_words(found)))
    st.button("Use this law", on_click=use, args=(found,), disabled=found is None, key="law_use_toml", type="primary")
    if law:
        st.download_button(
            "Download the law in use as TOML", law_toml(law), "aggsim-law.toml", on_click="ignore", key="law_toml_down"
        )


def _read(read: Callable[[], LinearLaw]) -> LinearLaw | None:
    try:
        return read()
    except AggsimError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return None
