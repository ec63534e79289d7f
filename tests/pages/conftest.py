"""The app in AppTest: always from app.py, one session a test."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from aggsim.scenario import PARAMETER, Scenario
from aggsim.service_jobs import ExplanationJob, SteadyJob
from aggsim.ui import explain_view, steady_view

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def _navigation_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest forgets on every run that app.py uses st.navigation, and would run a page of pages/ without its frame."""
    create = PagesManager.__init__

    def create_without_folder(self: PagesManager, *args: object, **options: object) -> None:
        create(self, *args, **options)
        monkeypatch.setattr(PagesManager, "uses_pages_directory", False)

    monkeypatch.setattr(PagesManager, "__init__", create_without_folder)


@pytest.fixture(autouse=True)
def _closed_tabs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """AppTest never says that a tab is closed: what works on beside the pages would keep later tests waiting."""
    started: list[ExplanationJob | SteadyJob] = []

    def recorded(job: type[ExplanationJob] | type[SteadyJob]) -> Callable[[Scenario], object]:
        def start(scenario: Scenario) -> object:
            started.append(job(scenario))
            return started[-1]

        return start

    monkeypatch.setattr(explain_view, "ExplanationJob", recorded(ExplanationJob))
    monkeypatch.setattr(steady_view, "SteadyJob", recorded(SteadyJob))
    yield
    for work in started:
        work.cancel()


class App:
    """One session of the app and what its screen says."""

    def __init__(self, query: str = "", page: str = "plan") -> None:
        self.test = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        for key, values in parse_qs(query, keep_blank_values=True).items():
            self.test.query_params[key] = values
        self.run()
        if page != "plan":
            self.go(page)

    def run(self) -> None:
        """Every run must end without a traceback on screen."""
        self.test.run()
        assert [error.message for error in self.test.exception] == []

    def go(self, page: str) -> None:
        self.test.switch_page(f"pages/{page}.py")
        self.run()

    def enter(self, key: str, value: object) -> None:
        """Change one field of the form, whatever widget it is."""
        kinds = (self.test.number_input, self.test.selectbox, self.test.text_input)
        field = next(widget for kind in kinds for widget in kind if widget.key == key)
        field.set_value(value)
        self.run()

    @property
    def fields(self) -> set[str]:
        kinds = (self.test.number_input, self.test.selectbox, self.test.text_input)
        return {widget.key for kind in kinds for widget in kind if widget.key in PARAMETER}

    @property
    def html(self) -> str:
        """Header, verdict, tiles and field errors."""
        return "\n".join(element.proto.body for element in self.test.get("html"))

    @property
    def warnings(self) -> str:
        """Messages about the link and the form, as they read."""
        return "\n".join(warning.value for warning in self.test.warning).replace("\\", "")

    @property
    def charts(self) -> list[str]:
        """Descriptions of the charts in reading order, without the one that is worked out beside the page."""
        return [chart for chart in self.all_charts if not chart.startswith("What would help")]

    @property
    def all_charts(self) -> list[str]:
        return [json.loads(chart.proto.spec)["description"] for chart in self.test.get("vega_lite_chart")]

    @property
    def address(self) -> dict[str, str]:
        given = self.test.query_params.items()
        return {key: value if isinstance(value, str) else value[-1] for key, value in given}


@pytest.fixture
def open_app() -> Callable[..., App]:
    """open_app("tp=4", "timeline"): the app after it has opened that link."""
    return App
