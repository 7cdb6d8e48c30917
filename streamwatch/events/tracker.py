"""One camera's events: the state machine, dressed with ids, regions and records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from streamwatch.events.decision import NORMAL, Change, Ended, Phase, Rules, Sample, Started, State, force_end, step
from streamwatch.events.region import boxes_over, centre_of
from streamwatch.records import BoolGrid, Event, EventChange, Float32Array, FrameScore, Peak

IdFactory = Callable[[float], str]


def _always(_wall_s: float) -> bool:
    return True


@dataclass(frozen=True)
class Judgement:
    """By what a zone's events are judged.

    Attributes:
        rules: what opens and closes them.
        alert_threshold: a peak from here on is an ``alert``.
        provisional: the thresholds are extrapolated.
        cells: (h, w) True where the zone's cells are; None for the whole picture.
        armed: told a Unix time, whether events may be; while not, what is open ends.
    """

    rules: Rules
    alert_threshold: float = float("inf")
    provisional: bool = False
    cells: BoolGrid | None = None
    armed: Callable[[float], bool] = field(default=_always, compare=False)

    def peak_of(self, sample: Sample, scored: FrameScore) -> Peak:
        """The frame as a peak: where in the zone, and why, if the frame's strongest cell is in the zone."""
        grid, strongest = self.grid_of(scored), int(scored.level_grid.argmax())
        threshold = min(self.rules.end_threshold, sample.score)
        inside = self.cells is None or bool(self.cells.flat[strongest])
        return Peak(
            sample.score,
            sample.wall_s,
            sample.time_s,
            boxes_over(grid, threshold),
            scored.evidence if inside else (),
            scored.levels if inside else (),
            centre_of(strongest, grid.shape) if inside else None,
            float((grid >= threshold).mean()),
        )

    def grid_of(self, scored: FrameScore) -> Float32Array:
        """The frame's map, 0 outside the zone."""
        return scored.level_grid if self.cells is None else scored.level_grid * self.cells


class EventTracker:
    """Turns one (camera, zone)'s scores into event changes.

    Args:
        new_id: makes an event id from a Unix time.
    """

    def __init__(self, camera: str, judgement: Judgement, *, new_id: IdFactory, zone: str = "") -> None:
        self._camera, self.zone = camera, zone
        self._judgement, self._new_id = judgement, new_id
        self._state: State = NORMAL
        self._event: Event | None = None
        self._previous_id: str | None = None
        self._peak: Peak | None = None
        self._last_wall_s = 0.0

    @property
    def start_threshold(self) -> float:
        """The score from which an event may open."""
        return self._judgement.rules.start_threshold

    @property
    def end_threshold(self) -> float:
        """The score below which nothing is out of the ordinary."""
        return self._judgement.rules.end_threshold

    @property
    def provisional(self) -> bool:
        """Whether its thresholds are extrapolated."""
        return self._judgement.provisional

    def retune(self, judgement: Judgement) -> None:
        """Decide by other rules from now on; what is pending or open goes on."""
        self._judgement = judgement

    @property
    def open_event(self) -> Event | None:
        """The event that is open now."""
        return self._event

    @property
    def at_peak(self) -> bool:
        """Whether the last sample is the highest so far of what is pending or open."""
        return self._state.peak is not None and self._state.peak.wall_s == self._last_wall_s

    @property
    def holds(self) -> bool:
        """Whether the last sample is part of what is pending or open, and over the end threshold."""
        last = self._state.last_above
        return last is not None and last.wall_s == self._last_wall_s

    @property
    def idle(self) -> bool:
        """Whether nothing is pending or open."""
        return self._state.phase is Phase.NORMAL

    @property
    def cells(self) -> BoolGrid | None:
        """The cells of its zone; None for the whole picture."""
        return self._judgement.cells

    def level_of(self, scored: FrameScore) -> float:
        """What of a frame is compared with the thresholds."""
        return scored.level_in(self._judgement.cells)

    def observe(self, scored: FrameScore) -> list[EventChange]:
        """Advance by one scored frame."""
        frame = scored.frame
        if not self._judgement.armed(frame.wall_s):
            return self.force_end("normal", frame.wall_s)
        sample = Sample(frame.wall_s, frame.time_s, scored.level_in(self._judgement.cells))
        self._last_wall_s = frame.wall_s
        self._state, changes = step(self._state, sample, self._judgement.rules)
        if changes and isinstance(changes[0], Ended):
            ended = [self._apply(changes[0], frame.wall_s)]
            self._note_peak(sample, scored)
            return ended + [self._apply(change, frame.wall_s) for change in changes[1:]]
        self._note_peak(sample, scored)
        return [self._apply(change, frame.wall_s) for change in changes] or self._updates(frame.wall_s)

    def force_end(self, reason: str, wall_s: float) -> list[EventChange]:
        """End what is open, for one of DESIGN section 8's reasons."""
        self._state, changes = force_end(self._state, reason)
        return [self._apply(change, wall_s) for change in changes]

    def _note_peak(self, sample: Sample, scored: FrameScore) -> None:
        if self._state.peak is sample:
            self._peak = self._judgement.peak_of(sample, scored)

    def _updates(self, at_wall_s: float) -> list[EventChange]:
        """An open event that has become an alert is told at once."""
        peak = self._state.peak
        if self._event is None or peak is None or self._severity(peak) == self._event.severity:
            return []
        self._event = replace(self._event, peak=self._peak_at(peak), severity=self._severity(peak))
        return [EventChange("anomaly.updated", self._event, at_wall_s)]

    def _severity(self, peak: Sample) -> str:
        """An alert stays one, whatever the thresholds become."""
        was_alert = self._event is not None and self._event.severity == "alert"
        return "alert" if was_alert or peak.score >= self._judgement.alert_threshold else "warning"

    def _peak_at(self, sample: Sample) -> Peak:
        """The peak as it was noted when ``sample`` came."""
        if self._peak is None:
            raise AssertionError("a peak that was never noted")
        return replace(self._peak, score=sample.score, wall_s=sample.wall_s, time_s=sample.time_s)

    def _apply(self, change: Change, at_wall_s: float) -> EventChange:
        if isinstance(change, Started):
            return EventChange("anomaly.started", self._start(change), at_wall_s)
        return EventChange("anomaly.ended", self._end(change), at_wall_s)

    def _start(self, change: Started) -> Event:
        self._event = Event(
            id=self._new_id(change.began.wall_s),
            camera=self._camera,
            zone=self.zone,
            start_wall_s=change.began.wall_s,
            start_time_s=change.began.time_s,
            peak=self._peak_at(change.peak),
            start_threshold=self._judgement.rules.start_threshold,
            end_threshold=self._judgement.rules.end_threshold,
            predecessor_id=self._previous_id if change.successor else None,
            severity=self._severity(change.peak),
            provisional=self._judgement.provisional,
        )
        return self._event

    def _end(self, change: Ended) -> Event:
        if self._event is None:
            raise AssertionError("an event ended that never started")
        ended = replace(
            self._event,
            end_wall_s=change.ended.wall_s,
            end_time_s=change.ended.time_s,
            peak=self._peak_at(change.peak),
            reason=change.reason,
            severity=self._severity(change.peak),
        )
        self._event, self._previous_id = None, ended.id
        return ended
