"""The operator's figures, on clips worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from streamwatch.evaluation.alarms import alarm_figures, alarms_of
from streamwatch.evaluation.frame_figures import ClipScores, intervals
from streamwatch.evaluation.svg import curve_plot, timeline


def clip(high: list[tuple[float, float]], truth: list[tuple[float, float]], seconds: float = 60.0) -> ClipScores:
    """Ten frames a second; 12 in the ``high`` spans, else 1; the threshold is 10."""
    time_s = np.arange(round(seconds * 10)) / 10
    inside = [np.any([(a <= time_s) & (time_s <= b) for a, b in spans] or [time_s < 0], axis=0) for spans in (high, truth)]
    levels = np.where(inside[0], 12.0, 1.0)
    return ClipScores("c", levels, levels, inside[1], time_s, 10.0)


def test_found_missed_and_false() -> None:
    figures = alarm_figures([clip(high=[(10, 15), (40, 44)], truth=[(9, 14), (25, 27)])])
    assert figures.events == 2
    assert (figures.precision, figures.recall) == (0.5, 0.5)
    assert figures.false_alarms_per_hour == pytest.approx(60, rel=0.01)
    assert figures.delay_s == pytest.approx(2.0, abs=0.11)  # began a second late, and a second must hold


def test_a_short_crossing_is_no_event() -> None:
    assert alarms_of(clip(high=[(5, 5.5)], truth=[])) == []


def test_an_event_open_at_the_end_counts() -> None:
    assert alarm_figures([clip(high=[(57, 60)], truth=[(57, 60)])]).recall == 1.0


def test_undefined_is_none() -> None:
    figures = alarm_figures([clip(high=[], truth=[])])
    assert (figures.precision, figures.recall, figures.delay_s) == (None, None, None)
    assert figures.false_alarms_per_hour == 0
    assert alarm_figures([]).false_alarms_per_hour is None


def test_intervals() -> None:
    assert intervals(np.array([1, 1, 0, 0, 1], bool)) == [(0, 1), (4, 4)]
    assert intervals(np.array([], bool)) == []


def test_a_timeline_keeps_its_peak_and_shades_the_truth() -> None:
    time_s = np.arange(5000) / 24
    scores = np.ones(5000)
    scores[1234] = 50
    labels = (time_s > 100) & (time_s < 120)
    svg = timeline(time_s, scores, labels, threshold=10)
    heights = [float(point.split(",")[1]) for point in svg.partition('points="')[2].split('"')[0].split()]
    assert min(heights) == pytest.approx(110 * (1 - 1 / 1.08), abs=0.2)
    assert svg.count('class="truth"') == 1


def test_a_curve_is_thinned_and_ends_at_its_limit() -> None:
    x = np.linspace(0, 1, 100_000)
    svg = curve_plot([("a < b", x, np.sqrt(x))], x_label="x", y_label="y", x_limit=0.3)
    assert svg.partition('points="')[2].split('"')[0].count(",") <= 400
    assert "a &lt; b" in svg
