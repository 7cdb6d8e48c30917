"""Retrying on an injected clock: no test sleeps."""

from __future__ import annotations

import threading

import pytest

from streamwatch.errors import SourceDisconnected, StreamwatchError
from streamwatch.retry import Backoff, run_forever


class FakeClock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.waits: list[float] = []

    def monotonic_s(self) -> float:
        return self.now_s

    def wall_s(self) -> float:
        return 1e9 + self.now_s

    def wait(self, stop: threading.Event, timeout_s: float) -> bool:
        self.waits.append(timeout_s)
        self.now_s += timeout_s
        return stop.is_set()


def failing(times: int, clock: FakeClock, works_s: float = 0.0) -> tuple[list[float], object]:
    calls: list[float] = []

    def run_once() -> None:
        calls.append(clock.now_s)
        clock.now_s += works_s
        if len(calls) <= times:
            raise SourceDisconnected("gone")

    return calls, run_once


def test_it_backs_off_exponentially_with_jitter_and_stops_when_the_work_is_done() -> None:
    clock, failures = FakeClock(), []
    calls, run_once = failing(10, clock)
    run_forever(run_once, clock=clock, stop=threading.Event(), on_failure=lambda e, d: failures.append((str(e), d)))  # type: ignore[arg-type]
    assert len(calls) == 11
    for number, delay_s in enumerate(clock.waits):
        assert 0.1 * min(60, 2**number) <= delay_s <= min(60, 2**number)
    assert [d for _, d in failures] == clock.waits


def test_a_minute_of_work_resets_the_back_off() -> None:
    clock = FakeClock()
    _, run_once = failing(8, clock, works_s=61)
    run_forever(run_once, clock=clock, stop=threading.Event(), on_failure=lambda *_: None)  # type: ignore[arg-type]
    assert max(clock.waits) <= 1.0


def test_stop_ends_it() -> None:
    clock, stop = FakeClock(), threading.Event()
    calls, run_once = failing(100, clock)
    run_forever(run_once, clock=clock, stop=stop, on_failure=lambda *_: stop.set())  # type: ignore[arg-type]
    assert len(calls) == 1


def test_a_defect_is_not_retried() -> None:
    def broken() -> None:
        raise KeyError("defect")

    with pytest.raises(KeyError):
        run_forever(broken, clock=FakeClock(), stop=threading.Event(), on_failure=lambda *_: None)


@pytest.mark.parametrize("failures", [1, 5, 50, 5000])
def test_delays_are_bounded(failures: int) -> None:
    assert 0 < Backoff().delay_s(failures, 0.0) <= Backoff().delay_s(failures, 1.0) <= 60


def test_every_error_names_what_where_and_what_to_do() -> None:
    error = StreamwatchError("is broken", where="a.mp4", hint="mend it")
    assert str(error) == "a.mp4: is broken; mend it"
    assert error.exit_code == 1
    assert str(StreamwatchError("cannot open rtsp://a:s3cret@host/")) == "cannot open rtsp://***@host/"
