"""One's own model and device in Chromium: pasted, planned with, edited, and the link opened by somebody else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from aggsim import service
from aggsim.models.catalog import DATA
from aggsim.report.format import number
from aggsim.service_own import find_device, own_model
from aggsim.share import decode
from tests.browser.conftest import ARTIFACTS
from tests.browser.test_app import Screen

pytestmark = pytest.mark.browser

TALL = {"width": 1280, "height": 1200}
CONFIG = json.dumps(
    json.loads((DATA / "Qwen--Qwen3-8B.json").read_text()) | {"num_hidden_layers": 24, "my_gate": "<b>"}
)


def show(screen: Screen, section: str) -> None:
    screen.page.get_by_text(section, exact=True).first.click()


def test_ones_own_model_and_device_travel_in_the_link(server: str, browser: Any) -> None:
    screen = Screen(browser, viewport=TALL, permissions=["clipboard-read", "clipboard-write"])
    screen.open(f"{server}/catalog?engine=analytic")
    screen.chart("Models")

    # Pasted, it is read at once; what is not understood is named.
    show(screen, "Bring a model")
    screen.page.get_by_role("textbox", name="Name").fill("acme-8b")
    text = screen.page.get_by_role("textbox", name="Or paste its text, then press Ctrl+Enter")
    text.fill(CONFIG)
    text.press("Control+Enter")
    screen.wait_for("1 field not understood, so not counted: my_gate")
    screen.wait_for("24 × GQA 32:8")
    screen.page.get_by_role("button", name="Plan with it", exact=True).click()
    screen.wait_for("acme-8b · 8 × H200 SXM 141G")
    own = own_model(CONFIG, "acme-8b")
    assert screen.query == {"model": own, "engine": "analytic"}

    # A device of one's own starts from the scenario's; the roofline follows while one types.
    screen.page.get_by_role("link", name="Catalog").click()
    show(screen, "Bring a device")
    bandwidth = screen.page.get_by_role("textbox", name="Memory bandwidth (TB/s)")
    bandwidth.wait_for()
    screen.chart("Roofline of the device: Memory-bound below 206 FLOP/byte")
    bandwidth.press("End")
    bandwidth.press_sequentially("4")  # 4.8 → 4.84, and neither Enter nor Tab
    screen.chart("Roofline of the device: Memory-bound below 204 FLOP/byte")
    screen.page.get_by_role("textbox", name="Memory (GiB)").fill("0")
    screen.wait_for("Not possible yet: Memory")
    screen.page.get_by_role("textbox", name="Memory (GiB)").fill("96")
    screen.page.get_by_text("Not possible yet").wait_for(state="detached")
    screen.page.get_by_role("button", name="Plan with it", exact=True).click()
    screen.wait_for("acme-8b · 8 × own:H200 SXM 141G-mine")
    asked = decode(screen.page.url).scenario
    device = find_device(asked.device)
    assert (device.memory_bandwidth_bytes_per_s, device.memory_bytes) == (4.84e12, 96 * 2**30)

    # Whoever opens the link has both, with the same answer; whoever comes without it sees nothing of them.
    answer = service.evaluate(asked)
    screen.page.get_by_role("button", name="Copy link", exact=True).click()
    screen.wait_for("Copied")
    link = screen.page.evaluate("navigator.clipboard.readText()")
    assert len(link) < 6_000
    other = Screen(browser)
    other.open(link)
    other.wait_for(f"at batch {number(answer.run.batch_size)}")
    for tab in (screen, other):
        tiles = tab.page.locator(".aggsim-tiles").inner_text()
        assert number(answer.output_tokens_per_s) in tiles
    assert other.field("Model").input_value() == "own:acme-8b"
    other.page.get_by_role("link", name="Timeline").click()
    other.page.wait_for_url("**/timeline?**")
    other.wait_for("prefill chunk")
    assert decode(other.page.url).scenario.model == own
    stranger = Screen(browser)
    stranger.open(f"{server}/catalog")
    stranger.chart("Models")
    stranger.page.get_by_text("Bring a device", exact=True).click()
    stranger.page.get_by_role("textbox", name="Memory (GiB)").wait_for()
    assert "own:" not in stranger.page.content()
    for tab in (screen, other, stranger):
        tab.context.close()


def test_a_file_of_50_mb_is_refused_and_the_text_is_kept(server: str, browser: Any, tmp_path: Path) -> None:
    large = tmp_path / "large.json"
    large.write_bytes(b" " * 50_000_000)
    screen = Screen(browser, viewport=TALL)
    screen.open(f"{server}/catalog?engine=analytic")
    show(screen, "Bring a model")
    text = screen.page.get_by_role("textbox", name="Or paste its text, then press Ctrl+Enter")
    text.fill(CONFIG)
    text.press("Control+Enter")
    screen.wait_for("24 × GQA 32:8")
    screen.page.locator('input[type="file"]').set_input_files(large)
    screen.wait_for("File must be 2.0MB or smaller.")
    assert text.input_value() == CONFIG
    assert screen.page.get_by_text("24 × GQA 32:8").is_visible()
    screen.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.slow
def test_screenshots(server: str, browser: Any, theme: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    for width, height in ((1280, 720), (1920, 1200)):
        screen = Screen(browser, color_scheme=theme, viewport={"width": width, "height": height})
        screen.open(f"{server}/catalog?engine=analytic")
        for section, chart in (("Models", "Models"), ("Devices", "Roofline"), ("Bring a device", "Roofline")):
            show(screen, section)
            screen.chart(chart)
            screen.page.wait_for_timeout(500)
            picture = ARTIFACTS / f"catalog-{section.split()[-1]}-{theme}-{width}x{height}.png"
            screen.page.screenshot(path=picture)
            assert picture.stat().st_size > 20_000
        assert urlsplit(screen.page.url).path == "/catalog"
        screen.context.close()
