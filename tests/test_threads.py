"""Whatever a thread raises: it is logged, counted, begun again after a wait, and told when it comes again and again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.errors import StoreError
from streamwatch.retry import Backoff
from streamwatch.threads import REPEATEDLY, ThreadGuard
from tests.test_retry import FakeClock

STEADY = Backoff(first_s=1.0, max_s=4.0, reset_after_s=60.0)


class Desk:
    """A guard and who hears of it."""

    def __init__(self) -> None:
        self.clock, self.faults, self.repeating = FakeClock(), list[str](), list[bool]()
        self.guard = ThreadGuard(self.clock, on_fault=self.faults.append, on_repeating=self.repeating.append, backoff=STEADY)


def failing(times: int, error: Exception, before: Callable[[], None] = lambda: None) -> Callable[[], None]:
    left = iter([error] * times)

    def work() -> None:
        before()
        failure = next(left, None)
        if failure is not None:
            raise failure

    return work


@given(st.integers(0, 12))
def test_work_that_fails_is_begun_again_until_it_returns(times: int) -> None:
    desk = Desk()
    desk.guard.run("clips", failing(times, ZeroDivisionError("of ours")), threading.Event())
    assert desk.faults == ["clips"] * times
    assert all(0 < wait_s <= STEADY.max_s for wait_s in desk.clock.waits)
    assert desk.repeating == ([True] if times >= REPEATEDLY else [])


def test_it_ends_when_it_is_stopped_though_it_fails() -> None:
    desk, stop = Desk(), threading.Event()
    desk.guard.run("clips", failing(10**6, KeyError("x"), before=stop.set), stop)
    assert desk.faults == ["clips"]


def test_faults_hours_apart_are_not_told_as_repeating() -> None:
    desk = Desk()

    def an_hour() -> None:
        desk.clock.now_s += 3600

    desk.guard.run("sender-a", failing(10, ValueError("x"), before=an_hour), threading.Event())
    assert len(desk.faults) == 10
    assert desk.repeating == []


def test_it_is_over_when_the_thread_has_worked_for_a_while() -> None:
    desk = Desk()
    desk.guard.run("evidence", failing(REPEATEDLY, OSError("x")), threading.Event())
    assert desk.repeating == [True]
    desk.guard.check()
    assert desk.repeating == [True]
    desk.clock.now_s += STEADY.max_s + STEADY.reset_after_s
    desk.guard.check()
    assert desk.repeating == [True, False]


def test_one_threads_faults_are_not_anothers() -> None:
    desk = Desk()
    for name in ("a", "b", "c"):
        desk.guard.run(name, failing(REPEATEDLY - 1, OSError("x")), threading.Event())
    assert desk.repeating == []


def test_a_fault_of_ours_is_logged_with_its_stack_and_a_known_error_as_a_line(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    with caplog.at_level(logging.ERROR):
        desk.guard.record("retention", ZeroDivisionError("of ours"))
        desk.guard.record("retention", StoreError("the database refuses"))
    ours, known = caplog.records
    assert ours.exc_info
    assert "retention: internal fault (ZeroDivisionError: of ours)" in ours.getMessage()
    assert not known.exc_info
    assert "retention: the database refuses" in known.getMessage()


def test_who_is_told_may_fail_too() -> None:
    def breaks(_: object) -> None:
        raise RuntimeError("who is told")

    guard = ThreadGuard(FakeClock(), on_fault=breaks, on_repeating=breaks, backoff=STEADY)
    done = threading.Event()
    work = failing(REPEATEDLY + 1, OSError("x"))

    def and_done() -> None:
        work()
        done.set()

    thread = guard.start("clips", and_done, threading.Event())
    thread.join(20)
    assert done.is_set()
