"""The Search page in AppTest: what is on screen is what was searched, and a search link says all of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from html import escape
from typing import Any
from urllib.parse import parse_qs

import pytest

from aggsim import service
from aggsim.planning.deployment import Load
from aggsim.report.format import number
from aggsim.report.search_words import search_headline, sizing_words
from aggsim.scenario import Scenario
from aggsim.scenario_search import SearchQuestion
from aggsim.share_search import decode_search, encode_search
from tests.pages.conftest import App

Open = Callable[..., App]
FAST = "engine=analytic"
BASE = Scenario(engine="analytic")


def searching(open_app: Open, link: str) -> App:
    """The app after it has opened a link to the page; AppTest itself can open the first page only."""
    app = open_app(FAST)
    app.test.query_params.clear()
    for key, values in parse_qs(link).items():
        app.test.query_params[key] = values
    app.go("search")
    return app


def control(app: App, key: str) -> Any:
    """The values that a field may take."""
    return next(widget for widget in (*app.test.button_group, *app.test.multiselect) if widget.key == f"axis-{key}")


def choose(app: App, key: str, *values: object) -> None:
    control(app, key).set_value(list(values))
    app.run()


def press(app: App, key: str) -> None:
    next(button for button in app.test.button if button.key == key).click()
    app.run()


def explained(app: App) -> App:
    """What would help is worked out beside the page."""
    for _ in range(100):
        if any(chart.startswith("What would help") for chart in app.all_charts):
            return app
        time.sleep(0.1)
        app.run()
    raise AssertionError("no explanation after 100 runs")


def go(app: App, page: str) -> None:
    """As a click on a page's name, which comes with an empty query."""
    app.test.query_params.clear()
    app.go(page)


def test_the_form_s_scenario_is_searched_over_its_open_layouts(open_app: Open) -> None:
    app, result = explained(searching(open_app, FAST)), service.search(SearchQuestion(base=BASE))
    assert search_headline(result) in app.html
    assert f"{result.evaluated} points of {result.num_layouts} layouts evaluated" in app.html
    names = [chart.partition(":")[0] for chart in app.all_charts]
    assert names == ["Pareto chart", "Throughput over batch size", "What would help", "Heat map"]
    top = app.test.dataframe[0].value
    assert list(top["tokens_per_s"]) == [candidate.output_tokens_per_s for candidate in result.candidates]
    assert list(top["batch"]) == [candidate.scenario.batch for candidate in result.candidates]
    assert app.test.code[0].value == 'python -m aggsim search "engine=analytic"'


LINKS = (
    "engine=analytic&tp=2,4",
    "engine=analytic&tp=8&linear=none,fp8&attention=none,fp8",
    "device=H100_SXM_80G,H200_SXM_141G&devices=4,8&engine=analytic",
    "devices=4,8&tp=4&engine=analytic",
    "engine=analytic&mtp=0,1,2&tp=8",
    "model=Qwen/Qwen3-30B-A3B&ep=2,8&moe_dp=1&tp=4&engine=analytic",
    "engine=analytic&pp=all&attention=all",
    "engine=analytic&device=all&tp=8",
)


@pytest.mark.parametrize("link", LINKS)
def test_a_search_link_is_searched_and_stays_in_the_address(open_app: Open, link: str) -> None:
    app = searching(open_app, link)
    question = decode_search(link).question
    assert app.warnings == ""
    assert escape(search_headline(service.search(question))) in app.html
    given = "&".join(f"{key}={value}" for key, value in app.address.items())
    assert decode_search(given).question == question
    link = str(app.test.get("bidi_component")[0].proto)
    assert encode_search(question) in link


def test_a_control_varies_a_field_and_the_form_takes_it_back(open_app: Open) -> None:
    app = searching(open_app, FAST)
    choose(app, "tp", 2, 8)
    assert app.address == {"tp": "2,8", "engine": "analytic"}
    assert "2 layouts evaluated" in app.html
    assert app.test.session_state["tp"] is None
    choose(app, "tp", 8)
    assert app.address == {"tp": "8", "engine": "analytic"}
    assert app.test.session_state["tp"] == 8
    choose(app, "tp", 8, "all")
    assert app.address == {"engine": "analytic"}
    choose(app, "attention", "none", "fp8")
    assert app.address["attention"] == "none,fp8"
    app.enter("attention", "int8")
    assert app.address == {"attention": "int8", "engine": "analytic"}


def test_several_device_counts_take_a_fixed_layout_along(open_app: Open) -> None:
    app = searching(open_app, f"{FAST}&tp=8")
    choose(app, "devices", 4, 8, 16)
    assert app.address == {"devices": "4,8,16", "tp": "8", "engine": "analytic"}
    assert "not possible" not in app.html
    assert "1 rejected layout" in app.test.expander[-1].label or any("reject" in e.label for e in app.test.expander)
    choose(app, "devices", 16)
    assert app.address == {"devices": "16", "tp": "8", "engine": "analytic"}
    assert app.test.session_state["tp"] == 8


def test_the_best_opens_on_plan_with_the_same_numbers_and_back_again(open_app: Open) -> None:
    app = searching(open_app, f"{FAST}&tp=1,2,4")
    best = service.search(decode_search(f"{FAST}&tp=1,2,4").question).best
    assert best is not None
    assert best.best is not None
    press(app, "search-open-best")
    assert f"at batch {number(best.best.batch_size)}" in app.html
    assert number(best.best.output_tokens_per_s) in app.html
    assert app.address == {"tp": str(best.layout.tp), "engine": "analytic"}
    go(app, "search")
    assert app.address == {"tp": "1,2,4", "engine": "analytic"}
    press(app, "search-open-best")
    app.go("plan")  # AppTest does not notice that the script has changed the page
    app.enter("output", 900)
    go(app, "search")
    assert app.address == {"tp": str(best.layout.tp), "output": "900", "engine": "analytic"}


def test_a_load_is_sized(open_app: Open) -> None:
    app = searching(open_app, f"{FAST}&target_requests_per_s=40")
    sizing = service.size(SearchQuestion(base=BASE), Load(requests_per_s=40)).sizings[0]
    said = "\n".join(text.value for text in app.test.markdown).replace("\\", "")
    assert sizing_words(sizing) in said
    assert any(chart.startswith("Smallest deployments") for chart in app.charts)
    assert app.address == {"engine": "analytic", "target_requests_per_s": "40"}
    press(app, "sizing-open")
    assert app.address["devices"] == str(sizing.candidate.layout.num_devices)


def test_nothing_meets_the_limits(open_app: Open) -> None:
    app = searching(open_app, f"{FAST}&tpot=1")
    assert "None of 4 layouts meets the limits" in app.html
    rejected = app.test.dataframe[0].value
    assert set(rejected["stopped_by"]) == {"TPOT"}
    assert all("Too slow at batch 1" in reason for reason in rejected["reason"])


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("tp=2,x", ["tp", "x"]),
        ("device=H200_SXM_141G,nothing", ["device", "nothing", "catalog"]),
        ("devices=all", ["devices", "all"]),
        ("batch=1,2", ["batch", "1,2"]),
        ("target_tokens_per_s=-1", ["target_tokens_per_s", "-1"]),
        ("target_requests_per_s=many", ["target_requests_per_s", "many"]),
        ("colour=red", ["unknown", "colour"]),
    ],
)
def test_a_bad_value_is_told_and_the_rest_kept(open_app: Open, query: str, names: list[str]) -> None:
    app = searching(open_app, f"{FAST}&input=1234&{query}")
    for name in names:
        assert name in app.warnings
    assert app.address == {"input": "1234", "engine": "analytic"}
    assert "Pareto chart" in app.charts[0]


def test_plan_says_what_stops_it_and_what_would_help(open_app: Open) -> None:
    app = explained(open_app(FAST))
    explanation = service.explain(BASE)
    binding = explanation.binding
    assert binding is not None
    assert binding.stop is not None
    said = "\n".join(text.value for text in app.test.markdown).replace("\\", "")
    assert f"TPOT stops batch {number(binding.stop.batch_size)}" in said
    assert f"Memory would allow {number(explanation.reaches[1].largest_batch)}." in said
    assert any(chart.startswith("What would help") for chart in app.all_charts)
    press(app, "explain-timeline")
    assert app.address == {"batch": str(binding.stop.batch_size), "engine": "analytic"}
    assert "arrive at once" in app.html
