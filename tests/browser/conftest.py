"""A fresh server and a real browser."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
ARTIFACTS = ROOT / ".artifacts"
REQUIRED = "AGGSIM_REQUIRE_BROWSER"
"""Environment variable: 1 turns a missing browser into a failure."""


def _missing(reason: str) -> None:
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Address of a server that nobody has visited yet, with an empty cache."""
    with serving(tmp_path) as (address, _):
        yield address


@contextmanager
def serving(folder: Path, **environment: str) -> Iterator[tuple[str, int]]:
    """Address and process id of a fresh server whose cache and log are in that folder."""
    address = f"http://127.0.0.1:{(port := _free_port())}"
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    log = (folder / "server.log").open("w+")
    variables = os.environ | {"AGGSIM_CACHE_DIR": str(folder / "cache")} | environment
    process = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_until_healthy(address, process)
        yield address, process.pid
    finally:
        process.terminate()
        process.wait(timeout=20)
        log.seek(0)
        print(log.read())  # pytest shows it where a test fails
        log.close()


def _wait_until_healthy(address: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert process.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health"):
                return
        except urllib.error.URLError:
            time.sleep(0.1)
    pytest.fail("the server did not start")


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """Chromium without a window."""
    api = pytest.importorskip("playwright.sync_api") if os.environ.get(REQUIRED) != "1" else None
    if api is None:
        import playwright.sync_api as api
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        _missing("chromium is not installed")
    with api.sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        chromium = playwright.chromium.launch(executable_path=executable, args=flags)
        yield chromium
        chromium.close()
