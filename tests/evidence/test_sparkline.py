"""The drawing of an event's score."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.evidence.sparkline import BEFORE_S, DRAWN_POINTS, Levels, draw_sparkline


@given(st.lists(st.floats(0, 100), min_size=1, max_size=2000))
def test_it_is_valid_and_loses_no_peak(levels: list[float]) -> None:
    points = [(n / 5, level) for n, level in enumerate(levels)]
    drawing = draw_sparkline(points, start=5.0, end=4.0, event_s=(0.0, 1.0))
    line = re.search(r'<polyline points="([^"]+)"', drawing)
    assert line
    drawn = [tuple(map(float, pair.split(","))) for pair in line[1].split()]
    assert len(drawn) == min(len(levels), DRAWN_POINTS)
    top = max(*levels, 5.0) * 1.05
    highest = min(y for _, y in drawn)
    assert highest == pytest.approx(60 - 56 * max(levels) / top, abs=0.1)
    assert all(4 <= x <= 316 and 4 <= y <= 60 for x, y in drawn)


def test_without_levels_there_is_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="no levels"):
        draw_sparkline([], start=1, end=0.5, event_s=(0, 1))


def test_the_last_while_is_kept_and_an_event_as_a_whole() -> None:
    levels = Levels()
    for second in range(100):
        levels.add(float(second), 1.0, keep=second >= 60)
    assert levels.points()[0][0] == pytest.approx(59 - BEFORE_S)
    assert len(levels.points()) == 100 - (59 - BEFORE_S)
    levels.add(5.0, 2.0, keep=False)
    assert levels.points() == ((5.0, 2.0),)
