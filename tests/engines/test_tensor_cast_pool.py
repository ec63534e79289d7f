"""Worker processes, with a scripted worker: start, answer, every way to fail, idle and bounded, none left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aggsim.engines.tensor_cast_pool import Job, VersionsChangedError, WorkerPool
from aggsim.engines.tensor_cast_settings import Limits
from aggsim.errors import EngineError

FAKE = Path(__file__).parent / "fake_tensor_cast_worker.py"
SHAPE = {"num_requests": 2, "query_len": 10, "seq_len": 30, "is_decode": False}
QUESTION = {"price": [[SHAPE]], "reserved_gib": 0}
PATIENT_S = 20.0
"""Far more than anything here takes on a busy machine."""


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool()
    yield pool
    pool.close()


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return make_job(tmp_path)


def make_job(home: Path, deployment: str = "one", **limits: Any) -> Job:
    home.mkdir(exist_ok=True)
    versions = subprocess.run([sys.executable, FAKE, home], capture_output=True, text=True, check=True).stdout
    return Job(
        command=(sys.executable, str(FAKE), str(home), "16"),
        versions=versions,
        bind=json.dumps({"model": deployment}),
        limits=Limits(**limits),
    )


def ask(pool: WorkerPool, job: Job, question: dict[str, Any] = QUESTION) -> list[float]:
    return pool.ask(job, question, len(question["price"]), lambda reply: reply["cost"]["latency_s"])


def behave(home: Path, how: str) -> None:
    (home / "behaviour").write_text(how)


def pids(home: Path) -> list[int]:
    file = home / "pids"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def exists(pid: int) -> bool:
    """Also as a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENT_S
    while not happened():
        assert time.monotonic() < deadline, "this never happened"
        time.sleep(0.01)


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Result or EngineError of work, once the thread has ended."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(work())
        except EngineError as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


class TestAnswers:
    def test_a_process_starts_with_the_first_question_and_stays(
        self, pool: WorkerPool, job: Job, tmp_path: Path
    ) -> None:
        assert pids(tmp_path) == []
        assert ask(pool, job) == [pytest.approx(0.002)]
        assert ask(pool, job, {"price": [[SHAPE], [SHAPE, SHAPE]], "reserved_gib": 0}) == pytest.approx([0.002, 0.004])
        assert len(pids(tmp_path)) == 1

    def test_what_it_prints_beside_the_protocol_never_blocks_it(
        self, pool: WorkerPool, job: Job, tmp_path: Path
    ) -> None:
        behave(tmp_path, "talk")
        assert len(ask(pool, job)) == 1

    def test_threads_share_the_process_of_a_job(self, pool: WorkerPool, job: Job, tmp_path: Path) -> None:
        threads = [in_thread(lambda: ask(pool, job)) for _ in range(4)]
        for thread, _ in threads:
            thread.join(PATIENT_S)
        assert [results for _, results in threads] == [[[pytest.approx(0.002)]]] * 4
        assert len(pids(tmp_path)) == 1


class TestFailures:
    @pytest.mark.parametrize(
        ("how", "sentence"),
        [
            ("die", r"ended with exit code 3 \(it last said: ValueError: nobody expected this\)"),
            ("be killed", "ended with signal 9"),
            ("garbage", 'sent what is no answer, "Segmentation fault\\?", and was stopped'),
            ("garbage that is JSON", r'sent what is no answer, "\[1, 2\]"'),
            ("answer somebody else", 'sent what is no answer, "{"id": 3, "cost": {}}"'),
            ("hang", "did not answer within 0.3 s and was stopped"),
        ],
    )
    def test_a_failure_is_one_sentence_and_the_next_question_starts_afresh(
        self, pool: WorkerPool, job: Job, tmp_path: Path, how: str, sentence: str
    ) -> None:
        behave(tmp_path, how)
        job = replace(job, limits=Limits(shape_s=0.3 if how == "hang" else PATIENT_S))
        with pytest.raises(EngineError, match=f"^engine tensor_cast: its worker {sentence}") as caught:
            ask(pool, job)
        assert "\n" not in str(caught.value)
        assert not exists(pids(tmp_path)[0])
        behave(tmp_path, "")
        assert len(ask(pool, replace(job, limits=Limits()))) == 1
        assert len(pids(tmp_path)) == 2

    def test_an_answer_that_is_no_price(self, pool: WorkerPool, job: Job, tmp_path: Path) -> None:
        behave(tmp_path, "no price")
        with pytest.raises(EngineError, match="no answer"):
            pool.ask(job, QUESTION, 1, lambda reply: reply["cost"]["memory_gib"])
        assert not exists(pids(tmp_path)[0])

    def test_an_error_reply_leaves_the_process_alone(self, pool: WorkerPool, job: Job, tmp_path: Path) -> None:
        behave(tmp_path, "error at the second")
        with pytest.raises(EngineError, match="TensorCast cannot price this: RuntimeError: cannot be compiled"):
            ask(pool, job, {"price": [[SHAPE]] * 3, "reserved_gib": 0})
        behave(tmp_path, "")
        assert ask(pool, job) == [pytest.approx(0.002)]
        assert len(pids(tmp_path)) == 1

    def test_a_deployment_that_cannot_be_built(self, pool: WorkerPool, job: Job, tmp_path: Path) -> None:
        behave(tmp_path, "refuse to bind")
        with pytest.raises(EngineError, match="TensorCast cannot build this: ValueError: no such model"):
            ask(pool, job)
        assert not exists(pids(tmp_path)[0])

    def test_a_process_that_is_never_ready(self, pool: WorkerPool, job: Job, tmp_path: Path) -> None:
        behave(tmp_path, "never be ready")
        with pytest.raises(EngineError, match=r"did not answer within 0\.5 s"):
            ask(pool, replace(job, limits=Limits(start_s=0.5)))
        assert not any(map(exists, pids(tmp_path)))

    def test_a_program_that_is_not_there(self, pool: WorkerPool, job: Job) -> None:
        with pytest.raises(EngineError, match="cannot be started: No such file"):
            ask(pool, replace(job, command=("no-such-python",)))

    def test_a_checkout_that_changed(self, pool: WorkerPool, job: Job, tmp_path: Path) -> None:
        behave(tmp_path, "be another version")
        with pytest.raises(VersionsChangedError, match="ask again"):
            ask(pool, job)
        assert not exists(pids(tmp_path)[0])

    def test_a_process_that_died_while_idle_is_reaped_and_replaced(
        self, pool: WorkerPool, job: Job, tmp_path: Path
    ) -> None:
        ask(pool, job)
        (pid,) = pids(tmp_path)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not exists(pid))
        assert ask(pool, job) == [pytest.approx(0.002)]

    def test_cancel_ends_the_wait(self, pool: WorkerPool, job: Job, tmp_path: Path) -> None:
        behave(tmp_path, "hang")
        thread, results = in_thread(lambda: ask(pool, job))
        wait_until(lambda: bool(pids(tmp_path)))
        while thread.is_alive():  # it may not have got to its question at the first try
            pool.cancel()
            thread.join(0.1)
        assert "its worker was cancelled" in str(results[0])
        assert not exists(pids(tmp_path)[0])

    def test_an_interrupt_ends_the_process(self, pool: WorkerPool, job: Job, tmp_path: Path) -> None:
        def interrupted(reply: dict[str, Any]) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            pool.ask(job, QUESTION, 1, interrupted)
        assert not exists(pids(tmp_path)[0])


class TestFew:
    def test_an_idle_process_ends(self, pool: WorkerPool, job: Job, tmp_path: Path) -> None:
        ask(pool, replace(job, limits=Limits(idle_s=0.2)))
        (pid,) = pids(tmp_path)
        wait_until(lambda: not exists(pid))
        assert ask(pool, job) == [pytest.approx(0.002)]
        assert len(pids(tmp_path)) == 2

    def test_the_one_that_was_idle_for_longest_makes_room(self, pool: WorkerPool, tmp_path: Path) -> None:
        a, b, c = (make_job(tmp_path / name, name, workers=2) for name in "abc")
        for job in (a, b, a, c):
            ask(pool, job)
        running = {name: [exists(pid) for pid in pids(tmp_path / name)] for name in "abc"}
        assert running == {"a": [True], "b": [False], "c": [True]}

    def test_a_full_pool_makes_others_wait(self, pool: WorkerPool, tmp_path: Path) -> None:
        slow, other = (make_job(tmp_path / name, name, workers=1, shape_s=1.5) for name in ("slow", "other"))
        behave(tmp_path / "slow", "hang")
        thread, results = in_thread(lambda: ask(pool, slow))
        wait_until(lambda: bool(pids(tmp_path / "slow")))
        assert ask(pool, other) == [pytest.approx(0.002)]
        thread.join(PATIENT_S)
        assert "did not answer" in str(results[0])
        assert not exists(pids(tmp_path / "slow")[0])

    def test_close_ends_them_all(self, pool: WorkerPool, tmp_path: Path) -> None:
        for name in "ab":
            ask(pool, make_job(tmp_path / name, name))
        pool.close()
        assert not any(exists(pid) for name in "ab" for pid in pids(tmp_path / name))

    def test_none_outlives_the_interpreter(self, job: Job, tmp_path: Path) -> None:
        code = (
            "from aggsim.engines.tensor_cast_pool import Job, WorkerPool\n"
            "from aggsim.engines.tensor_cast_settings import Limits\n"
            f"job = Job(command={job.command!r}, versions={job.versions!r}, bind={job.bind!r}, limits=Limits())\n"
            f"WorkerPool().ask(job, {QUESTION!r}, 1, lambda reply: reply)\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENT_S)
        assert len(pids(tmp_path)) == 1
        assert not exists(pids(tmp_path)[0])
