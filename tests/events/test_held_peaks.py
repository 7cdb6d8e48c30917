"""Held peaks: what a field held, exactly as the state machine asks, and one peak for what stands there for an hour."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwatch.events.decision import EventPolicy
from streamwatch.events.held_peaks import HoldRules, critical_levels, held_levels, held_peaks
from streamwatch.events.peaks import alarms
from streamwatch.records import ScoreStream

STEP_S, END_TO_START = 0.5, 0.95
RATE_HZ = 10


def stream_of(levels: list[float], step_s: float = STEP_S) -> ScoreStream:
    return ScoreStream(np.arange(len(levels), dtype=np.float64) * step_s, np.array(levels, dtype=np.float64))


def machine(start: float, rules: HoldRules) -> EventPolicy:
    ended = END_TO_START * start
    return EventPolicy(start, ended, rules.min_duration_s, rules.end_delay_s, rules.closing_s)


values = st.lists(st.sampled_from([0.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0]), min_size=1, max_size=80)
durations = st.sampled_from([0.0, 0.5, 1.0, 1.5, 3.0])


@settings(max_examples=800)
@given(values, durations, durations, st.sampled_from([1.0, 4.0, 8.0]))
def test_at_every_threshold_as_many_peaks_reach_it_as_the_state_machine_raises_alarms(
    levels: list[float], min_s: float, delay_s: float, cooldown_s: float
) -> None:
    stream = stream_of(levels)
    rules = HoldRules(END_TO_START, min_s, delay_s, max(delay_s, cooldown_s))
    peaks = held_peaks([stream], rules, at_most=1000)
    assert peaks == sorted(peaks, reverse=True)
    for start in (4.5, 5.5, 7.0, 9.0, 11.0, 13.0, 17.0):
        count = len(alarms(stream, machine(start, rules)))
        reaching = sum(peak >= start for peak in peaks)
        assert reaching >= count
        assert (reaching > 0) == (count > 0)


@given(values, durations)
def test_held_levels_are_the_lowest_of_the_window(levels: list[float], min_s: float) -> None:
    stream = stream_of(levels)
    held = held_levels(stream, min_s)
    for index, at_s in enumerate(stream.at_s):
        window = [level for t, level in zip(stream.at_s, levels, strict=True) if at_s <= t <= at_s + min_s]
        whole = stream.at_s[-1] >= at_s + min_s
        assert held[index] == (min(window) if whole else 0.0)


def test_a_spike_is_worth_what_holds_after_it() -> None:
    levels = [5.0] * 40
    levels[20] = 500.0
    rules = HoldRules(END_TO_START)
    assert critical_levels(stream_of(levels, 0.1), rules).max() == pytest.approx(5.0 / END_TO_START)
    assert held_peaks([stream_of(levels, 0.1)], rules, at_most=10) == pytest.approx([5.0 / END_TO_START])


def test_a_thing_that_stands_there_for_an_hour_is_one_peak() -> None:
    rng = np.random.default_rng(0)
    levels = rng.normal(5, 0.3, 2 * 3600 * RATE_HZ)
    levels[:: 600 * RATE_HZ] = 1.0  # whatever is normal in between
    levels[3600 * RATE_HZ :] += 20.0
    peaks = held_peaks([ScoreStream(np.arange(len(levels)) / RATE_HZ, levels)], HoldRules(END_TO_START), at_most=1000)
    assert sum(peak > 15 for peak in peaks) == 1


def test_an_event_goes_on_over_a_short_gap_of_the_footage() -> None:
    first = ScoreStream(np.arange(0, 10, 0.1), np.full(100, 9.0))
    soon, later = (ScoreStream(np.arange(at, at + 10, 0.1), np.full(100, 9.0)) for at in (15.0, 100.0))
    rules = HoldRules(END_TO_START)
    assert len(held_peaks([first, soon], rules, at_most=10)) == 1
    assert len(held_peaks([first, later], rules, at_most=10)) == 2
    assert held_peaks([], rules, at_most=10) == []
