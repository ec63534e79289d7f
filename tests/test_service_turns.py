"""Turns: one at a time, in the order of coming; who is no longer wanted leaves."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError

import pytest

from aggsim.service_turns import Turns


def test_one_at_a_time_in_order() -> None:
    turns, order, at_work, most = Turns(), [], [0], [0]

    def work(number: int) -> None:
        with turns.turn(threading.Event()):
            at_work[0] += 1
            most[0] = max(most[0], at_work[0])
            time.sleep(0.005)
            order.append(number)
            at_work[0] -= 1

    threads = []
    with turns.turn(threading.Event()):
        for number in range(5):
            threads.append(threading.Thread(target=work, args=(number,)))
            threads[-1].start()
            while len(turns._queue) < number + 2:
                time.sleep(0.001)
    for thread in threads:
        thread.join(5)
    assert order == [0, 1, 2, 3, 4]
    assert most == [1]


def test_who_is_cancelled_leaves_and_the_next_one_comes() -> None:
    turns, cancelled, ended = Turns(), threading.Event(), []
    holding = threading.Event()

    def give_up() -> None:
        try:
            with turns.turn(cancelled):
                ended.append("worked")
        except CancelledError:
            ended.append("left")

    def hold() -> None:
        with turns.turn(threading.Event()):
            holding.set()
            release.wait(5)

    release = threading.Event()
    holder, waiting = threading.Thread(target=hold), threading.Thread(target=give_up)
    holder.start()
    assert holding.wait(5)
    waiting.start()
    cancelled.set()
    waiting.join(5)
    assert ended == ["left"]
    release.set()
    holder.join(5)
    with turns.turn(threading.Event()):
        ended.append("next")
    assert ended == ["left", "next"]


def test_nothing_is_begun_that_was_cancelled_before() -> None:
    turns, cancelled = Turns(), threading.Event()
    cancelled.set()
    with pytest.raises(CancelledError), turns.turn(cancelled):
        raise AssertionError("not its turn")
    with turns.turn(threading.Event()):
        pass


def test_work_stands_back_while_a_page_is_drawn_but_not_while_the_page_waits_for_it() -> None:
    turns, passes = Turns(), []
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            turns.give_way()
            passes.append(time.monotonic())
            time.sleep(0.001)

    def counted(seconds: float) -> int:
        before = len(passes)
        time.sleep(seconds)
        return len(passes) - before

    worker = threading.Thread(target=work)
    worker.start()
    try:
        free = counted(0.3)
        with turns.drawing():
            time.sleep(0.01)
            drawn = counted(0.3)
            with turns.resting():
                rested = counted(0.3)
        after = counted(0.3)
    finally:
        stop.set()
        worker.join(5)
    assert 1 <= drawn <= 5 < min(free, rested, after)
    with turns.resting():  # outside of a page it is nothing
        assert turns._drawn == 0


def test_an_error_gives_the_turn_back() -> None:
    turns = Turns()
    with pytest.raises(ValueError, match="of the work"), turns.turn(threading.Event()):
        raise ValueError("of the work")
    with turns.turn(threading.Event()):
        pass
