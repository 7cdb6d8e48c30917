"""A stream's alarms are the state machine's own, and its peaks never promise fewer than there are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwatch.events.decision import NORMAL, EventPolicy, Sample, Started, step
from streamwatch.events.peaks import alarms, event_peaks
from streamwatch.records import ScoreStream

END, STEP_S = 5.0, 0.5


def stream_of(levels: list[float]) -> ScoreStream:
    return ScoreStream(np.arange(len(levels), dtype=np.float64) * STEP_S, np.array(levels, dtype=np.float64))


def rules_of(start: float, min_s: float, delay_s: float, cooldown_s: float) -> EventPolicy:
    return EventPolicy(start, END, min_duration_s=min_s, end_delay_s=delay_s, cooldown_s=cooldown_s)


streams = st.lists(st.sampled_from([0.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0]), min_size=1, max_size=80)
durations = st.sampled_from([0.0, 0.5, 1.0, 1.5, 3.0])


@settings(max_examples=400)
@given(streams, st.sampled_from([5.5, 8.0, 11.0]), durations, durations, st.sampled_from([0.0, 1.0, 4.0, 8.0]))
def test_alarms_are_those_of_stepping_through_every_sample(
    levels: list[float], start: float, min_s: float, delay_s: float, cooldown_s: float
) -> None:
    rules, stream = rules_of(start, min_s, delay_s, cooldown_s), stream_of(levels)
    state, began = NORMAL, []
    for at_s, level in zip(stream.at_s, levels, strict=True):
        state, changes = step(state, Sample(float(at_s), float(at_s), level), rules)
        began += [c.began.wall_s for c in changes if isinstance(c, Started)]
    assert [alarm.start_s for alarm in alarms(stream, rules)] == began


@settings(max_examples=600)
@given(streams, durations, durations, st.sampled_from([0.0, 1.0, 4.0, 8.0]))
def test_at_every_threshold_as_many_peaks_reach_it_as_there_are_alarms(
    levels: list[float], min_s: float, delay_s: float, cooldown_s: float
) -> None:
    stream = stream_of(levels)
    peaks = event_peaks(stream, rules_of(END + 0.1, min_s, delay_s, cooldown_s))
    assert peaks == sorted(peaks, reverse=True)
    for start in (5.5, 7.0, 9.0, 11.0, 13.0):
        count = len(alarms(stream, rules_of(start, min_s, delay_s, cooldown_s)))
        reaching = sum(peak >= start for peak in peaks)
        assert reaching >= count
        assert (reaching > 0) == (count > 0)


def test_exposure_leaves_gaps_out() -> None:
    at_s = np.concatenate([np.arange(0, 10, 0.2), np.arange(100, 110, 0.2)])
    assert ScoreStream(at_s, np.zeros(len(at_s))).exposure_s == pytest.approx(20.4, abs=0.3)
    assert ScoreStream(at_s[:1], np.zeros(1)).exposure_s == 0
    with pytest.raises(ValueError, match="shape"):
        ScoreStream(at_s, np.zeros(3))
