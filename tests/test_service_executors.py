"""A slow search on other processes: the answer is the one of this process, whoever dies on the way."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aggsim import engines, service
from aggsim.errors import InputError
from aggsim.planning.search_result import SearchResult
from aggsim.scenario import Scenario
from aggsim.scenario_search import SearchQuestion
from aggsim.service_executors import Dask, Executor, Inline, Processes, Watch, chosen_executor

ROOT = Path(__file__).parent.parent
BASE = Scenario(model="Qwen/Qwen3-8B", device="TEST_DEVICE", engine="tensor_cast", input=500, output=100, tpot=30)
QUESTION = SearchQuestion.of(BASE, tp=[1, 2, 4, 8])
PASS_S = 0.05


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """One line a pass priced in another process, with its process id; each process keeps its passes in one store."""
    log = tmp_path / "passes"
    slow_engine = str(ROOT / "tests" / "slow_engine")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((slow_engine, str(ROOT))))  # a cluster's
    monkeypatch.syspath_prepend(slow_engine)  # our own processes'
    monkeypatch.setenv("AGGSIM_TEST_PASS_S", str(PASS_S))
    monkeypatch.setenv("AGGSIM_TEST_PASSES", str(log))
    monkeypatch.setenv("AGGSIM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setitem(engines.ENGINES, "tensor_cast", engines.ENGINES["tensor_cast"])  # put back afterwards
    monkeypatch.delitem(sys.modules, "sitecustomize", raising=False)
    importlib.import_module("sitecustomize")
    engines.load_engine.cache_clear()
    service.forget()
    yield log
    engines.load_engine.cache_clear()
    service.forget()


def answer(executor: Executor, watch: Watch | None = None) -> SearchResult:
    """What the search says, without the seconds that it took."""
    found = replace(service.search(QUESTION, executor=executor, watch=watch), seconds=0.0)
    assert len(found.candidates) == 4
    return found


def expected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SearchResult:
    """One process, anew."""
    monkeypatch.setenv("AGGSIM_CACHE_DIR", str(tmp_path / "anew"))
    monkeypatch.setenv("AGGSIM_TEST_PASS_S", "0")
    service.forget()
    return answer(Inline())


def workers(log: Path) -> set[int]:
    return {int(line) for line in log.read_text().split()} if log.exists() else set()


class Killer(Watch):
    """Kills the process that priced the first pass, once both workers are at work."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self.log, self.killed = log, 0
        threading.Thread(target=self._kill, daemon=True).start()

    def _kill(self) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until and len(workers(self.log)) < 2:
            time.sleep(0.02)
        self.killed = min(workers(self.log))
        os.kill(self.killed, signal.SIGKILL)


def test_a_killed_process_of_ours_changes_nothing(
    passes: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    killer = Killer(passes)
    found = answer(Processes(2), killer)
    assert killer.killed
    assert len(workers(passes)) == 3
    assert found == expected(monkeypatch, tmp_path)


@pytest.mark.slow
def test_a_killed_worker_of_a_dask_cluster_changes_nothing(
    passes: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50)
    with cluster:
        killer = Killer(passes)
        found = answer(Dask(cluster.scheduler_address), killer)
    assert killer.killed
    assert os.getpid() not in workers(passes)
    assert found == expected(monkeypatch, tmp_path)


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="dask.distributed is not installed")
    monkeypatch.setenv("AGGSIM_DASK_SCHEDULER", "nowhere")
    chosen = chosen_executor(slow=True)
    assert isinstance(chosen, Dask)
    assert chosen.address == "nowhere"
    assert isinstance(chosen_executor(slow=False), Inline)
    with pytest.raises(InputError, match="AGGSIM_DASK_SCHEDULER"):
        next(iter(Dask("tcp://127.0.0.1:9").map_layouts(print, [1], Watch())))
