"""The select of workload presets in AppTest."""

from __future__ import annotations

from collections.abc import Callable

from aggsim.scenario_presets import PRESETS
from tests.pages.conftest import App

Open = Callable[..., App]
CHAT = next(preset for preset in PRESETS if preset.name == "chat")


def test_a_choice_fills_the_fields_and_an_edit_makes_it_custom(open_app: Open) -> None:
    app = open_app("engine=analytic")
    select = app.test.selectbox(key="preset")
    assert select.value == "custom"
    assert select.help
    select.set_value("chat")
    app.run()
    fields = {"input": "1020", "output": "129", "ttft": "450", "tpot": "40", "percentile": "p99"}
    assert app.address == fields | {"engine": "analytic"}
    assert "A burst has means only: percentile p99" in app.html
    assert app.test.session_state["input"] == CHAT.input
    assert any(CHAT.lengths_source in caption.value for caption in app.test.caption)
    app.enter("output", 300)
    assert app.test.selectbox(key="preset").value == "custom"
    assert app.test.session_state["ttft"] == CHAT.ttft


def test_a_link_shows_its_preset(open_app: Open) -> None:
    app = open_app("input=1024&output=1024&tpot=none&engine=analytic")
    assert app.test.selectbox(key="preset").value == "batch"


def test_choosing_custom_changes_nothing(open_app: Open) -> None:
    app = open_app("input=1020&output=129&ttft=450&tpot=40&engine=analytic")
    before = app.address
    app.test.selectbox(key="preset").set_value("custom")
    app.run()
    assert app.address == before
    assert app.test.selectbox(key="preset").value == "chat"
