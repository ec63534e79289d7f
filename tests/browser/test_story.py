"""The design review, as a planner walks it in Chromium on a fresh server, from a pasted config.json to a file to keep.

One session brings a model and a device, searches, pins, compares and freezes; a second one opens the link, sees that it
reproduces, and leaves with the report, the trace and the tables.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from aggsim import service
from aggsim.models.catalog import DATA
from aggsim.planning.evaluation import Evaluation
from aggsim.planning.search_result import SearchResult
from aggsim.report.comparison import METRICS
from aggsim.report.format import number
from aggsim.report.json_form import evaluation_json
from aggsim.report.rows import result_row
from aggsim.report.search_words import search_headline
from aggsim.scenario import Scenario
from aggsim.service_own import find_device, find_model, own_model
from aggsim.share import decode
from aggsim.share_compare import decode_comparison_lenient
from aggsim.share_search import decode_search
from aggsim.units import GIB
from tests.browser.test_app import Screen
from tests.browser.test_compare import CLIPBOARD, copied
from tests.trace_format import problems

pytestmark = pytest.mark.browser

TALL = {"width": 1280, "height": 1700}
CONFIG = json.dumps(
    json.loads((DATA / "Qwen--Qwen3-8B.json").read_text()) | {"num_hidden_layers": 24, "my_gate": "<b>"}
)
MODEL, DEVICE = "own:acme-8b", "own:H200 SXM 141G-mine"


def test_the_whole_story(server: str, browser: Any, tmp_path: Path) -> None:
    planner = Screen(browser, viewport=TALL, permissions=CLIPBOARD)
    planner.open(f"{server}/catalog?engine=analytic")
    bring_a_model(planner)
    asked = bring_a_device(planner)
    stranger_sees_nothing(browser, server)
    result = search(planner)
    pin_rows(planner, 3)
    compared = compare(planner, result)
    assert all((s.model, s.device) == (asked.model, asked.device) for s in compared)
    step_away_and_back(planner)
    frozen, plain = copied(planner, "Freeze"), copied(planner, "Copy link")

    colleague = Screen(browser, viewport=TALL, accept_downloads=True)
    open_frozen(colleague, frozen, planner)
    leave_with_the_comparison(colleague, compared, tmp_path)
    answer = open_one_on_plan(colleague, compared[1])
    leave_with_one_answer(colleague, answer, server, tmp_path)
    open_without_results(browser, plain, damaged=frozen[:-9])
    for screen in (planner, colleague):
        screen.context.close()


# --- the planner ---


def show(screen: Screen, section: str) -> None:
    """A part of Catalog."""
    screen.page.get_by_text(section, exact=True).first.click()


def bring_a_model(screen: Screen) -> None:
    """Pasted, it is read at once; what is not understood is named."""
    show(screen, "Bring a model")
    screen.page.get_by_role("textbox", name="Name").fill("acme-8b")
    text = screen.page.get_by_role("textbox", name="Or paste its text, then press Ctrl+Enter")
    text.fill(CONFIG)
    text.press("Control+Enter")
    screen.wait_for("1 field not understood, so not counted: my_gate")
    screen.wait_for("24 × GQA 32:8")
    screen.page.get_by_role("button", name="Plan with it", exact=True).click()
    screen.wait_for("acme-8b · 8 × H200 SXM 141G")
    assert screen.query == {"model": own_model(CONFIG, "acme-8b"), "engine": "analytic"}
    assert screen.field("Model").input_value() == MODEL


def bring_a_device(screen: Screen) -> Scenario:
    """It starts from the scenario's; the roofline follows while one types. Returns what is asked then."""
    screen.page.get_by_role("link", name="Catalog").click()
    show(screen, "Bring a device")
    bandwidth = screen.page.get_by_role("textbox", name="Memory bandwidth (TB/s)")
    bandwidth.wait_for()
    screen.chart("Roofline of the device: Memory-bound below 206 FLOP/byte")
    bandwidth.press("End")
    bandwidth.press_sequentially("4")  # 4.8 → 4.84, and neither Enter nor Tab
    screen.chart("Roofline of the device: Memory-bound below 204 FLOP/byte")
    memory = screen.page.get_by_role("textbox", name="Memory (GiB)")
    memory.fill("0")
    screen.wait_for("Not possible yet: Memory")
    memory.fill("96")
    screen.page.get_by_text("Not possible yet").wait_for(state="detached")
    screen.page.get_by_role("button", name="Plan with it", exact=True).click()
    screen.wait_for(f"acme-8b · 8 × {DEVICE}")
    asked = decode(screen.page.url).scenario
    device = find_device(asked.device)
    assert (device.memory_bandwidth_bytes_per_s, device.memory_bytes) == (4.84e12, 96 * GIB)
    assert find_model(asked.model).model_id == MODEL
    assert number(service.evaluate(asked).output_tokens_per_s) in screen.page.locator(".aggsim-tiles").inner_text()
    return asked


def stranger_sees_nothing(browser: Any, server: str) -> None:
    """Own entries live in links: whoever comes without one has none of them."""
    stranger = Screen(browser)
    stranger.open(f"{server}/catalog")
    show(stranger, "Bring a device")
    stranger.page.get_by_role("textbox", name="Memory (GiB)").wait_for()
    assert "own:" not in stranger.page.content()
    stranger.context.close()


def search(screen: Screen) -> SearchResult:
    """With both of them; layouts are open by themselves."""
    screen.page.get_by_role("link", name="Search").click()
    screen.page.wait_for_url("**/search?**")
    screen.wait_for("layouts evaluated")
    result = service.search(decode_search(screen.page.url).question)
    screen.wait_for(search_headline(result))
    screen.chart("Pareto chart")
    assert len(result.candidates) > 3
    return result


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


def compare(screen: Screen, result: SearchResult) -> list[Scenario]:
    """The form's own scenario is taken out; the second one becomes the baseline. Returns A, B and C."""
    screen.page.get_by_role("link", name="Compare").click()
    screen.wait_for("4 scenarios side by side")
    screen.chart("Timelines compared")
    words = screen.page.locator(".aggsim-compare").inner_text()
    for candidate in result.candidates[:3]:
        assert candidate.best is not None
        assert f"{number(candidate.best.output_tokens_per_s)} tokens/s" in words
    pins = decode_comparison_lenient(screen.query).comparison.pins
    assert [service.evaluate(pin).layout for pin in pins] == [c.layout for c in result.candidates[:3]]

    screen.page.locator(".st-key-remove-D button:visible").first.click()
    screen.wait_for("3 scenarios side by side")
    screen.page.get_by_role("radio", name="B", exact=True).click()
    screen.wait_for("Measured against B")
    return list(pins)


def step_away_and_back(screen: Screen) -> None:
    """Another page and back: what is pinned is still there, by the browser's own button too."""
    compared = decode_comparison_lenient(screen.query).comparison
    screen.page.get_by_role("link", name="Timeline").click()
    screen.wait_for("prefill chunk per prompt")
    screen.page.go_back()
    screen.wait_for("3 scenarios side by side")
    assert decode_comparison_lenient(screen.query).comparison == compared


# --- the colleague ---


def results(screen: Screen) -> list[list[str]]:
    """The lower part of the table, cell by cell: what is settled by now, as the batch size, is an input of the link's
    scenarios."""
    head, _, below = screen.page.locator(".aggsim-compare").inner_text().partition("RESULTS")
    assert "WHAT DIFFERS" in head
    return [line.split("\t") for line in below.splitlines()]


def open_frozen(screen: Screen, link: str, planner: Screen) -> None:
    """In a browser that knows nothing but the link."""
    assert urlsplit(link).path == "/compare"
    assert len(link) < 6_000
    screen.open(link)
    screen.wait_for("Reproduces")
    screen.wait_for("all 24 frozen results come out again")
    assert results(screen) == results(planner)
    assert "frozen" in screen.query
    screen.page.reload()
    screen.wait_for("Reproduces")


def leave_with_the_comparison(screen: Screen, compared: list[Scenario], folder: Path) -> None:
    """Its table says what is on screen; the report has everything on one page."""
    answers = [service.evaluate(scenario) for scenario in compared]
    open_menu(screen)
    report = fetched(screen, "Comparison (HTML)", folder)
    table = fetched(screen, "Comparison", folder)
    with table.open(newline="") as file:
        rows = {row["metric"]: row for row in csv.DictReader(file)}
    cells = [cell for line in screen.page.locator(".aggsim-compare tr").all_inner_texts() for cell in line.split("\n")]
    shown = {text.strip() for cell in cells for text in cell.split("\t")}
    for metric in METRICS:
        for letter, answer in zip("ABC", answers, strict=True):
            text = next(text for name, text in rows[metric.key].items() if name.startswith(f"{letter}: "))
            assert float(text) == pytest.approx(metric.value(answer), rel=1e-12)
            assert metric.words(float(text)) in shown
    page = opened_alone(screen, report)
    words = page.locator("body").inner_text()
    for answer in answers:
        assert f"{number(answer.output_tokens_per_s)} tokens/s" in words
    page.close()


def open_one_on_plan(screen: Screen, scenario: Scenario) -> Evaluation:
    """The baseline, by its chip."""
    answer = service.evaluate(scenario)
    screen.page.keyboard.press("Escape")
    screen.page.locator(".st-key-open-B button:visible").first.click()
    screen.wait_for(f"at batch {number(answer.run.batch_size)}")
    assert urlsplit(screen.page.url).path == "/"
    assert number(answer.output_tokens_per_s) in screen.page.locator(".aggsim-tiles").inner_text()
    return service.evaluate(decode(screen.page.url).scenario)


def leave_with_one_answer(screen: Screen, answer: Evaluation, server: str, folder: Path) -> None:
    """Report, trace, answer, table and pictures, opened again; the report's link leads back to the answer."""
    open_menu(screen)
    report = fetched(screen, "Report (HTML)", folder)
    trace = fetched(screen, "Trace (Perfetto)", folder)
    evaluation = fetched(screen, "Answer (JSON)", folder)
    table = fetched(screen, "Results", folder)
    picture, pixels = fetched(screen, "SVG", folder), fetched(screen, "PNG", folder)
    assert fetched(screen, "Report (HTML)", folder).read_bytes() == report.read_bytes()

    text = trace.read_text(encoding="utf-8")
    assert problems(text) == []
    assert json.loads(text)["traceEvents"]
    assert json.loads(evaluation.read_text(encoding="utf-8")) == evaluation_json(answer)
    with table.open(newline="") as file:
        (row,) = (row for row in csv.DictReader(file) if row["chosen"] == "True")
    assert {name: row[name] for name in result_row(answer)} == {k: str(v) for k, v in result_row(answer).items()}
    tiles = screen.page.locator(".aggsim-tiles").inner_text()
    for column in ("token/s", "token/s/device", "prompt tokens/s", "requests/s", "concurrency"):
        assert number(float(row[column])) in tiles

    page = opened_alone(screen, report)
    assert number(answer.output_tokens_per_s) in page.locator(".tiles").inner_text()
    assert page.locator("svg[role=img]").count() == 5
    link = page.locator("a").get_attribute("href")
    for path in (picture, pixels):
        page.goto(path.as_uri())
    assert page.evaluate("document.images[0].naturalWidth") > 1000
    page.close()
    assert link.startswith(f"{server}/?v=1&")
    assert decode(link).scenario == answer.scenario
    screen.open(link)
    assert screen.page.locator(".aggsim-tiles").inner_text() == tiles


def open_menu(screen: Screen) -> None:
    """Everything that the page has to take along."""
    screen.page.get_by_role("button", name="Download", exact=True).click()
    screen.wait_for("Report (HTML)")


def fetched(screen: Screen, label: str, folder: Path) -> Path:
    """The file behind the menu's first button of that name."""
    with screen.page.expect_download(timeout=60_000) as download:
        screen.page.get_by_role("button", name=label, exact=True).first.click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def opened_alone(screen: Screen, report: Path) -> Any:
    """From the disk, with no request but for the file itself."""
    page = screen.context.new_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report.as_uri())
    assert requests == [report.as_uri()]
    return page


def open_without_results(browser: Any, plain: str, damaged: str) -> None:
    """The plain link says the same without the results; a damaged frozen one answers all the same."""
    for link, words in ((plain, "3 scenarios side by side"), (damaged, "Ignored in the link")):
        screen = Screen(browser, viewport=TALL)
        screen.open(link)
        screen.wait_for(words)
        assert screen.page.get_by_text("Reproduces").count() == 0
        assert screen.page.locator(".aggsim-compare thead th").count() == 4
        screen.context.close()
