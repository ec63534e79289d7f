"""What the two forms for own entries hold, and how they are filled: from an entry, a file, a text."""

from __future__ import annotations

import json
import re

import streamlit as st

from aggsim import service
from aggsim.devices import editing
from aggsim.devices.editing import link_key
from aggsim.devices.parse import MAX_FILE_CHARS, parse_device
from aggsim.devices.spec import DeviceSpec
from aggsim.errors import AggsimError, InputError
from aggsim.models.catalog import raw_config
from aggsim.scenario_own import OWN, is_own, named
from aggsim.service_own import own_config
from aggsim.ui import shelf
from aggsim.ui.catalog import problem

SECTION = "catalog-section"
SECTIONS = {"models": "Models", "devices": "Devices", "model": "Bring a model", "device": "Bring a device"}

MODEL_TEXT, MODEL_FILE, MODEL_NAME = "own-model-text", "own-model-file", "own-model-name"
FIRST_NAME = "my-model"

START, FILE, TOML = "own-device-start", "own-device-file", "own-device-toml"
NAME, VENDOR, SOURCE, LEVELS = "own-device-name", "own-device-vendor", "own-device-source", "own-device-levels"
BEGUN, VALID, IMPORT = "_own_device_begun", "_own_device_valid", "_own_device_import"
"""What the device form started from, its last valid device, and what was wrong with the last import."""


def widget(key: str) -> str:
    """Of a field of editing."""
    return f"own-device-{key}"


def edit(kind: shelf.Kind, entry_id: str) -> None:
    """A callback: the form for its kind, filled from an entry."""
    st.session_state[SECTION] = SECTIONS[kind]
    if kind == "model":
        begin_model(entry_id)
    else:
        st.session_state[START] = entry_id
        begin_from(entry_id)


def has_config(model_id: str) -> bool:
    """There is a config.json to start from."""
    return is_own(model_id) or raw_config(service.find_model(model_id)) is not None


def begin_model(model_id: str) -> None:
    """A callback: the text of an entry's config.json; an own one keeps its name: adding it again replaces it."""
    config = own_config(model_id) if is_own(model_id) else raw_config(service.find_model(model_id))
    st.session_state[MODEL_TEXT] = json.dumps(config, indent=2)
    st.session_state[MODEL_NAME] = _name_of(model_id)


def propose_name(words: str) -> None:
    """A name out of what the model is called elsewhere, where none was chosen yet."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", words).strip("-._")[:64]
    if name and name != "config" and st.session_state.get(MODEL_NAME, FIRST_NAME) == FIRST_NAME:
        st.session_state[MODEL_NAME] = name


def begin_from(device_id: str) -> None:
    """A callback: every field from an entry; an own one keeps its name: adding it again replaces it."""
    if device_id and problem("device", device_id) is None:
        begin(service.find_device(device_id), _name_of(device_id))


def begin(spec: DeviceSpec, name: str) -> None:
    """Fill the form from a device; what was typed before is gone, as asked."""
    st.session_state[BEGUN] = spec
    st.session_state[NAME] = name
    st.session_state[VENDOR] = spec.vendor
    st.session_state[SOURCE] = " ".join(spec.source.split())
    st.session_state[LEVELS] = len(spec.links)
    for key, text in editing.texts_of(spec).items():
        st.session_state[widget(key)] = text
    for level, link in enumerate(spec.links):
        st.session_state[widget(link_key(level, "full_mesh"))] = link.full_mesh


def fill_levels() -> None:
    """A callback: new levels begin as copies of the one outside them."""
    for level in range(1, int(st.session_state[LEVELS] or 1)):
        for field in editing.LINK_FIELDS:
            key = widget(link_key(level, field.key))
            if not st.session_state.get(key):
                st.session_state[key] = st.session_state[widget(link_key(level - 1, field.key))]


def import_file() -> None:
    """A callback of the uploader."""
    file = st.session_state[FILE]
    if file is not None:
        _import(file.getvalue().decode("utf-8", "replace"), file.name)


def import_text() -> None:
    """A callback of the text field."""
    if (st.session_state[TOML] or "").strip():
        _import(st.session_state[TOML], "the pasted text")


def _import(text: str, where: str) -> None:
    """Fill the form from a device file; a bad one changes nothing."""
    st.session_state[IMPORT] = None
    try:
        if len(text) > MAX_FILE_CHARS:
            raise InputError(where, f"{len(text):,} characters", f"at most {MAX_FILE_CHARS:,}")
        spec = parse_device(text, where)
    except AggsimError as error:
        st.session_state[IMPORT] = f"{error}. The form below is as it was."
        return
    begin(spec, spec.device_id)


def _name_of(entry_id: str) -> str:
    if is_own(entry_id):
        return named(entry_id).removeprefix(OWN)
    return f"{entry_id.rsplit('/', 1)[-1][:59]}-mine"
