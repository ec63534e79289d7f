"""Report, trace, CSV and pictures are downloaded in Chromium and opened again."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from aggsim import service
from aggsim.report.format import number
from aggsim.report.json_form import evaluation_json
from aggsim.report.rows import result_row
from aggsim.scenario import Scenario
from aggsim.share import decode
from tests.browser.test_app import Screen
from tests.trace_format import problems

pytestmark = pytest.mark.browser


def fetched(screen: Screen, label: str, folder: Path) -> Path:
    """The file behind the menu's first button of that name."""
    with screen.page.expect_download(timeout=60_000) as download:
        screen.page.get_by_role("button", name=label, exact=True).first.click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_what_was_downloaded_can_be_opened_again(server: str, browser: Any, tmp_path: Path) -> None:
    asked = Scenario(batch=16, engine="analytic")
    answer = service.evaluate(asked)
    screen = Screen(browser, accept_downloads=True)
    screen.open(f"{server}/?batch=16&engine=analytic")
    screen.page.get_by_role("button", name="Download", exact=True).click()
    screen.wait_for("Report (HTML)")

    report = fetched(screen, "Report (HTML)", tmp_path)
    trace = fetched(screen, "Trace (Perfetto)", tmp_path)
    evaluation = fetched(screen, "Answer (JSON)", tmp_path)
    table = fetched(screen, "Results", tmp_path)
    picture, pixels = fetched(screen, "SVG", tmp_path), fetched(screen, "PNG", tmp_path)
    assert fetched(screen, "Report (HTML)", tmp_path).read_bytes() == report.read_bytes()

    assert problems(trace.read_text(encoding="utf-8")) == []
    assert json.loads(evaluation.read_text(encoding="utf-8")) == evaluation_json(answer)
    with table.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert {name: row[name] for name in result_row(answer)} == {k: str(v) for k, v in result_row(answer).items()}

    # Opened from the disk: the numbers, the charts, and no request but for the file itself.
    page = screen.context.new_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report.as_uri())
    assert requests == [report.as_uri()]
    assert number(answer.output_tokens_per_s) in page.locator(".tiles").inner_text()
    assert page.locator("svg[role=img]").count() == 5
    link = page.locator("a").get_attribute("href")
    assert link.startswith(f"{server}/?v=1&")
    assert decode(link).scenario == answer.scenario
    for path in (picture, pixels):
        page.goto(path.as_uri())
    assert page.evaluate("document.images[0].naturalWidth") > 1000

    # The link of the report leads back to the same answer.
    screen.open(link)
    assert number(answer.output_tokens_per_s) in screen.page.locator(".aggsim-tiles").inner_text()
    screen.context.close()
