"""The figures an operator needs: what the daemon's own events would have been on the test clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamwatch.evaluation.frame_figures import ClipScores, intervals
from streamwatch.events.decision import NORMAL, Ended, Rules, Sample, Started, force_end, step

MIN_DURATION_S, END_DELAY_S, COOLDOWN_S = 1.0, 2.0, 2.0
_END_TO_START = 0.95


@dataclass(frozen=True, slots=True)
class AlarmFigures:
    """Events against labelled intervals at the model's own threshold, from normal footage alone.

    Attributes:
        precision: share of events that overlap an anomalous interval.
        recall: share of anomalous intervals that an event overlaps.
        false_alarms_per_hour: events that overlap none, per camera-hour of test footage.
        delay_s: median seconds from an interval's start to the moment its event opened (0 if it was open).
    """

    events: int
    precision: float | None
    recall: float | None
    false_alarms_per_hour: float | None
    delay_s: float | None


@dataclass(frozen=True, slots=True)
class Alarm:
    """One event: its span, and the moment it opened."""

    start_s: float
    end_s: float
    opened_s: float


def alarms_of(clip: ClipScores) -> list[Alarm]:
    """The events that the daemon's state machine makes of a clip's levels."""
    rules = Rules(clip.threshold, _END_TO_START * clip.threshold, MIN_DURATION_S, END_DELAY_S, COOLDOWN_S)
    state, opened_s, alarms = NORMAL, 0.0, list[Alarm]()
    for time_s, score in zip(clip.time_s.tolist(), clip.levels.tolist(), strict=True):
        state, changes = step(state, Sample(time_s, time_s, score), rules)
        for change in changes:
            if isinstance(change, Started):
                opened_s = time_s
            else:
                alarms.append(_alarm(change, opened_s))
    return alarms + [_alarm(change, opened_s) for change in force_end(state, "normal")[1] if isinstance(change, Ended)]


def _alarm(change: Ended, opened_s: float) -> Alarm:
    return Alarm(change.began.time_s, change.ended.time_s, opened_s)


def alarm_figures(clips: Sequence[ClipScores]) -> AlarmFigures:
    """Figures over all clips."""
    events = true = found = truths = 0
    delays: list[float] = []
    for clip in clips:
        alarms = alarms_of(clip)
        spans = [(clip.time_s[a], clip.time_s[b]) for a, b in intervals(clip.labels)]
        events, truths = events + len(alarms), truths + len(spans)
        true += sum(any(alarm.start_s <= b and a <= alarm.end_s for a, b in spans) for alarm in alarms)
        for a, b in spans:
            hits = [alarm for alarm in alarms if alarm.start_s <= b and a <= alarm.end_s]
            found += bool(hits)
            delays += [max(0.0, min(alarm.opened_s for alarm in hits) - a)] if hits else []
    hours = sum(float(clip.time_s[-1]) for clip in clips if len(clip.time_s)) / 3600
    return AlarmFigures(
        events,
        true / events if events else None,
        found / truths if truths else None,
        (events - true) / hours if hours else None,
        float(np.median(delays)) if delays else None,
    )
