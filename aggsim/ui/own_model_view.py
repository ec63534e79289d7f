"""Bring a model: a config.json uploaded or pasted, and at once what was made of it."""

from __future__ import annotations

import re

import streamlit as st

from aggsim.errors import AggsimError
from aggsim.models.catalog import MAX_CONFIG_BYTES, decode_config
from aggsim.models.spec import ModelSpec
from aggsim.report import catalog_tables as tables
from aggsim.report import own_tables
from aggsim.report.format import count, number
from aggsim.report.theme import Theme
from aggsim.scenario_own import named
from aggsim.service_own import IN_STORE_NOTE, is_in_store, own_model, read_config
from aggsim.ui import own_forms as forms
from aggsim.ui import own_use
from aggsim.ui.catalog_view import draw_facts, draw_parameters
from aggsim.ui.foot import draw_sentences
from aggsim.ui.markdown import plain

_ROW_PX, _MAX_ROWS = 35, 9.5


@st.fragment
def draw_own_model(current: str, theme: Theme) -> None:
    """A fragment: typing redraws nothing else. current: the scenario's model, to start from."""
    own_use.let_go()
    given, made = st.columns([2, 3], gap="large")
    with given:
        name = st.text_input(
            "Name",
            forms.FIRST_NAME,
            key=forms.MODEL_NAME,
            live=True,
            persist_state="session",
            help="What it is called here and in links: letters, digits, and _ . -",
        )
        text = _draw_text()
    with made:
        if text is None:
            st.info(
                "Paste the config.json of a model, or upload it: its parameters, attention, cache and number formats "
                "are read at once. Nothing leaves this session but the links that you share.",
                icon=":material/data_object:",
            )
            if forms.has_config(current):
                st.button(
                    f"Start from {plain(named(current))}",
                    icon=":material/edit:",
                    key="own-model-start",
                    help="Fills the text with its config.json.",
                    on_click=forms.begin_model,
                    args=(current,),
                )
            return
        try:
            spec = read_config(text, name or "")
            entry_id = own_model(text, name or "")
        except AggsimError as error:
            st.error(plain(str(error)), icon=":material/error:")
            return
        _draw_made(text, spec, entry_id, theme)


def _draw_text() -> str | bytes | None:
    """What was uploaded, else what was pasted; None: nothing yet."""
    file = st.file_uploader(
        "config.json of a model (2 MB at most)",
        ["json", "txt"],
        key=forms.MODEL_FILE,
        max_upload_size=2,
        on_change=_name_by_file,
    )
    pasted = st.text_area(
        "Or paste its text, then press Ctrl+Enter",
        key=forms.MODEL_TEXT,
        height=300,
        placeholder='{"architectures": ["LlamaForCausalLM"], "hidden_size": 4096, …}',
        on_change=_name_by_text,
        persist_state="session",
        disabled=file is not None,
    )
    if file is None:
        return pasted if pasted and pasted.strip() else None
    if pasted and pasted.strip():
        st.caption("The uploaded file counts. Remove it (×) to go back to the text below.")
    return file.getvalue() if file.size <= MAX_CONFIG_BYTES else b" " * (MAX_CONFIG_BYTES + 1)


def _draw_made(text: str | bytes, spec: ModelSpec, entry_id: str, theme: Theme) -> None:
    """What was understood, what was not, and the buttons."""
    config = decode_config(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text, spec.model_id)
    fields = own_tables.fields_frame(config, spec)
    unknown = list(fields["field"][fields["status"] == own_tables.UNKNOWN])
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.button(
            "Plan with it",
            type="primary",
            icon=":material/speed:",
            key="own-model-plan",
            on_click=own_use.plan_with,
            args=("model", entry_id),
            help="Adds it to this session's models and shows the scenario on Plan with it.",
        )
        st.button(
            "Add and stay here",
            icon=":material/add:",
            key="own-model-add",
            on_click=own_use.use,
            args=("model", entry_id),
            help="Adds it to this session's models and chooses it in the form.",
        )
        st.caption(link_words(entry_id))
    if unknown:
        st.warning(
            f"{count(len(unknown), 'field')} not understood, so not counted: {plain(', '.join(unknown))}",
            icon=":material/help:",
        )
    else:
        st.success("Every field is understood.", icon=":material/check_circle:")
    draw_sentences([words for words in spec.warnings if not words.startswith("Fields of config.json")])
    facts, every = st.tabs(["Understood", "Every field"], key="own-model-tabs")
    with facts:
        draw_facts(spec.model_id, "", tables.model_facts(spec))
        draw_parameters(spec, theme)
    with every:
        st.caption(own_tables.fields_words(fields))
        st.dataframe(
            fields,
            hide_index=True,
            height=int(_ROW_PX * min(len(fields) + 1, _MAX_ROWS)) + 3,
            alt="Fields of the config.json, those not understood first",
        )


def link_words(entry_id: str) -> str:
    """How the entry travels."""
    if is_in_store(entry_id):
        return f":material/link_off: {plain(IN_STORE_NOTE)}"
    return f":material/link: Travels in the link itself: {number(len(entry_id))} characters of it."


def _name_by_file() -> None:
    file = st.session_state[forms.MODEL_FILE]
    if file is not None:
        forms.propose_name(file.name.removesuffix(".json"))


def _name_by_text() -> None:
    found = re.search(r'"_name_or_path"\s*:\s*"([^"]{1,200})"', st.session_state[forms.MODEL_TEXT] or "")
    if found:
        forms.propose_name(found.group(1).rstrip("/").rsplit("/", 1)[-1])
