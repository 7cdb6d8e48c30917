"""The figures an operator needs: what the daemon's own events would have been on the test clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamwatch.evaluation.frame_figures import ClipScores, intervals
from streamwatch.events.decision import EventPolicy
from streamwatch.events.peaks import Alarm, alarms
from streamwatch.model.calibration.thresholds import END_TO_START
from streamwatch.records import ScoreStream

MIN_DURATION_S, END_DELAY_S, COOLDOWN_S = 1.0, 2.0, 2.0


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
class WatchedClip:
    """What was raised in one stretch of footage, and what should have been.

    Attributes:
        spans: (start, end) of every anomalous interval, seconds.
    """

    alarms: Sequence[Alarm]
    spans: Sequence[tuple[float, float]]
    duration_s: float


def alarms_of(clip: ClipScores) -> list[Alarm]:
    """The events that the daemon's state machine makes of a clip's levels."""
    rules = EventPolicy(clip.threshold, END_TO_START * clip.threshold, MIN_DURATION_S, END_DELAY_S, COOLDOWN_S)
    return alarms(ScoreStream(clip.time_s.astype(np.float64), clip.levels.astype(np.float64)), rules)


def alarm_figures(clips: Sequence[ClipScores]) -> AlarmFigures:
    """Figures over all clips, at each one's threshold."""
    return figures_of(
        [
            WatchedClip(
                alarms_of(clip),
                [(float(clip.time_s[a]), float(clip.time_s[b])) for a, b in intervals(clip.labels)],
                float(clip.time_s[-1]) if len(clip.time_s) else 0.0,
            )
            for clip in clips
        ]
    )


def figures_of(clips: Sequence[WatchedClip]) -> AlarmFigures:
    """Figures of any alarms against any intervals."""
    events = true = found = truths = 0
    delays: list[float] = []
    for clip in clips:
        events, truths = events + len(clip.alarms), truths + len(clip.spans)
        true += sum(any(alarm.start_s <= b and a <= alarm.end_s for a, b in clip.spans) for alarm in clip.alarms)
        for a, b in clip.spans:
            hits = [alarm for alarm in clip.alarms if alarm.start_s <= b and a <= alarm.end_s]
            found += bool(hits)
            delays += [max(0.0, min(alarm.opened_s for alarm in hits) - a)] if hits else []
    hours = sum(clip.duration_s for clip in clips) / 3600
    return AlarmFigures(
        events,
        true / events if events else None,
        found / truths if truths else None,
        (events - true) / hours if hours else None,
        float(np.median(delays)) if delays else None,
    )
