"""Frozen links whose results do not come out again, in Chromium. Comparing is part of test_story.py."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from aggsim import service
from aggsim.report.format import duration
from aggsim.share_compare import decode_comparison_lenient
from tests.browser.test_app import Screen

pytestmark = pytest.mark.browser

CLIPBOARD = ["clipboard-read", "clipboard-write"]


def copied(screen: Screen, button: str) -> str:
    screen.page.get_by_role("button", name=button, exact=True).click()
    screen.page.get_by_text("opied ✓").first.wait_for()
    link: str = screen.page.evaluate("navigator.clipboard.readText()")
    return link


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
