"""A search in Chromium: from a link to a row to Plan, and a long one that is watched and cancelled."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from aggsim import service
from aggsim.report.format import number
from aggsim.report.search_words import search_headline
from aggsim.share_search import decode_search
from tests.browser.conftest import ROOT, serving
from tests.browser.test_app import Screen

pytestmark = pytest.mark.browser

LINK = "tp=1,2,4,8&tpot=40&engine=analytic"
SLOW = "engine=tensor_cast&tp=1,2,4,8&input=1000&output=200"
TALL = {"width": 1280, "height": 1700}


def test_from_a_search_link_to_a_row_to_plan(server: str, browser: Any) -> None:
    screen = Screen(browser, viewport=TALL)
    screen.open(f"{server}/search?{LINK}")
    result = service.search(decode_search(LINK).question)
    screen.wait_for(search_headline(result))
    screen.chart("Pareto chart")
    screen.chart("Throughput over batch size")
    screen.chart("Heat map")

    # The second row of the table, by its checkbox.
    second = result.candidates[1]
    assert second.best is not None
    table = screen.page.get_by_test_id("stDataFrame").first
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    screen.page.mouse.click(box["x"] + 18, box["y"] + 35 * 2.5)
    screen.wait_for(f"at batch {number(second.best.batch_size)}")
    assert urlsplit(screen.page.url).path == "/"
    assert screen.query == {"tp": str(second.layout.tp), "tpot": "40", "engine": "analytic"}
    tiles = screen.page.locator(".aggsim-tiles").inner_text()
    assert number(second.best.output_tokens_per_s) in tiles
    assert number(second.output_tokens_per_s_per_device) in tiles

    # Back, by the name of the page: the whole search again. A bar of what would help leads on.
    screen.page.get_by_role("link", name="Search").click()
    screen.page.wait_for_url("**/search?tp=**")
    screen.wait_for(search_headline(result))
    assert screen.query == {"tp": "1,2,4,8", "tpot": "40", "engine": "analytic"}
    screen.page.go_back()
    screen.wait_for(f"at batch {number(second.best.batch_size)}")
    screen.context.close()


def test_a_change_that_would_help_is_one_click_away(server: str, browser: Any) -> None:
    screen = Screen(browser, viewport=TALL)
    screen.open(f"{server}/?tp=4&engine=analytic")
    chart = screen.chart("What would help")
    first = service.explain(decode_search("tp=4&engine=analytic").question.base).changes[0]
    bar = chart.locator("svg.marks .mark-rect path").first
    bar.click()
    screen.page.wait_for_url(f"**{first.key}={first.value}**")
    assert first.best is not None
    screen.wait_for(f"at batch {number(first.best.batch_size)}")
    screen.context.close()


def test_the_form_shows_the_link_when_the_explanation_is_there_at_once(server: str, browser: Any) -> None:
    link = "tp=4&engine=analytic&devices=16&input=2000&device=H100_SXM_80G"
    service.explain(decode_search(link).question.base)
    for _ in range(3):  # a page that is drawn twice at once may lose what was said first
        screen = Screen(browser, viewport=TALL)
        screen.open(f"{server}/?{link}")
        screen.chart("What would help")
        screen.settle()
        shown = {label: screen.field(label).input_value() for label in ("Number of devices", "Input length (tokens)")}
        assert shown == {"Number of devices": "16", "Input length (tokens)": "2000"}
        screen.context.close()


def test_a_slow_search_is_watched_and_cancelled(browser: Any, tmp_path: Path) -> None:
    passes = tmp_path / "passes.log"
    passes.touch()
    slowed = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "slow_engine")]),
        "AGGSIM_TEST_PASS_S": "0.4",
        "AGGSIM_TEST_PASSES": str(passes),
    }
    with serving(tmp_path, **slowed) as (address, process):
        screen = Screen(browser)
        screen.page.goto(f"{address}/search?{SLOW}")
        assert passes.read_text() == ""  # nothing is priced before somebody asks for it
        screen.page.get_by_role("button", name="Start search", exact=True).click()
        bar = screen.page.get_by_test_id("stProgress").get_by_role("progressbar")
        first = _moved(bar, above=0.0)
        _moved(bar, above=first)
        # A layout that is done is shown while the others are still at work.
        screen.chart("Pareto chart")
        assert screen.page.get_by_role("button", name="Cancel", exact=True).is_visible()

        screen.page.get_by_role("button", name="Cancel", exact=True).click()
        screen.wait_for("Cancelled after")
        time.sleep(0.5)
        priced, busy_s = passes.read_text(), _cpu_s(process)
        time.sleep(1.5)
        assert passes.read_text() == priced
        assert _cpu_s(process) - busy_s < 0.3
        assert _children(process) == []

        # What was priced is kept: the search goes on from there.
        screen.page.get_by_role("button", name="Go on", exact=True).click()
        screen.wait_for("4 layouts evaluated")
        bar.wait_for(state="detached")  # by the next look at the job, which ends a moment after its last layout
        screen.context.close()


def _moved(bar: Any, above: float) -> float:
    """The bar's value once it is higher."""
    for _ in range(300):
        value = float(bar.get_attribute("aria-valuenow") or 0)
        if value > above:
            return value
        time.sleep(0.1)
    raise AssertionError(f"the bar stays at {above}")


def _cpu_s(process: int) -> float:
    """User and system seconds of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _children(process: int) -> list[str]:
    """Ids of the processes that it has started and that are still there."""
    tasks = Path(f"/proc/{process}/task")
    return [child for task in tasks.iterdir() for child in (task / "children").read_text().split()]
