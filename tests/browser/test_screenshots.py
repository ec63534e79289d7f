"""Every page in both themes, on a projector and on a large screen: pictures to look at."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.conftest import ARTIFACTS
from tests.browser.test_app import LINK, Screen
from tests.browser.test_catalog import show

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LOAD = "engine=analytic&tp=8&arrival=open&rate=4&seeds=1"
PINS = "pin1=tp:4&pin2=tp:2;linear:none&pin3=device:H100_SXM_80G&pin4=devices:16&pin5=ttft:2000"
SEARCHED = "device=H100_SXM_80G,H200_SXM_141G&engine=analytic&target_requests_per_s=40"
PAGES = {
    "plan": ("/?tp=4", "What would help"),
    "plan-load": (f"/?{LOAD}", "What would help"),
    "timeline": (f"/timeline?{LINK}", "Steps of the window"),
    "timeline-load": (f"/timeline?{LOAD}", "Requests in the window"),
    "search": (f"/search?{SEARCHED}", "Pareto chart"),
    "compare": (f"/compare?engine=analytic&tp=8&{PINS}", ""),
    "method": ("/method?engine=analytic", ""),
    "catalog-models": ("/catalog?engine=analytic", "Models"),
    "catalog-devices": ("/catalog?engine=analytic", "Roofline"),
    "catalog-device": ("/catalog?engine=analytic", "Roofline"),
    "accuracy": ("/accuracy", "Accuracy"),
}
"""Name of the picture → path, and how the description of a chart starts that is waited for; empty: any."""
SECTIONS = {"catalog-devices": "Devices", "catalog-device": "Bring a device"}
GROUNDS = {"light": "rgb(255, 255, 255)", "dark": "rgb(17, 22, 29)"}


@pytest.mark.parametrize("theme", list(GROUNDS))
@pytest.mark.parametrize("name", list(PAGES))
def test_screenshots(server: str, browser: Any, name: str, theme: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    path, chart = PAGES[name]
    for width, height in ((1280, 720), (1920, 2000)):
        screen = Screen(browser, color_scheme=theme, viewport={"width": width, "height": height})
        screen.page.goto(f"{server}{path}")
        screen.settle()
        if name in SECTIONS:
            show(screen, SECTIONS[name])
        if name == "compare":
            screen.wait_for("6 scenarios side by side")
        if chart:
            screen.chart(chart)
        screen.page.locator('[data-testid="stSkeleton"]').first.wait_for(state="detached")
        screen.page.wait_for_timeout(500)
        picture = ARTIFACTS / f"{name}-{theme}-{width}x{height}.png"
        screen.page.screenshot(path=picture)
        assert picture.stat().st_size > 20_000
        ground = screen.page.locator('[data-testid="stApp"]').evaluate("e => getComputedStyle(e).backgroundColor")
        assert ground == GROUNDS[theme]
        screen.context.close()
