"""One camera's events: the state machine, dressed with ids, regions and records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from streamwatch.enums import EndReason, EventType, Severity
from streamwatch.events.decision import NORMAL, Change, Ended, EventPolicy, Sample, Stage, Started, State, force_end, step
from streamwatch.events.region import boxes_over, centre_of
from streamwatch.records import BoolGrid, Event, EventChange, Float32Array, Peak, Reason
from streamwatch.scores import FrameScore

IdFactory = Callable[[float], str]


def _always(_wall_s: float) -> bool:
    return True


@dataclass(frozen=True)
class FieldJudge:
    """By what one field of a zone is judged, to say why an event was raised.

    Attributes:
        name: of the field; empty for a model whose fields are judged together.
        threshold, highest_held: in the field's own unit: where it opens an event, and what normal footage held at most.
        footage_s: seconds of it.
        days_between: told a value, how many days pass until normal footage holds it again; None if that cannot be told.
    """

    name: str
    threshold: float
    highest_held: float
    footage_s: float
    days_between: Callable[[float], float | None] = field(compare=False)


@dataclass(frozen=True)
class ZonePolicy:
    """By what a zone's events are judged.

    Attributes:
        event_policy: what opens and closes them.
        alert_threshold: a peak from here on is an ``alert``.
        provisional: the thresholds are extrapolated.
        cells: (h, w) True where the zone's cells are; None for the whole picture.
        judges: of its fields; none where a threshold was given by hand.
        armed: told a Unix time, whether events may be; while not, what is open ends.
    """

    event_policy: EventPolicy
    alert_threshold: float = float("inf")
    provisional: bool = False
    cells: BoolGrid | None = None
    judges: tuple[FieldJudge, ...] = ()
    armed: Callable[[float], bool] = field(default=_always, compare=False)

    def peak_of(self, sample: Sample, scored: FrameScore) -> Peak:
        """The frame as a peak: where in the zone, and why, if the frame's strongest cell is in the zone."""
        grid, strongest = self.grid_of(scored), int(scored.level_grid.argmax())
        threshold = min(self.event_policy.end_threshold, sample.score)
        inside = self.cells is None or bool(self.cells.flat[strongest])
        return Peak(
            sample.score,
            sample.wall_s,
            sample.time_s,
            boxes_over(grid, threshold),
            scored.fields if inside else (),
            scored.layers if inside else (),
            centre_of(strongest, grid.shape) if inside else None,
            float((grid >= threshold).mean()),
            self._reason(scored),
        )

    def _reason(self, scored: FrameScore) -> Reason | None:
        """Of the field that is furthest over its own threshold in the zone."""
        highest = dict(self.highest_of(scored))
        spoken = [(judge, highest[judge.name]) for judge in self.judges if judge.name in highest]
        if not spoken:
            return None
        judge, value = max(spoken, key=lambda pair: pair[1] / pair[0].threshold)
        return Reason(judge.name, value, judge.threshold, judge.highest_held, judge.footage_s)

    def told(self, peak: Peak) -> Peak:
        """A peak that is about to be told, with how rare it is: too much to compute for each that another one outgrows."""
        judge = next((judge for judge in self.judges if peak.reason and judge.name == peak.reason.field), None)
        if judge is None or peak.reason is None:
            return peak
        return replace(peak, reason=replace(peak.reason, days_between=judge.days_between(peak.reason.value)))

    def grid_of(self, scored: FrameScore) -> Float32Array:
        """The frame's map (h, w), 0 outside the zone."""
        return scored.level_grid if self.cells is None else scored.level_grid * self.cells

    def level_of(self, scored: FrameScore) -> float:
        """What of a frame is compared with the thresholds."""
        return scored.level_in(self.cells)

    def highest_of(self, scored: FrameScore) -> tuple[tuple[str, float], ...]:
        """By field, the highest of a frame in the zone."""
        return scored.highest_in(self.cells).measures


@dataclass(frozen=True, slots=True)
class ZoneObservation:
    """What one frame did in one zone.

    Attributes:
        name: of the zone; empty for the picture outside of named zones.
        cells: (h, w) True where its cells are; None for the whole picture.
        changes: of its events, in order.
        lasts: something is, or just was, pending or open.
        holds: the frame is part of it, and over the end threshold.
        at_peak: the frame is the strongest of it so far.
        idle: nothing is pending or open any more.
        cut: what was pending before was of another segment, and is forgotten.
        highest: by field, the highest that it measured in the zone; empty while the zone is not armed.
    """

    name: str
    level: float
    cells: BoolGrid | None
    changes: tuple[EventChange, ...]
    lasts: bool
    holds: bool
    at_peak: bool
    idle: bool
    cut: bool = False
    highest: tuple[tuple[str, float], ...] = ()


class EventTracker:
    """Turns one (camera, zone)'s scores into event changes.

    Args:
        new_id: makes an event id from a Unix time.
    """

    def __init__(self, camera: str, policy: ZonePolicy, *, new_id: IdFactory, zone: str = "") -> None:
        self._camera, self.zone = camera, zone
        self._policy, self._new_id = policy, new_id
        self._state: State = NORMAL
        self._event: Event | None = None
        self._previous_id: str | None = None
        self._peak: Peak | None = None
        self._last_wall_s = 0.0

    @property
    def policy(self) -> ZonePolicy:
        """By what it decides."""
        return self._policy

    def retune(self, policy: ZonePolicy) -> None:
        """Decide by other rules from now on; what is pending or open goes on."""
        self._policy = policy

    @property
    def open_event(self) -> Event | None:
        """The event that is open now."""
        return self._event

    @property
    def idle(self) -> bool:
        """Whether nothing is pending or open."""
        return self._state.stage is Stage.NORMAL

    def advance(self, scored: FrameScore) -> ZoneObservation:
        """Advance by one scored frame, and say all that it did."""
        lasted, before = not self.idle, self._state
        changes = tuple(self.observe(scored))
        last, peak, now_s = self._state.last_above, self._state.peak, self._last_wall_s
        return ZoneObservation(
            self.zone,
            self._policy.level_of(scored),
            self._policy.cells,
            changes,
            lasts=lasted or not self.idle,
            holds=last is not None and last.wall_s == now_s,
            at_peak=peak is not None and peak.wall_s == now_s,
            idle=self.idle,
            cut=before.stage is Stage.PENDING and before.segment != scored.frame.segment,
            highest=self._policy.highest_of(scored) if self._policy.armed(now_s) else (),
        )

    def observe(self, scored: FrameScore) -> list[EventChange]:
        """Advance by one scored frame."""
        frame = scored.frame
        self._last_wall_s = frame.wall_s
        if not self._policy.armed(frame.wall_s):
            return self.force_end(EndReason.NORMAL, frame.wall_s)
        sample = Sample(frame.wall_s, frame.time_s, self._policy.level_of(scored), frame.segment)
        self._state, changes = step(self._state, sample, self._policy.event_policy)
        if changes and isinstance(changes[0], Ended):
            ended = [self._apply(changes[0], frame.wall_s)]
            self._record_peak(sample, scored)
            return ended + [self._apply(change, frame.wall_s) for change in changes[1:]]
        self._record_peak(sample, scored)
        return [self._apply(change, frame.wall_s) for change in changes] or self._updates(frame.wall_s)

    def force_end(self, reason: EndReason, wall_s: float) -> list[EventChange]:
        """End what is open, for a reason that is not its own level; never before its last frame."""
        self._state, changes = force_end(self._state, reason)
        wall_s = max(wall_s, self._last_wall_s)
        return [self._apply(change, wall_s) for change in changes]

    def abandon(self) -> None:
        """Forget what is pending or open, as if it had never been."""
        self._state, self._event, self._peak = NORMAL, None, None

    def _record_peak(self, sample: Sample, scored: FrameScore) -> None:
        if self._state.peak is sample:
            self._peak = self._policy.peak_of(sample, scored)

    def _updates(self, at_wall_s: float) -> list[EventChange]:
        """An open event that has become an alert is told at once."""
        peak = self._state.peak
        if self._event is None or peak is None or _severity(peak, self._policy, self._event) == self._event.severity:
            return []
        self._event = replace(self._event, peak=self._peak_at(peak), severity=_severity(peak, self._policy, self._event))
        return [EventChange(EventType.ANOMALY_UPDATED, self._event, at_wall_s)]

    def _peak_at(self, sample: Sample) -> Peak:
        """The peak as it was noted when ``sample`` came."""
        if self._peak is None:
            raise AssertionError("a peak that was never noted")
        return self._policy.told(replace(self._peak, score=sample.score, wall_s=sample.wall_s, time_s=sample.time_s))

    def _apply(self, change: Change, at_wall_s: float) -> EventChange:
        if isinstance(change, Started):
            self._event = self._started(change)
            return EventChange(EventType.ANOMALY_STARTED, self._event, at_wall_s)
        ended = self._ended(change)
        self._event, self._previous_id = None, ended.id
        return EventChange(EventType.ANOMALY_ENDED, ended, at_wall_s)

    def _started(self, change: Started) -> Event:
        policy = self._policy
        return Event(
            id=self._new_id(change.began.wall_s),
            camera=self._camera,
            zone=self.zone,
            start_wall_s=change.began.wall_s,
            start_time_s=change.began.time_s,
            peak=self._peak_at(change.peak),
            start_threshold=policy.event_policy.start_threshold,
            end_threshold=policy.event_policy.end_threshold,
            predecessor_id=self._previous_id if change.successor else None,
            severity=_severity(change.peak, self._policy, self._event),
            provisional=policy.provisional,
        )

    def _ended(self, change: Ended) -> Event:
        if self._event is None:
            raise AssertionError("an event ended that never started")
        return replace(
            self._event,
            end_wall_s=change.ended.wall_s,
            end_time_s=change.ended.time_s,
            peak=self._peak_at(change.peak),
            reason=change.reason,
            severity=_severity(change.peak, self._policy, self._event),
        )


def _severity(peak: Sample, policy: ZonePolicy, event: Event | None) -> Severity:
    """An alert stays one, whatever the thresholds become."""
    was_alert = event is not None and event.severity == Severity.ALERT
    return Severity.ALERT if was_alert or peak.score >= policy.alert_threshold else Severity.WARNING
