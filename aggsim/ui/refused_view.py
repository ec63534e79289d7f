"""What other packages bring along and aggsim cannot use: listed with the reason, below what it can."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from aggsim import service
from aggsim.devices.package import package_device_problems
from aggsim.errors import UnsupportedModelError
from aggsim.models.catalog import model_source
from aggsim.packages import package_title
from aggsim.report.catalog_tables import refused_frame
from aggsim.report.format import count

__all__ = ["draw_refused_devices", "draw_refused_models"]


def draw_refused_models() -> None:
    """Models whose config.json is not understood; nothing where there are none."""
    reasons = {name: str(found) for name, found in service.models().items() if isinstance(found, UnsupportedModelError)}
    _draw(reasons, {name: model_source(name) for name in reasons}, "model")


def draw_refused_devices() -> None:
    """Systems whose file lacks a needed figure; nothing where there are none."""
    reasons = package_device_problems()
    _draw(reasons, {name: package_title() for name in reasons}, "device")


def _draw(reasons: Mapping[str, str], sources: Mapping[str, str], noun: str) -> None:
    if not reasons:
        return
    with st.expander(f"{count(len(reasons), noun)} that cannot be used yet, and why"):
        columns = {
            "entry": st.column_config.TextColumn(noun, width=290, help=f"As the package calls the {noun}."),
            "reason": st.column_config.TextColumn(width=520, help="What is missing, in one sentence."),
            "source": st.column_config.TextColumn(help="The package, and its version, that brings it along."),
        }
        st.dataframe(refused_frame(reasons, sources), hide_index=True, column_config=columns)
