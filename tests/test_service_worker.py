"""The processes that a search of a slow engine runs in: none goes on when nobody waits for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aggsim.service_pool import Pool

ITEMS = """
import atexit, os, pathlib, time

def double(item, report):
    report()
    return 2 * item

def sleep(folder, report):
    folder = pathlib.Path(folder)
    atexit.register((folder / "cleaned_up").touch)
    (folder / "pid.part").write_text(str(os.getpid()))
    (folder / "pid.part").rename(folder / "pid")
    time.sleep(60)
"""
PARENT = """
import sys, items
from aggsim.service_pool import Pool

with Pool(items.sleep, [sys.argv[1]], num_workers=1, retries=0) as pool:
    while True:
        list(pool.events(1))
"""
PATIENT_S = 20.0


@pytest.fixture(autouse=True)
def _items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that the workers can import."""
    (tmp_path / "items.py").write_text(ITEMS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "items", raising=False)


def wait_until(happened: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENT_S
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.02)
    return happened()


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/status")  # one that nobody has reaped yet has ended all the same
    return not (status.exists() and "\nState:\tZ" in status.read_text())


def test_every_item_is_answered() -> None:
    import items  # type: ignore[import-not-found]

    answers, num_reports = {}, 0
    with Pool(items.double, [1, 2, 3], num_workers=2, retries=0) as pool:
        while not pool.is_done:
            for index, value in pool.events(PATIENT_S):
                num_reports += index is None
                answers |= {} if index is None else {index: value}
    assert answers == {0: 2, 1: 4, 2: 6}
    assert num_reports == 3


def test_leaving_the_pool_ends_what_is_at_work(tmp_path: Path) -> None:
    import items

    with Pool(items.sleep, [str(tmp_path)], num_workers=1, retries=0):
        assert wait_until((tmp_path / "pid").exists)
    assert not exists(int((tmp_path / "pid").read_text()))
    assert (tmp_path / "cleaned_up").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_does_not_outlive_its_parent(tmp_path: Path, ending: signal.Signals) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])}
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], env=environment)
    assert wait_until((tmp_path / "pid").exists)
    os.kill(parent.pid, ending)
    parent.wait()
    worker = int((tmp_path / "pid").read_text())
    assert wait_until(lambda: not exists(worker))
    assert (tmp_path / "cleaned_up").exists()
