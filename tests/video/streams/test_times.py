"""Times of recordings: strictly increasing, as a player has them, whatever single packets say."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwatch.video.streams.times import MAX_HELD, steady

STEP_S = 0.1


def timed(said: list[float | None], end_s: float | None = None, step_s: float = STEP_S) -> list[float]:
    given = list(steady(list(enumerate(said)), step_s, end_s))
    assert [item for item, _ in given] == list(range(len(said)))
    return [round(time_s, 6) for _, time_s in given]


def even(count: int, first_s: float = 0.0) -> list[float | None]:
    return [round(first_s + n * STEP_S, 6) for n in range(count)]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=50), st.one_of(st.none(), st.floats(0, 1e6)))
def test_every_picture_comes_once_and_later_than_the_one_before(said: list[float | None], end_s: float | None) -> None:
    given = list(steady(list(enumerate(said)), STEP_S, end_s))
    assert [item for item, _ in given] == list(range(len(said)))
    assert all(b > a for a, b in pairwise(time_s for _, time_s in given))


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 60), st.integers(1, MAX_HELD), st.floats(-1e6, 1e6).filter(lambda wrong: abs(wrong) > 1))
def test_a_few_wrong_times_change_nothing_else(at: int, count: int, wrong_s: float) -> None:
    said = even(100)
    for n in range(at, at + count):
        said[n] = (said[n] or 0.0) + wrong_s * (1 + n % 2)
    times_s = timed(said, end_s=10.0)
    assert times_s == pytest.approx(even(100), abs=1e-4)


@pytest.mark.parametrize("end_s", [None, 7210.0])
def test_a_gap_that_the_container_has_room_for_is_one(end_s: float | None) -> None:
    said = [*even(20), *even(20, 7202.0)]
    assert timed(said, end_s) == said


def test_a_clock_that_is_set_forward_beyond_the_end_or_back_keeps_distances() -> None:
    for other_s in (95_000.0, -50.0):
        assert timed([*even(20), *even(20, other_s)], end_s=4.0) == pytest.approx(even(40))


def test_a_picture_a_minute_has_no_gaps() -> None:
    said: list[float | None] = [60.0 * n for n in range(30)]
    assert timed(said, end_s=1800.0, step_s=60.0) == said


def test_a_recording_of_what_moves_keeps_its_uneven_times() -> None:
    said: list[float | None] = [0.0, 0.1, 0.2, 4.0, 4.1, 9.0, 21.5, 21.6, 30.0, 30.1, 30.2]
    assert timed(said, end_s=30.3) == said


def test_a_stream_without_times_has_even_ones() -> None:
    assert timed([None] * 5) == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
