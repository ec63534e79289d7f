"""The Catalog page in Chromium: what is too large, and how it looks. Own entries are part of test_story.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.browser.conftest import ARTIFACTS
from tests.browser.test_app import Screen
from tests.browser.test_story import CONFIG, show

pytestmark = pytest.mark.browser

TALL = {"width": 1280, "height": 1200}


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
