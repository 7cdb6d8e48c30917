"""When a message is sent again."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.alerts.retry_schedule import MAX_WAIT_S, SCHEDULE_S, parse_retry_after_s, wait_before_s

NOW_S = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@given(st.integers(0, 20), st.none() | st.floats(0, 1e9), st.integers(0, 1000))
def test_a_wait_is_the_schedules_or_the_receivers_and_ends(attempt: int, asked_s: float | None, seed: int) -> None:
    wait_s = wait_before_s(attempt, random.Random(seed), asked_s)
    if attempt >= len(SCHEDULE_S):
        assert wait_s is None
        return
    assert wait_s is not None
    least_s = max(SCHEDULE_S[attempt], min(asked_s or 0.0, MAX_WAIT_S))
    assert least_s <= wait_s <= max(1.2 * SCHEDULE_S[attempt], least_s)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("²", None),
        ("٣", None),
        ("9" * 5000, MAX_WAIT_S),
        ("Tue, 14 Nov 9999 22:14:20 GMT", MAX_WAIT_S),
        ("Tue, 14 Nov 0000 22:14:20 GMT", 0.0),  # two digits are of this century
        ("Tue, 99 Nov 2023 22:14:20 +999999999", None),
        ("", None),
    ],
)
def test_what_a_receiver_asks_for(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after_s(header, NOW_S) == seconds


@given(st.text())
def test_nothing_that_a_receiver_says_is_a_fault(header: str) -> None:
    seconds = parse_retry_after_s(header, NOW_S)
    assert seconds is None or 0 <= seconds <= MAX_WAIT_S
