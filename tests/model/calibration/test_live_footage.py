"""What was watched, bounded and weighed."""

from __future__ import annotations

import pytest

from streamwatch.model.calibration.live_footage import extended, latest, window_s, without
from streamwatch.model.calibration.thresholds import DAY_S
from streamwatch.records import LivePeaks

HOUR_S = 3600.0


def watched(days: int, hours_a_day: float, peaks_a_day: int = 3) -> LivePeaks:
    live = LivePeaks("", "motion", "basis")
    for day in range(days):
        peaks = [(10.0 + number, day * DAY_S + number) for number in range(peaks_a_day)]
        live = extended(live, peaks, peaks, {day: hours_a_day * HOUR_S})
    return live


def test_the_window_is_a_week_or_ten_budgets() -> None:
    assert window_s(24.0) == 7 * DAY_S
    assert window_s(1.0) == 10 * DAY_S
    assert window_s(1 / 7) == pytest.approx(70 * DAY_S)


@pytest.mark.parametrize(("hours_a_day", "kept_days"), [(24.0, 7), (6.0, 28)])
def test_what_is_forgotten_is_older_than_so_much_watching(hours_a_day: float, kept_days: int) -> None:
    live = watched(40, hours_a_day)
    kept = latest(live, 7 * DAY_S)
    assert [day for day, _ in kept.exposure] == list(range(40 - kept_days, 40))
    assert kept.exposure_s == 7 * DAY_S
    assert min(at_s for _, at_s in kept.peaks) >= (40 - kept_days) * DAY_S
    assert len(kept.peaks) == len(kept.events) == 3 * kept_days
    assert latest(kept, 7 * DAY_S) is kept


def test_a_clock_that_was_far_ahead_for_a_while_takes_nothing() -> None:
    live = watched(5, 24.0)
    ahead = extended(live, [(5.0, 400 * DAY_S)], [], {400: 60.0})
    assert latest(ahead, 7 * DAY_S).exposure == (*live.exposure, (400, 60.0))


def test_no_day_crowds_out_the_others() -> None:
    live = extended(watched(9, 24.0, 40), [(100.0 + n / 1000, 9 * DAY_S + n) for n in range(5000)], [], {9: DAY_S})
    by_day = [sum(int(at_s // DAY_S) == day for _, at_s in live.peaks) for day in range(10)]
    assert by_day == [40] * 9 + [60]
    assert live.peaks == tuple(sorted(live.peaks, reverse=True))


def test_spans_are_left_out_with_or_without_their_time() -> None:
    live = watched(2, 24.0)
    spans = [(DAY_S, DAY_S + 1.5), (5 * DAY_S, float("inf"))]
    assert without(live, spans, watched=True).exposure == live.exposure
    left = without(live, spans, watched=False)
    assert left.exposure == ((0, DAY_S), (1, DAY_S - 1.5))
    assert sorted(at_s for _, at_s in left.peaks) == [0.0, 1.0, 2.0, DAY_S + 2.0]
