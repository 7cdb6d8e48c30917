"""A clock that was wrong for a while has deleted nothing."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from streamwatch.evidence.trusted_time import BELIEVED_AFTER_S, TrustedTime
from tests.evidence.test_retention import DAY_S, House, house

__all__ = ["house"]
KEEP_S = 30 * DAY_S


@dataclass
class SetClock:
    """Time that passes, and a wall clock that somebody sets."""

    passed_s: float = 0.0
    set_by_s: float = 0.0

    def monotonic_s(self) -> float:
        return self.passed_s

    def wall_s(self) -> float:
        return 1e9 + self.passed_s + self.set_by_s

    def wait(self, *_: object) -> bool:
        return False


@pytest.mark.parametrize("days", [400.0, -400.0])
def test_a_jump_is_believed_when_it_has_stayed_for_a_day(days: float) -> None:
    clock = SetClock()
    time = TrustedTime(clock)
    assert time.now_s(None, KEEP_S) == 1e9
    clock.passed_s, clock.set_by_s = 100.0, days * DAY_S
    assert time.now_s(None, KEEP_S) == 1e9 + 100
    clock.passed_s += BELIEVED_AFTER_S - 1
    assert time.now_s(None, KEEP_S) == 1e9 + 100 + BELIEVED_AFTER_S - 1
    clock.passed_s += 2
    time.now_s(None, KEEP_S)
    assert time.now_s(None, KEEP_S) == clock.wall_s()


def test_a_clock_that_is_slewed_is_followed() -> None:
    clock = SetClock()
    time = TrustedTime(clock)
    for _ in range(100):
        clock.passed_s += 60
        clock.set_by_s += 5
        assert time.now_s(None, KEEP_S) == clock.wall_s()


def test_a_jump_that_is_taken_back_is_forgotten() -> None:
    clock = SetClock()
    time = TrustedTime(clock)
    time.now_s(None, KEEP_S)
    for _ in range(5):
        clock.set_by_s = 400 * DAY_S
        time.now_s(None, KEEP_S)
        clock.passed_s += 0.4 * BELIEVED_AFTER_S
        clock.set_by_s = 0.0
        assert time.now_s(None, KEEP_S) == clock.wall_s()


def test_a_process_that_starts_with_a_wrong_clock_deletes_nothing_for_a_day(house: House) -> None:
    ids = [house.add(days) for days in (3, 2, 1)]
    house.limit(days=30)
    house.clock.now_s += 400 * DAY_S  # before its first look
    assert house.retainer.run_once() == 0
    assert house.kept == set(ids)
    house.clock.now_s += BELIEVED_AFTER_S + 1
    house.retainer.run_once()
    assert house.kept == set()
