"""The store keeps answers, computes each once, executes nothing it finds, and never costs an answer."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import diskcache
import pytest

from aggsim import store as store_module
from aggsim.store import Store
from aggsim.store_disk import BadEntryError, BytesDisk, encode, pack
from tests.store_worker import VALUE

ROOT = Path(__file__).parents[1]
NOBODY = 65534
BIG = [i * 7919 % 65521 for i in range(30_000)]  # compresses to more than the 32 KiB that diskcache keeps in a row


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with closing(Store(folder)) as opened:
        yield opened


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    return lambda: [record.getMessage() for record in caplog.records if record.name == "aggsim.store"]


def worker(job: str, *arguments: object) -> subprocess.Popen[str]:
    """Another process, imported and waiting for a line."""
    command = [sys.executable, "-m", "tests.store_worker", job, *map(str, arguments)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=ROOT, text=True, stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def database(folder: Path) -> Path:
    return folder / "entries" / "cache.db"


def edit(folder: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(database(folder), isolation_level=None)) as connection:
        assert connection.execute(statement, values).rowcount == 1


def value_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("entries/*/*/*.val"))


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_cold_and_warm_answers_are_alike(store: Store) -> None:
    cold = store.get_or_compute("k", lambda: {"z": (1, float("inf")), "a": None})
    warm = store.get_or_compute("k", lambda: pytest.fail("computed twice"))
    assert cold == warm == store.get("k") == {"z": [1, float("inf")], "a": None}
    assert list(warm) == ["z", "a"]


def test_null_is_an_answer(store: Store) -> None:
    assert store.get_or_compute("k", lambda: None) is None
    assert store.get_or_compute("k", lambda: pytest.fail("computed twice")) is None


def test_errors_of_compute_pass_through_and_nothing_is_stored(store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        store.get_or_compute("k", lambda: 1 / 0)
    with pytest.raises(TypeError):
        store.get_or_compute("k", lambda: {1, 2})
    assert store.get_or_compute("k", lambda: 3) == 3


def test_stats_clear_and_close(store: Store, folder: Path) -> None:
    store.put("row", 1)
    store.put("file", BIG)
    stats = store.stats()
    assert (stats.entries, stats.location, stats.problem) == (2, str(folder), None)
    assert stats.size_bytes > value_files(folder)[0].stat().st_size > 32 << 10
    store.close()
    assert store.get("file") == BIG
    store.clear()
    assert store.stats().entries == 0
    assert value_files(folder) == []
    assert store.get("row") is None


def test_folders_are_private(folder: Path) -> None:
    before = os.umask(0)
    try:
        with closing(Store(folder)) as store:
            store.put("k", 1)
        assert folder.stat().st_mode & 0o777 == (folder / "entries").stat().st_mode & 0o777 == 0o700
        (folder / "entries").chmod(0o755)
        with closing(Store(folder)) as store:
            assert store.get("k") == 1
        assert (folder / "entries").stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)


def test_least_recently_used_goes_first(folder: Path) -> None:
    limit = 1 << 20
    with closing(Store(folder, size_limit_bytes=limit)) as store:
        store.put("precious", BIG[:8_000])
        for number in range(200):
            store.put(f"key {number}", BIG[number : number + 8_000])
            assert store.get("precious") == BIG[:8_000]
        stats = store.stats()
        assert 10 < stats.entries < 200
        assert stats.size_bytes < 1.1 * limit
        assert store.get("key 0") is None
        assert store.get("key 199") == BIG[199:8_199]


def test_a_value_over_a_sixteenth_of_the_limit_is_not_stored(folder: Path) -> None:
    size = len(pack(b"k", encode(BIG)))
    for limit, stored in ((16 * size - 1, None), (16 * size, BIG)):
        with closing(Store(folder / str(limit), size_limit_bytes=limit)) as store:
            assert store.get_or_compute("k", lambda: BIG) == BIG
            assert store.get("k") == stored


# nothing found in the folder is executed


class Payload:
    """Makes the folder `path` when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("place", ["row", "file"])
def test_a_planted_pickle_is_not_executed(store: Store, folder: Path, warnings: Callable, place: str) -> None:
    trap = folder / "executed"
    poison = pickle.dumps(Payload(trap))
    store.put("k", BIG)
    if place == "row":
        edit(folder, "UPDATE Cache SET mode = 4, filename = NULL, value = ?", poison)
    else:
        value_files(folder)[0].write_bytes(poison)
        edit(folder, "UPDATE Cache SET mode = 4")
    with closing(diskcache.Cache(str(folder / "entries"))) as careless:
        careless.get("k")  # what diskcache itself does: the trap is a real one
        trap.rmdir()

    assert store.get_or_compute("k", lambda: "computed") == "computed"
    assert not trap.exists()
    assert store.get("k") == "computed"
    assert warnings() == [
        f"The cache in {folder}: an entry was not written by aggsim; it is dropped and computed again"
    ]


def test_pickles_in_keys_settings_and_values_are_refused(store: Store, folder: Path) -> None:
    disk = BytesDisk(str(folder))
    for value in ("text", 1, ["list"], bytearray(b"x")):
        with pytest.raises(TypeError):
            disk.store(value, False)
    for key in (1, b"x", ("tuple",), None):
        with pytest.raises(TypeError):
            disk.put(key)
    with pytest.raises(BadEntryError):
        disk.get(pickle.dumps(Payload(folder / "executed")), False)
    store.put("k", 1)
    store.close()
    edit(folder, "INSERT INTO Settings VALUES ('disk_evil', ?)", pickle.dumps(Payload(folder / "executed")))
    assert store.get_or_compute("k", lambda: 2) in (1, 2)
    assert not (folder / "executed").exists()


@pytest.mark.parametrize("name", ["{outside}", "../../outside"])
def test_files_outside_the_folder_are_neither_read_nor_removed(store: Store, folder: Path, name: str) -> None:
    outside = folder.parent / "outside"
    outside.write_bytes(pack(b"k", encode("a secret")))
    store.put("k", 1)
    edit(folder, "UPDATE Cache SET mode = 2, filename = ?, value = NULL", name.format(outside=outside))
    assert store.get("k") is None
    store.put("k", 2)
    edit(folder, "UPDATE Cache SET mode = 2, filename = ?, value = NULL", name.format(outside=outside))
    store.put("k", 3)
    assert store.get("k") == 3
    assert outside.exists()


# a bad disk costs speed, never an answer


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 77)


def garble(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\xa5" * path.stat().st_size)


def garble_pages(path: Path) -> None:
    """The header stays good, so that opening may still succeed."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (path.stat().st_size - 4096))


def empty(path: Path) -> None:
    os.truncate(path, 0)


def drop_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE Cache")


DAMAGES = [truncate, garble, garble_pages, empty, drop_table]


def fill(store: Store) -> None:
    for number in range(200):
        store.put(f"key {number}", [number] * 100)
    store.put("big", BIG)


@pytest.mark.parametrize("is_open", [False, True], ids=["at_start", "mid_life"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_index_is_replaced(
    store: Store, folder: Path, warnings: Callable, damage: Callable, is_open: bool
) -> None:
    fill(store)
    store.close()  # puts everything into cache.db itself
    if is_open:
        assert store.get("key 7") == [7] * 100
    damage(database(folder))
    for number in range(200):
        assert store.get_or_compute(f"key {number}", lambda number=number: [number] * 100) == [number] * 100
    assert store.get_or_compute("big", lambda: BIG) == BIG
    store.close()
    assert Store(folder).get("key 199") == [199] * 100
    assert store.stats().problem is None
    assert len(warnings()) <= 2


def test_at_most_one_damaged_copy_is_kept(folder: Path, warnings: Callable) -> None:
    for number in range(3):
        with closing(Store(folder)) as store:
            store.put("k", number)
        garble(database(folder))
    with closing(Store(folder)) as store:
        assert store.get("k") is None
        assert sorted(path.name for path in folder.iterdir()) == ["damaged", "entries", "locks"]
        assert len(warnings()) == 3
        store.clear()
    assert [path.name for path in folder.iterdir()] == ["locks"]


def test_two_that_find_the_same_damage_replace_it_once(store: Store, folder: Path) -> None:
    with closing(Store(folder)) as other:
        fill(store)
        store.close()
        assert other.get("key 1") == store.get("key 1") == [1] * 100
        store.close()
        garble(database(folder))
        store.put("new", 1)
        other.put("newer", 2)
        assert [store.get("new"), store.get("newer"), other.get("new")] == [1, 2, 1]
        assert (folder / "damaged" / "cache.db").read_bytes()[:4] == b"\xa5" * 4


def test_damage_that_another_has_repaired_already_is_left_alone(store: Store, folder: Path) -> None:
    with closing(Store(folder)) as other:
        other.put("old", 1)

        def fails_late(cache: diskcache.Cache) -> object:
            if cache.get("new") is None:
                store.clear()
                store.put("new", 1)
                raise sqlite3.DatabaseError("database disk image is malformed")
            return cache.get("new")

        assert other._run(fails_late, None) is not None
        assert store.get("new") == other.get("new") == 1
        assert not (folder / "damaged").exists()


@pytest.mark.parametrize("damage", [truncate, garble, empty, Path.unlink])
def test_a_damaged_value_file_is_a_miss(store: Store, folder: Path, damage: Callable) -> None:
    store.put("big", BIG)
    damage(value_files(folder)[0])
    assert store.get("big") is None
    assert store.get_or_compute("big", lambda: BIG) == BIG
    assert store.get("big") == BIG
    assert len(value_files(folder)) == 1


def test_a_value_under_the_wrong_key_is_a_miss(store: Store, folder: Path) -> None:
    store.put("k", "of k")
    edit(folder, "UPDATE Cache SET key = 'other'")
    assert store.get("other") is None
    assert store.stats().entries == 0


@pytest.mark.parametrize("again", ["removed", "cleared by another"])
def test_a_folder_that_goes_away_comes_back(store: Store, folder: Path, again: str) -> None:
    store.put("k", 1)
    if again == "removed":
        shutil.rmtree(folder)
    else:
        Store(folder).clear()
    assert store.get("k") is None
    assert store.get_or_compute("k", lambda: 2) == 2
    assert Store(folder).get("k") == 2


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root writes where it likes, whatever the mode: be nobody for a while."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(was)


@pytest.mark.parametrize("filled", [False, True], ids=["new", "filled"])
def test_a_read_only_folder_costs_no_answer(filled: bool, warnings: Callable) -> None:
    folder = Path(tempfile.mkdtemp())  # not tmp_path, which nobody may not enter
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, -1)
    try:
        with unprivileged():
            if filled:
                with closing(Store(folder)) as store:
                    store.put("k", 1)
            paths = [folder, *folder.rglob("*")]
            for path in paths:
                path.chmod(0o500 if path.is_dir() else 0o400)
            with pytest.raises(PermissionError):
                (folder / "x").touch()
            with closing(Store(folder)) as store:
                assert [store.get_or_compute("k", lambda: 2) for _ in range(3)] == [2, 2, 2]
                assert store.stats().problem is not None
                assert len(warnings()) == 1
            for path in paths:
                path.chmod(0o700)
    finally:
        shutil.rmtree(folder)


def test_a_location_that_cannot_be_made_costs_no_answer(tmp_path: Path, warnings: Callable) -> None:
    (tmp_path / "file").touch()
    store = Store(tmp_path / "file" / "cache")
    assert [store.get_or_compute(key, lambda: 2) for key in "aabb"] == [2] * 4
    store.put("a", 1)
    store.clear()
    assert store.get("a") is None
    assert store.stats().entries == 0
    assert len(warnings()) == 1
    assert "answers are computed without it" in warnings()[0]


def test_a_full_disk_costs_no_answer(folder: Path) -> None:
    process = worker("full_disk", folder)
    output, errors = process.communicate("\n", timeout=30)
    answers, problem = map(json.loads, output.splitlines())
    assert answers == [True] * 50
    assert problem is not None
    assert errors.count("aggsim.store WARNING") == len(errors.splitlines()) == 1


@pytest.mark.parametrize("is_open", [False, True], ids=["at_start", "mid_life"])
def test_a_locked_index_costs_no_answer(store: Store, folder: Path, warnings, monkeypatch, is_open: bool) -> None:
    monkeypatch.setattr(store_module, "BUSY_WAIT_S", 0.05)
    monkeypatch.setattr(store_module, "PAUSE_S", 0.5)
    store.put("k", 1)
    if not is_open:
        store.close()
    with closing(sqlite3.connect(database(folder), isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        start = time.monotonic()
        assert [store.get_or_compute("k", lambda: 2) for _ in range(5)] == [2] * 5
        assert time.monotonic() - start < 5.0
        assert len(warnings()) == 1
    wait_for(lambda: store.get("k") == 1)
    assert store.stats().problem is None


# once, over threads and processes


def test_threads_cold_on_one_key_compute_once(folder: Path) -> None:
    computed: list[int] = []
    stores = [Store(folder), Store(folder)]
    barrier = threading.Barrier(8)

    def ask(number: int) -> object:
        def slow() -> object:
            computed.append(number)
            time.sleep(0.2)
            return BIG

        barrier.wait()
        return stores[number % 2].get_or_compute("cold", slow)

    with ThreadPoolExecutor(8) as pool:
        assert all(answer == BIG for answer in pool.map(ask, range(8)))
    assert len(computed) == 1


def test_many_threads_and_keys(store: Store, warnings: Callable) -> None:
    def work(seed: int) -> None:
        for step in range(60):
            number = (seed * 17 + step) % 25
            assert store.get_or_compute(f"k{number}", lambda: [number] * 50) == [number] * 50  # noqa: B023
            store.put(f"k{number}", [number] * 50)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert store.stats().entries == 25
    assert warnings() == []


def test_a_computation_may_ask_the_store(store: Store) -> None:
    def outer() -> object:
        return [store.get_or_compute("inner", lambda: 1), store.get_or_compute("outer", lambda: 2)]

    start = time.monotonic()
    assert store.get_or_compute("outer", outer) == [1, 2]
    assert time.monotonic() - start < 5.0


def test_nobody_waits_for_ever(folder: Path) -> None:
    release, started = threading.Event(), threading.Event()
    store = Store(folder, wait_s=0.1)

    def stuck() -> object:
        started.set()
        release.wait(30)
        return "late"

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(store.get_or_compute, "k", stuck)
        assert started.wait(10)
        assert store.get_or_compute("k", lambda: "own") == "own"
        release.set()
        assert first.result(10) == "late"


def test_two_processes_cold_on_one_key_compute_once(folder: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    processes = [worker("compute", folder, notes) for _ in range(2)]
    for process in processes:
        go(process)
    for process in processes:
        output, errors = process.communicate(timeout=30)
        assert (output, errors) == ("true\n", "")
    assert notes.read_text() == "computed\n"


def test_a_process_that_dies_while_computing_holds_nobody_up(store: Store, folder: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    process = worker("compute_slowly", folder, notes)
    go(process)
    wait_for(notes.exists)
    threading.Timer(0.3, process.kill).start()
    start = time.monotonic()
    assert store.get_or_compute("cold", lambda: "computed here") == "computed here"
    assert 0.2 < time.monotonic() - start < 10.0
    process.communicate(timeout=10)


def test_killed_in_mid_write_the_next_start_answers(folder: Path, warnings: Callable) -> None:
    for delay_s in (0.05, 0.1, 0.15, 0.2):
        process = worker("write_forever", folder)
        go(process)
        wait_for(lambda: len(value_files(folder)) > 2)
        time.sleep(delay_s)
        process.send_signal(signal.SIGKILL)
        assert process.communicate(timeout=10) == ("", "")
        with closing(Store(folder)) as store:
            found = [store.get(f"file {number}") for number in range(50)]
            assert all(value is None or value[1:] == VALUE["rows"] for value in found)
            assert any(value is not None for value in found)
            assert store.get_or_compute("after", lambda: 0.05) == 0.05
    assert warnings() == []
