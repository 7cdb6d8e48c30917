"""What stands out of footage: found when it is there, few when it is not, and two of them do not hide each other."""

from __future__ import annotations

import numpy as np
import pytest

from streamwatch.learning.outliers import MAX_LISTED, find_outliers
from streamwatch.records import ScoreStream

RATE_HZ = 5


def stream(seconds: float, seed: int = 0, begins_s: float = 0.0) -> ScoreStream:
    """Levels as a maximum over many places has them: skewed to the right, alike from frame to frame."""
    rng = np.random.default_rng(seed)
    noise = np.convolve(rng.gumbel(0, 1, round(seconds * RATE_HZ) + 4), np.ones(5) / 5, "valid")
    return ScoreStream(begins_s + np.arange(len(noise)) / RATE_HZ, 20 + 2 * noise)


def with_visit(calm: ScoreStream, from_s: float, to_s: float, height: float = 30.0) -> ScoreStream:
    visited = (calm.at_s >= from_s) & (calm.at_s < to_s)
    return ScoreStream(calm.at_s, calm.levels + height * visited)


def test_hours_of_ordinary_levels_have_few() -> None:
    found = [find_outliers([[stream(600, seed)]]) for seed in range(20)]
    assert sum(map(len, found)) <= 6
    assert max(outlier.times_usual for outliers in found for outlier in outliers) < 1.5


def test_a_visit_is_found_where_it_is() -> None:
    (found,) = find_outliers([[with_visit(stream(300), 100, 110)]])
    assert found.start_s == pytest.approx(100, abs=0.5)
    assert found.end_s == pytest.approx(110, abs=0.5)
    assert found.times_usual > 2


def test_a_long_visit_does_not_hide_a_short_one() -> None:
    visited = with_visit(with_visit(stream(300), 100, 220), 20, 22, height=20)
    assert [round(o.start_s) for o in find_outliers([[visited]])] == [20, 100]


def test_each_group_is_judged_by_itself_and_stretches_are_joined() -> None:
    appearance = with_visit(stream(300), 100, 110)
    motion = ScoreStream(appearance.at_s, with_visit(stream(300, 1), 108, 112).levels / 100)
    (found,) = find_outliers([[appearance], [motion]])
    assert (round(found.start_s), round(found.end_s)) == (100, 112)


def test_the_strongest_ten_are_listed_in_order() -> None:
    visited = stream(2000)
    for number in range(15):
        visited = with_visit(visited, 100 * number + 50, 100 * number + 53, height=30 + number)
    found = find_outliers([[visited]])
    assert [round(o.start_s) for o in found] == [100 * number + 50 for number in range(5, 5 + MAX_LISTED)]


def test_too_little_to_compare_is_no_ground_for_anything() -> None:
    assert find_outliers([[with_visit(stream(9), 2, 4)], []]) == []
