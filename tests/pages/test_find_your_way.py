"""Recent scenarios and the tour of a first visit, in AppTest."""

from __future__ import annotations

from collections.abc import Callable

from aggsim.report.tour_words import tour_stops
from aggsim.ui import recent
from tests.pages.conftest import App

Open = Callable[..., App]


def listed(app: App) -> list[str]:
    """Labels of the menu, drawn open."""
    app.test.session_state[recent._OPEN] = True
    app.run()
    return [button.label.replace("\\", "") for button in app.test.button if str(button.key).startswith("recent-")]


def test_recent_scenarios_are_listed_latest_first_and_open_again(open_app: Open) -> None:
    app = open_app("output=700&engine=analytic")
    assert listed(app) == []
    app.enter("tp", 4)
    app.enter("output", 800)
    labels = listed(app)
    assert len(labels) == 2
    assert "**3,500 → 700 tokens**" in labels[0]
    assert "**TP" not in labels[0]
    assert "**TP 8**" in labels[1]
    app.test.button(key="recent-1").click()
    app.run()
    assert app.address == {"output": "700", "engine": "analytic"}
    assert app.test.session_state["tp"] is None
    assert len(listed(app)) == 2


def test_only_the_last_ones_are_kept(open_app: Open) -> None:
    app = open_app("batch=4&engine=analytic")
    for output in range(100, 100 + recent.MOST + 2):
        app.enter("output", output)
    labels = listed(app)
    assert len(labels) == recent.MOST - 1
    assert f"→ {98 + recent.MOST + 2} tokens" in labels[0]


def tour(app: App) -> str:
    said = [text.value.replace("\\", "") for text in app.test.markdown]
    return next((text for text in said if "New here?" in text or " of 5 · " in text), "")


def test_the_first_visit_is_offered_a_tour_of_the_answer_on_screen(open_app: Open) -> None:
    app = open_app()
    assert "New here?" in tour(app)
    assert app.charts, "it blocks nothing"
    answer = app.test.session_state["_answer"].evaluation
    for i, stop in enumerate(tour_stops(answer), 1):
        app.test.button(key="tour-next").click()
        app.run()
        assert tour(app) == f"**{i} of 5 · {stop.title}.** {stop.words}"
    assert all(button.key != "tour-next" for button in app.test.button)
    app.test.button(key="tour-close").click()
    app.run()
    assert tour(app) == ""
    app.enter("output", 700)
    app.go("timeline")
    app.go("plan")
    assert tour(app) == ""


def test_it_can_be_closed_at_once(open_app: Open) -> None:
    app = open_app()
    app.test.button(key="tour-close").click()
    app.run()
    assert tour(app) == ""


def test_a_link_is_no_first_visit(open_app: Open) -> None:
    app = open_app("output=700")
    assert tour(app) == ""
    app.test.query_params.clear()
    app.run()
    assert tour(app) == ""
