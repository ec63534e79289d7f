"""The Catalog page in Chromium: what is too large, and how it looks. Own entries are part of test_story.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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
