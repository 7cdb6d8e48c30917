"""Drift: a slow change is told once, a thing or a noisy day is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.events.drift import DriftChange, DriftMonitor

USUAL, CALM = 8.0, 10.0
HOUR_S = 3600.0


def told(monitor: DriftMonitor, lows: np.ndarray, step_s: float = 10.0, start_s: float = 0.0) -> list[DriftChange]:
    changes = (monitor.observe(float(low), start_s + n * step_s) for n, low in enumerate(lows))
    return [change for change in changes if change]


def test_a_day_as_learned_is_no_drift() -> None:
    noise = np.random.default_rng(0).lognormal(np.log(USUAL), 0.1, 8640)
    monitor = DriftMonitor(USUAL, CALM)
    assert told(monitor, noise) == []
    assert monitor.ratio == pytest.approx(1.0, abs=0.05)


def test_dust_is_told_once_and_so_is_the_cleaned_lens() -> None:
    monitor = DriftMonitor(USUAL, CALM)
    dusty = told(monitor, np.linspace(USUAL, 1.5 * USUAL, 3 * 8640))
    assert [change.active for change in dusty] == [True]
    assert dusty[0].ratio == pytest.approx(CALM / USUAL, rel=0.01)
    clean = told(monitor, np.full(8640, USUAL), start_s=3 * 86_400.0)
    assert [change.active for change in clean] == [False]


def test_a_minute_far_out_is_no_drift() -> None:
    """What jumps is tampering or an event, and not asked here; but should it be, a minute is not a trend."""
    lows = np.full(1000, USUAL)
    lows[500:506] = 4 * USUAL
    assert told(DriftMonitor(USUAL, CALM), lows) == []


def test_the_first_frame_after_a_night_offline_is_one_frame() -> None:
    monitor = DriftMonitor(USUAL, CALM)
    monitor.observe(USUAL, 0.0)
    assert monitor.observe(3 * USUAL, 12 * HOUR_S) is None
    assert monitor.ratio < 1.05


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=200), st.floats(1, 1000))
def test_changes_alternate_and_the_ratio_stays_within_what_was_seen(lows: list[float], step_s: float) -> None:
    monitor = DriftMonitor(USUAL, CALM)
    changes = told(monitor, np.array(lows), step_s)
    assert [change.active for change in changes] == [n % 2 == 0 for n in range(len(changes))]
    seen = [1.0, *(low / USUAL for low in lows)]
    assert min(seen) - 1e-9 <= monitor.ratio <= max(seen) + 1e-9


def test_a_usual_spread_above_the_calm_one_is_refused() -> None:
    with pytest.raises(ValueError, match="usual"):
        DriftMonitor(2.0, 1.0)
