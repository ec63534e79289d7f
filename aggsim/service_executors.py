"""Where the layouts of a search are worked on: here, in processes of this machine, or on a Dask cluster."""

from __future__ import annotations

import importlib
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any, Protocol, TypeVar

from aggsim.errors import InputError
from aggsim.service_pool import Pool

__all__ = ["DASK_VARIABLE", "Dask", "Executor", "Inline", "Processes", "Report", "Watch", "chosen_executor"]

DASK_VARIABLE = "AGGSIM_DASK_SCHEDULER"
NUM_PROCESSES = 2
POLL_S = 0.1
RETRIES = 3
"""How often a layout is begun again because the process that worked on it died."""

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")
Report = Callable[[], None]
"""Called before every pass; may raise CancelledError."""
Function = Callable[[_Task, Report], _Result]


class Watch:
    """Hears what a search does, and may end it: cancelled is looked at before every pass and while waiting."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()

    def begin(self, num_layouts: int) -> None:
        """Before the first layout."""

    def count_pass(self) -> None:
        """A pass is about to be priced. Raises CancelledError."""
        self.check()

    def done(self, index: int, outcome: Any) -> None:
        """A layout is answered."""

    def check(self) -> None:
        """Raises CancelledError once the search has been cancelled."""
        if self.cancelled.is_set():
            raise CancelledError


class Executor(Protocol):
    """One way to work on many layouts. Leaving the iterator early, for whatever reason, stops what is at work."""

    def map_layouts(
        self, function: Function[_Task, _Result], layouts: Sequence[_Task], watch: Watch
    ) -> Iterator[tuple[int, _Result]]:
        """(index, result) of each layout as it is done. function and layouts must be picklable."""
        ...


class Inline:
    """One after the other, in the calling thread."""

    def map_layouts(
        self, function: Function[_Task, _Result], layouts: Sequence[_Task], watch: Watch
    ) -> Iterator[tuple[int, _Result]]:
        for index, layout in enumerate(layouts):
            watch.check()
            yield index, function(layout, watch.count_pass)


class Processes:
    """Processes of our own on this machine; cancelling kills them and whatever they have started."""

    def __init__(self, num_workers: int = NUM_PROCESSES) -> None:
        self.num_workers = num_workers

    def map_layouts(
        self, function: Function[_Task, _Result], layouts: Sequence[_Task], watch: Watch
    ) -> Iterator[tuple[int, _Result]]:
        with Pool(function, layouts, num_workers=self.num_workers, retries=RETRIES) as pool:
            while not pool.is_done:
                watch.check()
                for index, result in pool.events(POLL_S):
                    if index is None:
                        watch.count_pass()
                    else:
                        yield index, result


class Dask:
    """Workers of a cluster. A lost worker's layouts are given to others; a running one stops before its next pass."""

    def __init__(self, address: str) -> None:
        self.address = address

    def map_layouts(
        self, function: Function[_Task, _Result], layouts: Sequence[_Task], watch: Watch
    ) -> Iterator[tuple[int, _Result]]:
        distributed = _distributed(self.address)
        topic = f"aggsim-{uuid.uuid4().hex}"
        passes = threading.Semaphore(0)
        try:
            client = distributed.Client(self.address, timeout=10, set_as_default=False)
        except OSError as error:
            raise InputError(DASK_VARIABLE, self.address, "the address of a Dask scheduler that answers") from error
        with client:
            stop = distributed.Event(topic, client=client)
            client.subscribe_topic(topic, lambda _: passes.release())
            futures = {
                client.submit(_on_cluster, function, layout, topic, pure=False, retries=RETRIES): index
                for index, layout in enumerate(layouts)
            }
            finished = distributed.as_completed(futures, loop=client.loop)
            try:
                while not finished.is_empty():
                    watch.check()
                    while passes.acquire(blocking=False):
                        watch.count_pass()
                    for future in finished.next_batch(block=False):
                        yield futures[future], future.result()
                    threading.Event().wait(POLL_S)
            finally:
                stop.set()
                client.cancel(list(futures), force=True)


def _on_cluster(function: Function[_Task, _Result], layout: _Task, topic: str) -> _Result:
    """In a worker of the cluster."""
    distributed = _distributed("")
    stop, worker = distributed.Event(topic), distributed.get_worker()

    def report() -> None:
        if stop.is_set():
            raise CancelledError
        worker.log_event(topic, "pass")

    return function(layout, report)


def _distributed(address: str) -> Any:
    """The package, which only those who have a cluster need."""
    try:
        return importlib.import_module("distributed")
    except ImportError as error:
        raise InputError(DASK_VARIABLE, address, "nothing, unless dask.distributed is installed") from error


def chosen_executor(*, slow: bool) -> Executor:
    """Only what takes long is worth more than one process."""
    if not slow:
        return Inline()
    address = os.environ.get(DASK_VARIABLE, "")
    return Dask(address) if address else Processes()
