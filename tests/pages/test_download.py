"""The download menu in AppTest: what it offers on every page, and that the files are made from what is on screen."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pandas as pd
import pytest

from aggsim import service
from aggsim.report.format import number
from aggsim.report.json_form import evaluation_json
from aggsim.share import decode, encode
from aggsim.share_compare import Comparison, encode_comparison_short
from aggsim.ui import download
from tests.pages.conftest import App
from tests.pages.test_compare import BASE, OTHERS, comparing
from tests.trace_format import problems

Open = Callable[..., App]
Offered = dict[str, Callable[[], str | bytes]]


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> Offered:
    """File name → who makes it, of the menu drawn open: AppTest can neither open popovers nor read downloads."""
    found: Offered = {}
    button = download._button

    def spied(label: str, file: download._File) -> None:
        found[file.name] = file.make
        button(label, file)

    monkeypatch.setattr(download, "_button", spied)
    return found


def opened(app: App) -> None:
    app.test.session_state[download._OPEN] = True
    app.run()


PLAN_FILES = {
    "aggsim-report.html",
    "aggsim-evaluation.json",
    "aggsim-trace.json",
    "aggsim-results.csv",
    *(f"aggsim-{name}.{kind}" for kind in ("svg", "png") for name in ("where-the-time-goes", "memory-of-a-device",
                                                                      "prefill-operators", "decode-operators")),
}  # fmt: skip
QUERY = "batch=16&engine=analytic"


def test_a_closed_menu_makes_and_registers_nothing(open_app: Open, offered: Offered) -> None:
    open_app(QUERY)
    assert offered == {}


def test_plan_offers_every_table_and_chart(open_app: Open, offered: Offered) -> None:
    app = open_app(QUERY)
    opened(app)
    assert {name for name in offered if "what-would-help" not in name} == PLAN_FILES
    answer = service.evaluate(decode(QUERY).scenario)
    assert json.loads(offered["aggsim-evaluation.json"]()) == evaluation_json(answer)
    assert problems(str(offered["aggsim-trace.json"]())) == []
    report = str(offered["aggsim-report.html"]())
    assert number(answer.output_tokens_per_s) in report
    assert encode(answer.scenario).replace("&", "&amp;") in report
    table = pd.read_csv(io.StringIO(str(offered["aggsim-results.csv"]())))
    assert list(table["batch_size"]) == [16]
    assert str(offered["aggsim-where-the-time-goes.svg"]()).startswith("<svg ")
    commands = [code.value for code in app.test.code]
    assert f'python -m aggsim evaluate "{QUERY}"' in commands
    assert any("Scenario(batch=16, engine='analytic')" in code for code in commands)


def test_every_page_offers_its_own(open_app: Open, offered: Offered) -> None:
    app = open_app("input=20000&max_batched_tokens=8192&batch=16&engine=analytic")
    for page, names in {
        "timeline": {"aggsim-steps.csv", "aggsim-overview-of-the-run.svg", "aggsim-queues-in-the-window.png"},
        "method": {"aggsim-operators-decode.csv", "aggsim-decode-roofline.svg"},
        "search": {"aggsim-search.csv", "aggsim-layouts.csv", "aggsim-pareto-chart.svg", "aggsim-heat-map.png"},
    }.items():
        offered.clear()
        app.go(page)
        opened(app)
        assert names <= offered.keys(), page
        assert "aggsim-where-the-time-goes.svg" not in offered
        assert "aggsim-report.html" in offered
    comparison = str(offered["aggsim-search.html"]())
    assert "the best of 4 layouts" in comparison
    assert comparison.count("TPOT ≤ 50 ms") >= 3


def test_the_report_links_to_the_address_of_the_team(
    open_app: Open, offered: Offered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGGSIM_PUBLIC_URL", "https://aggsim.example.org/")
    opened(open_app(QUERY))
    assert 'href="https://aggsim.example.org/?v=1&amp;' in str(offered["aggsim-report.html"]())


def test_compare_offers_a_report_that_begins_with_the_baseline(open_app: Open, offered: Offered) -> None:
    scenarios = (BASE, *OTHERS)
    link = encode_comparison_short(Comparison(current=BASE, pins=OTHERS, baseline=OTHERS[1]))
    app = comparing(open_app, link)
    opened(app)
    page = str(offered["aggsim-comparison.html"]())
    answers = [service.evaluate(scenario) for scenario in scenarios]
    for answer in answers:
        assert number(answer.output_tokens_per_s) in page
        assert encode(answer.scenario).replace("&", "&amp;") in page
    assert "Tensor parallel (TP)" in page[page.index("Inputs that differ") : page.index("<h2>B: ")]
    assert page.index("<h2>B: ") < page.index("<h2>A: "), "the baseline first"
