"""Requests that arrive, in Chromium: percentiles on Plan, the waterfall on Timeline, a trace from a file."""

from __future__ import annotations

from typing import Any

import pytest

from aggsim import service
from aggsim.report.load_tables import time_rows
from aggsim.share import decode
from tests.browser.test_app import Screen

pytestmark = pytest.mark.browser

SIZE = "engine=analytic&model=Qwen/Qwen3-8B&input=500&output=100&seeds=2"
LINK = f"arrival=open&rate=4.5&{SIZE}"
TRACE = b"arrival_s,input,output\n0,500,50\n0.05,900,20\n2,100,80\n"


def test_a_link_with_a_rate_shows_percentiles_and_the_waterfall(server: str, browser: Any) -> None:
    load = service.evaluate(decode(LINK).scenario).load
    assert load is not None
    screen = Screen(browser, viewport={"width": 1280, "height": 2200})
    screen.open(f"{server}/?{LINK}")
    table = screen.page.locator("table.aggsim-times")
    assert table.locator("thead th").all_inner_texts() == ["", "mean", "P50", "P90", "P95", "P99"]
    for line, row in zip(table.locator("tbody tr").all(), time_rows(load), strict=True):
        shown = [cell.split() for cell in line.locator("td").all_inner_texts()]
        assert shown == [[cell, *sure.split()] for cell, sure in zip(row.cells, row.plus_minus, strict=True)]
    screen.chart("Queue over time")
    screen.chart("KV cache over time")
    assert screen.query["rate"] == "4.5"

    screen.page.get_by_role("link", name="Timeline").click()
    screen.wait_for("KV cache ")
    before = screen.chart("Requests in the window").get_attribute("aria-label")
    for name in ("Overview of the run", "Steps of the window", "Queue in the window", "KV cache in the window"):
        screen.chart(name)
    box = screen.chart("Overview of the run").bounding_box()
    y = box["y"] + 0.6 * box["height"]
    screen.page.mouse.move(box["x"] + 0.50 * box["width"], y)
    screen.page.mouse.down()
    screen.page.mouse.move(box["x"] + 0.80 * box["width"], y, steps=8)
    screen.page.mouse.up()
    screen.page.wait_for_function(
        "([selector, old]) => document.querySelector(selector)?.getAttribute('aria-label') !== old",
        arg=['[data-testid="stVegaLiteChart"][aria-label^="Requests in the window"]', before],
    )
    screen.settle()
    after = screen.chart("Requests in the window").get_attribute("aria-label")
    assert "80 of " in after, "a third of the run has more requests than can be drawn"

    # A file in place of the rate: the link names it, and says so on every page.
    name = service.keep_trace(TRACE.decode())
    screen.page.goto(f"{server}/timeline?arrival=trace&trace=0/500/50&{SIZE}")
    screen.wait_for("1 request in the window")
    chooser = screen.page.locator('[data-testid="stFileUploaderDropzoneInput"]')
    chooser.set_input_files({"name": "bad.csv", "mimeType": "text/csv", "buffer": b"arrival_s,input,output\n0,x,1\n"})
    screen.wait_for("line 2, column input: x")
    assert screen.query["trace"] == "0/500/50"
    chooser.set_input_files({"name": "good.csv", "mimeType": "text/csv", "buffer": TRACE})
    screen.wait_for("3 requests in the window")
    assert screen.query["trace"] == name
    screen.context.close()
