"""One camera's events: the state machine, dressed with ids, regions and records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from streamwatch.events.decision import NORMAL, Change, Ended, Rules, Sample, Started, State, force_end, step
from streamwatch.events.region import boxes_over
from streamwatch.records import Box, Event, EventChange, FrameScore, Peak

IdFactory = Callable[[float], str]


class EventTracker:
    """Turns one (camera, zone)'s scores into event changes.

    Args:
        new_id: makes an event id from a Unix time.
    """

    def __init__(self, camera: str, rules: Rules, *, new_id: IdFactory, zone: str = "") -> None:
        self._camera, self._zone = camera, zone
        self._rules, self._new_id = rules, new_id
        self._state: State = NORMAL
        self._event: Event | None = None
        self._previous_id: str | None = None
        self._boxes: tuple[Box, ...] = ()
        self._fields: tuple[tuple[str, float], ...] = ()
        self._last_wall_s = 0.0

    @property
    def start_threshold(self) -> float:
        """The score from which an event may open."""
        return self._rules.start_threshold

    def retune(self, rules: Rules) -> None:
        """Decide by other rules from now on; what is pending or open goes on."""
        self._rules = rules

    @property
    def open_event(self) -> Event | None:
        """The event that is open now."""
        return self._event

    @property
    def at_peak(self) -> bool:
        """Whether the last sample is the highest so far of what is pending or open."""
        return self._state.peak is not None and self._state.peak.wall_s == self._last_wall_s

    def observe(self, scored: FrameScore) -> list[EventChange]:
        """Advance by one scored frame."""
        frame = scored.frame
        sample = Sample(frame.wall_s, frame.time_s, scored.level)
        self._last_wall_s = frame.wall_s
        self._state, changes = step(self._state, sample, self._rules)
        if changes and isinstance(changes[0], Ended):
            ended = [self._apply(changes[0], frame.wall_s)]
            self._note_peak(sample, scored)
            return ended + [self._apply(change, frame.wall_s) for change in changes[1:]]
        self._note_peak(sample, scored)
        return [self._apply(change, frame.wall_s) for change in changes]

    def force_end(self, reason: str, wall_s: float) -> list[EventChange]:
        """End what is open, for one of DESIGN section 8's reasons."""
        self._state, changes = force_end(self._state, reason)
        return [self._apply(change, wall_s) for change in changes]

    def _note_peak(self, sample: Sample, scored: FrameScore) -> None:
        if self._state.peak is sample:
            self._boxes = boxes_over(scored.level_grid, min(self._rules.end_threshold, scored.level))
            self._fields = scored.evidence

    def _peak(self, sample: Sample) -> Peak:
        return Peak(sample.score, sample.wall_s, sample.time_s, self._boxes, self._fields)

    def _apply(self, change: Change, at_wall_s: float) -> EventChange:
        if isinstance(change, Started):
            return EventChange("anomaly.started", self._start(change), at_wall_s)
        return EventChange("anomaly.ended", self._end(change), at_wall_s)

    def _start(self, change: Started) -> Event:
        self._event = Event(
            id=self._new_id(change.began.wall_s),
            camera=self._camera,
            zone=self._zone,
            start_wall_s=change.began.wall_s,
            start_time_s=change.began.time_s,
            peak=self._peak(change.peak),
            start_threshold=self._rules.start_threshold,
            end_threshold=self._rules.end_threshold,
            predecessor_id=self._previous_id if change.successor else None,
        )
        return self._event

    def _end(self, change: Ended) -> Event:
        if self._event is None:
            raise AssertionError("an event ended that never started")
        ended = replace(
            self._event,
            end_wall_s=change.ended.wall_s,
            end_time_s=change.ended.time_s,
            peak=self._peak(change.peak),
            reason=change.reason,
        )
        self._event, self._previous_id = None, ended.id
        return ended
