"""Three rows of a search pinned, compared and frozen; the link opened elsewhere. In Chromium, on a fresh server."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from aggsim import service
from aggsim.report.format import duration, number
from aggsim.share_compare import decode_comparison_lenient
from aggsim.share_search import decode_search
from tests.browser.conftest import ARTIFACTS
from tests.browser.test_app import Screen

pytestmark = pytest.mark.browser

SEARCH = "tp=1,2,4,8&tpot=40&engine=analytic"
CLIPBOARD = ["clipboard-read", "clipboard-write"]
TALL = {"width": 1280, "height": 1700}


def copied(screen: Screen, button: str) -> str:
    screen.page.get_by_role("button", name=button, exact=True).click()
    screen.page.get_by_text("opied ✓").first.wait_for()
    link: str = screen.page.evaluate("navigator.clipboard.readText()")
    return link


def pin_rows(screen: Screen, number_of_rows: int) -> None:
    """By their checkboxes."""
    screen.page.get_by_role("radio", name="pins it to compare").click()
    screen.wait_for("choosing a row pins it")
    for row in range(1, number_of_rows + 1):
        table = screen.page.get_by_test_id("stDataFrame").first
        table.scroll_into_view_if_needed()
        box = table.bounding_box()
        screen.page.mouse.click(box["x"] + 18, box["y"] + 35 * (row + 0.5))
        screen.wait_for(f"{row} of 6 pinned")


def results(screen: Screen) -> str:
    """The lower part of the table: what is settled by now, as the batch size, is an input of the link's scenarios."""
    head, _, below = screen.page.locator(".aggsim-compare").inner_text().partition("RESULTS")
    assert "WHAT DIFFERS" in head
    return below


def test_pin_compare_freeze_and_open_elsewhere(server: str, browser: Any) -> None:
    screen = Screen(browser, viewport=TALL, permissions=CLIPBOARD)
    screen.open(f"{server}/search?{SEARCH}")
    result = service.search(decode_search(SEARCH).question)
    pin_rows(screen, 3)

    screen.page.get_by_role("link", name="Compare").click()
    screen.wait_for("4 scenarios side by side")
    screen.chart("Timelines compared")
    table = screen.page.locator(".aggsim-compare")
    for candidate in result.candidates[:3]:
        assert candidate.best is not None
        assert f"{number(candidate.best.output_tokens_per_s)} tokens/s" in table.inner_text()
    assert [pin.tp for pin in decode_comparison_lenient(screen.query).comparison.pins] == [
        candidate.layout.tp for candidate in result.candidates[:3]
    ]

    # The form's own scenario is taken out; the second one becomes the baseline.
    screen.page.locator(".st-key-remove-D button:visible").first.click()
    screen.wait_for("3 scenarios side by side")
    screen.page.get_by_role("radio", name="B", exact=True).click()
    screen.wait_for("Measured against B")
    compared = decode_comparison_lenient(screen.query).comparison

    # Another page and back: what is pinned is still there, by the browser's own button too.
    screen.page.get_by_role("link", name="Timeline").click()
    screen.wait_for("prefill chunk per prompt")
    screen.page.go_back()
    screen.wait_for("3 scenarios side by side")
    assert decode_comparison_lenient(screen.query).comparison == compared

    frozen, plain = copied(screen, "Freeze"), copied(screen, "Copy link")
    assert frozen.startswith(f"{server}/compare?v=1&model=Qwen/Qwen3-32B&")
    other = Screen(browser, viewport=TALL)
    other.open(frozen)
    other.wait_for("Reproduces")
    other.wait_for("all 24 frozen results come out again")
    assert results(other) == results(screen)
    assert "frozen" in other.query
    other.page.reload()
    other.wait_for("Reproduces")
    other.context.close()

    # The plain link says the same without the results; a damaged frozen one answers all the same.
    for link, words in ((plain, "3 scenarios side by side"), (frozen[:-9], "Ignored in the link")):
        other = Screen(browser, viewport=TALL)
        other.open(link)
        other.wait_for(words)
        assert other.page.get_by_text("Reproduces").count() == 0
        assert other.page.locator(".aggsim-compare thead th").count() == 4
        other.context.close()
    screen.context.close()


def test_one_scenario_is_frozen_and_a_changed_result_is_told(server: str, browser: Any) -> None:
    screen = Screen(browser, permissions=CLIPBOARD)
    screen.open(f"{server}/timeline?batch=16&engine=analytic")
    screen.wait_for("prefill chunk per prompt")
    link = copied(screen, "Freeze")
    assert urlsplit(link).path == "/timeline"
    screen.page.goto(link)
    screen.wait_for("Reproduces")
    screen.enter("Output length (tokens)", "300")
    screen.page.wait_for_url("**output=300**")
    screen.page.get_by_text("Reproduces").wait_for(state="detached")
    assert "frozen" not in screen.query

    # Somebody edits an input of the link by hand: the results are not those that were frozen.
    screen.page.goto(link.replace("&input=3500&", "&input=1000&"))
    screen.wait_for("Does not reproduce")
    changes = screen.page.locator(".aggsim-changes").inner_text()
    asked = decode_comparison_lenient(link).comparison.current
    for scenario in (asked, asked.replace(input=1000)):
        assert duration(service.evaluate(scenario).ttft_s) in changes
    screen.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.slow
def test_screenshots(server: str, browser: Any, theme: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    query = (
        "engine=analytic&tp=8&pin1=tp:4&pin2=tp:2;linear:none&pin3=device:H100_SXM_80G&pin4=devices:16&pin5=ttft:2000"
    )
    for width, height in ((1280, 720), (1920, 2400)):
        screen = Screen(browser, color_scheme=theme, viewport={"width": width, "height": height})
        screen.open(f"{server}/compare?{query}")
        screen.wait_for("6 scenarios side by side")
        screen.page.wait_for_timeout(500)
        picture = ARTIFACTS / f"compare-{theme}-{width}x{height}.png"
        screen.page.screenshot(path=picture)
        assert picture.stat().st_size > 20_000
        screen.context.close()
