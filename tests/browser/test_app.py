"""The story of a first visit, in Chromium on a fresh server."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from aggsim import service
from aggsim.report.rows import result_row
from aggsim.scenario import Scenario
from aggsim.share import decode

pytestmark = pytest.mark.browser

CHART = '[data-testid="stVegaLiteChart"]'
OUTPUT = 'input[aria-label="Output length (tokens)"]'
LINK = "input=20000&max_batched_tokens=8192&batch=48"
ASKED = Scenario(input=20_000, max_batched_tokens=8192, batch=48)


class Screen:
    """One tab."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 720}} | options)
        self.page = self.context.new_page()

    def open(self, address: str) -> None:
        self.page.goto(address)
        self.wait_for("Copy link")

    def wait_for(self, text: str) -> None:
        self.page.get_by_text(text).first.wait_for(timeout=60_000)
        self.settle()

    def settle(self) -> None:
        """The script is done and every chart is drawn, none with an exception."""
        self.page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for(timeout=60_000)
        self.page.locator(f"{CHART} :is(svg, canvas).marks").first.wait_for(timeout=60_000)
        assert self.page.locator('[data-testid="stException"]').count() == 0

    def field(self, label: str) -> Any:
        return self.page.locator(f'input[aria-label="{label}"]')

    def enter(self, label: str, value: str) -> None:
        self.field(label).fill(value)
        self.field(label).press("Enter")

    def chart(self, start: str) -> Any:
        """A drawn chart whose description starts like this."""
        chart = self.page.locator(f'{CHART}[aria-label^="{start}"]')
        chart.locator(":is(svg, canvas).marks").wait_for(timeout=60_000)
        return chart

    @property
    def query(self) -> dict[str, str]:
        return {key: values[-1] for key, values in parse_qs(urlsplit(self.page.url).query).items()}


def test_a_deep_link_to_the_second_page_of_a_fresh_server(server: str, browser: Any, tmp_path: Path) -> None:
    screen = Screen(browser, accept_downloads=True, permissions=["clipboard-read", "clipboard-write"])
    screen.open(f"{server}/timeline?{LINK}")
    screen.wait_for("3 prefill chunks per prompt")
    assert screen.query == {"input": "20000", "max_batched_tokens": "8192", "batch": "48"}
    assert screen.field("Input length (tokens)").input_value() == "20000"

    # A field changes: the chart, what it says and the address follow.
    drawn = screen.chart("Overview of the run").locator("svg.marks").inner_html()
    screen.enter("Output length (tokens)", "300")
    screen.page.wait_for_url("**output=300**")
    screen.page.wait_for_function(
        "([selector, old]) => ![undefined, old].includes(document.querySelector(selector)?.innerHTML)",
        arg=[f'{CHART}[aria-label^="Overview"] svg.marks', drawn],
    )
    screen.settle()
    changed = ASKED.replace(output=300)
    assert f"in {service.evaluate(changed).run.num_steps:,} steps" in screen.chart("Overview").get_attribute(
        "aria-label"
    )

    # A copied link means the same, on this page, in another browser.
    screen.page.get_by_role("button", name="Copy link", exact=True).click()
    screen.wait_for("Copied")
    link = screen.page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{server}/timeline?v=1&model=Qwen/Qwen3-32B&")
    assert decode(link).scenario == service.evaluate(changed).scenario

    # The other page keeps the scenario, and its CSV the numbers.
    screen.page.get_by_role("link", name="Plan").click()
    screen.wait_for("GiB left")
    assert urlsplit(screen.page.url).path == "/"
    assert screen.query["output"] == "300"
    with screen.page.expect_download() as download:
        screen.page.get_by_role("button", name="Download CSV", exact=True).click()
    path = tmp_path / "results.csv"
    download.value.save_as(path)
    with path.open(newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["chosen"] == "True")
    for name, value in result_row(service.evaluate(changed)).items():
        assert row[name] == str(value)

    # Back and forth: the form follows the browser's own buttons.
    screen.page.go_back()
    screen.wait_for("3 prefill chunks per prompt")
    assert screen.field("Output length (tokens)").input_value() == "300"

    other = Screen(browser)
    other.open(link)
    other.wait_for("3 prefill chunks per prompt")
    assert other.field("Output length (tokens)").input_value() == "300"
    other.context.close()
    screen.context.close()


def test_dragging_the_overview_chooses_the_window(server: str, browser: Any) -> None:
    screen = Screen(browser, viewport={"width": 1280, "height": 1400})
    screen.open(f"{server}/timeline?{LINK}")
    before = screen.chart("Steps of the window").get_attribute("aria-label")
    box = screen.chart("Overview of the run").bounding_box()
    y = box["y"] + 0.6 * box["height"]
    screen.page.mouse.move(box["x"] + 0.60 * box["width"], y)
    screen.page.mouse.down()
    screen.page.mouse.move(box["x"] + 0.80 * box["width"], y, steps=8)
    screen.page.mouse.up()
    screen.page.wait_for_function(
        "([selector, old]) => document.querySelector(selector)?.getAttribute('aria-label') !== old",
        arg=[f'{CHART}[aria-label^="Steps of the window"]', before],
    )
    screen.settle()
    screen.context.close()


def test_a_wrong_field_dims_the_last_answer(server: str, browser: Any) -> None:
    screen = Screen(browser)
    screen.open(f"{server}/?batch=16")
    screen.enter("Output length (tokens)", "0")
    screen.wait_for("Showing the last valid scenario")
    assert "is not possible" in screen.page.locator(".aggsim-error").inner_text()
    assert float(screen.page.locator(".st-key-stale").evaluate("e => getComputedStyle(e).opacity")) < 1
    assert screen.query == {"batch": "16"}
    screen.enter("Output length (tokens)", "64")
    screen.page.locator(".st-key-stale").wait_for(state="detached")
    screen.settle()
    screen.context.close()


def test_one_click_on_a_page_is_one_step_back(server: str, browser: Any) -> None:
    screen = Screen(browser)
    screen.open(f"{server}/?batch=16&engine=analytic")
    steps = screen.page.evaluate("history.length")
    been = [screen.page.url]
    for name in ("Method", "Catalog", "Timeline", "Plan"):
        screen.page.get_by_role("link", name=name, exact=True).click()
        path = "/" if name == "Plan" else f"/{name.lower()}"
        screen.page.wait_for_url(f"{server}{path}?*batch=16*")
        screen.settle()
        been.append(screen.page.url)
        assert screen.page.evaluate("history.length") == steps + len(been) - 1

    # A change of the form is one too; every step back shows a page with its own query, and the form follows.
    screen.enter("Output length (tokens)", "300")
    screen.page.wait_for_url("**output=300**")
    screen.settle()
    assert screen.page.evaluate("history.length") == steps + len(been)
    for address in reversed(been):
        screen.page.go_back()
        screen.page.wait_for_url(address)
        screen.page.wait_for_function("name => document.querySelector(name)?.value === '1500'", arg=OUTPUT)
        screen.settle()
        assert screen.page.url == address
    screen.context.close()
