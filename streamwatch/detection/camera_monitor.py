"""What a camera's scored frames come to: events, faults of the picture, drift, another regime.

Pure in the sense that counts: scored frames and the time go in, changes and notices come out; nothing here reads a clock,
touches a file or tells anybody (tests/detection/test_camera_monitor.py states its properties).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from streamwatch.enums import EndReason, EventType, TamperKind
from streamwatch.events.drift import DriftChange, DriftMonitor
from streamwatch.events.tamper import TamperChange, TamperDetector
from streamwatch.events.tracker import EventTracker, ZoneObservation
from streamwatch.ids import uuid7
from streamwatch.records import EventChange, Notice
from streamwatch.scenes.policy import ScenePolicy
from streamwatch.scenes.regimes import RegimeChange, SceneSet
from streamwatch.scores import NO_SPREAD, FrameScore

RELEARN = "if this is how the scene looks from now on, learn it anew with `streamwatch fit`"
IdFactory = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Observation:
    """What one scored frame came to; in the order in which it is told: ``ended``, ``tampered``, ``zones``, ``drifted``.

    Attributes:
        counts: the frame is judged; a picture that cannot be watched, or of another regime, is not.
        quiet: it counts, and no event is open.
        normal: it is below the end threshold everywhere.
        ratio: the level over the start threshold; of zones, the highest.
        ended: events that a fault of the picture ended.
        tamper: the fault that began, or is over.
        drift: (ratio, limit) of the scene's slow change; None if it was not followed.
        regime_due: another scene is to be taken up before the next batch.
        regime: of the scene that scored the frame; None where regimes are not told apart.
    """

    counts: bool
    quiet: bool
    normal: bool
    ratio: float
    ended: tuple[EventChange, ...] = ()
    tamper: TamperChange | None = None
    tampered: Notice | None = None
    zones: tuple[ZoneObservation, ...] = ()
    drift: tuple[float, float] | None = None
    drifted: Notice | None = None
    regime_due: bool = False
    regime: str | None = None


@dataclass
class CameraMonitor:
    """Watches one camera; touched by one thread.

    Attributes:
        trackers: one for every zone, that of the picture outside of named zones first.
        max_age_s: a frame older than this is stale; None for recordings, which are never dropped.
        drift: None for a model that does not say what spread is usual.
        scenes: None for a model that does not say which regime it is of.
        new_id: makes a notice's id from a Unix time.
        owner: the thread that touches it; None passes it to the next one.
    """

    camera: str
    trackers: Sequence[EventTracker]
    tamper: TamperDetector
    max_age_s: float | None = None
    drift: DriftMonitor | None = None
    scenes: SceneSet | None = None
    new_id: IdFactory = field(default=uuid7)
    owner: int | None = None

    @property
    def start_threshold(self) -> float:
        """Of the picture outside of named zones."""
        return self.trackers[0].policy.event_policy.start_threshold

    def observe(self, scored: FrameScore, now_wall_s: float) -> Observation:
        """Advance by one scored frame.

        Args:
            now_wall_s: Unix time, of what ends by force.

        Raises:
            AssertionError: two threads touch it.
        """
        self._touch()
        frame = scored.frame
        shown = self.scenes is None or self.scenes.shows(frame)
        size_px = (frame.picture.width, frame.picture.height) if frame.picture else None
        tamper = self.tamper.observe(frame.pixels, frame.wall_s, size_px, scored.spread if shown else NO_SPREAD)
        ended = self.force_end(EndReason.TAMPER, now_wall_s) if tamper and tamper.active else []
        counts = shown and not self.tamper.blinded  # a bad picture is a fault, and its scores mean nothing
        zones = tuple(tracker.advance(scored) for tracker in self.trackers) if counts else ()
        followed, drifted = self._follow_drift(scored) if counts else (None, None)
        return Observation(
            counts,
            quiet=counts and not self._event_is_open,
            normal=all(
                tracker.policy.level_of(scored) < tracker.policy.event_policy.end_threshold for tracker in self.trackers
            ),
            ratio=max(_ratio(tracker, scored) for tracker in self.trackers),
            ended=tuple(ended),
            tamper=tamper,
            tampered=self._tamper_notice(tamper) if tamper else None,
            zones=zones,
            drift=followed,
            drifted=drifted,
            regime_due=self.scenes is not None and self.scenes.due,
            regime=self.scenes.watching if self.scenes else None,
        )

    def force_end(self, reason: EndReason, now_wall_s: float) -> list[EventChange]:
        """End what is open in every zone."""
        self._touch()
        return [change for tracker in self.trackers for change in tracker.force_end(reason, now_wall_s)]

    @property
    def open_ids(self) -> frozenset[str]:
        """Of its open events."""
        return frozenset(tracker.open_event.id for tracker in self.trackers if tracker.open_event and not tracker.idle)

    def abandon_untold(self, told: Collection[str]) -> None:
        """Forget open events of which nobody was told, because a fault came between."""
        self._touch()
        for tracker in self.trackers:
            if tracker.open_event and (tracker.idle or tracker.open_event.id not in told):
                tracker.abandon()

    def retune(self, first: ScenePolicy, by_regime: Mapping[str, ScenePolicy]) -> ScenePolicy | None:
        """Decide by other policies from now on, what is open stays open; the one that holds now, if any does."""
        self._touch()
        policy = self.scenes.retune(by_regime) if self.scenes else first
        if policy:
            self._decide_by(policy)
        return policy

    def take_up_regime(self) -> RegimeChange | None:
        """Watch by the scene of the regime that is due; what is open is to be ended before."""
        self._touch()
        change = self.scenes.take_up() if self.scenes else None
        if change and change.policy:
            self._decide_by(change.policy)
            self.tamper.follow_scene(change.policy.calm_spread)
            self.drift = change.policy.drift
        return change

    def restart(self) -> None:
        """The camera was silent, and is back."""
        self._touch()
        self.tamper.restart()

    def _touch(self) -> None:
        thread = threading.get_ident()
        if self.owner not in (None, thread):
            raise AssertionError(f"the monitor of camera {self.camera} is touched by two threads")
        self.owner = thread

    @property
    def _event_is_open(self) -> bool:
        return any(tracker.open_event is not None for tracker in self.trackers)

    def _decide_by(self, policy: ScenePolicy) -> None:
        for tracker in self.trackers:
            tracker.retune(policy.policies[tracker.zone])

    def _follow_drift(self, scored: FrameScore) -> tuple[tuple[float, float] | None, Notice | None]:
        """An event says that the scene is not as usual, which is known; drift is what is so outside of events."""
        if self.drift is None or self._event_is_open:
            return None, None
        change = self.drift.observe(scored.spread.low, scored.frame.wall_s)
        notice = self._drift_notice(change, scored.frame.wall_s) if change else None
        return (self.drift.ratio, self.drift.limit), notice

    def _tamper_notice(self, change: TamperChange) -> Notice:
        relearn = change.active and change.kind == TamperKind.GLOBAL_SCENE_CHANGE
        detail = {"tamper": change.kind.value, "active": change.active, **({"hint": RELEARN} if relearn else {})}
        return self._notice(EventType.CAMERA_TAMPER, change.since_wall_s, detail)

    def _drift_notice(self, change: DriftChange, at_wall_s: float) -> Notice:
        figures = {"active": change.active, "ratio": round(change.ratio, 3), "limit": round(change.limit, 3)}
        return self._notice(EventType.MODEL_DRIFT, at_wall_s, {**figures, **({"hint": RELEARN} if change.active else {})})

    def _notice(self, kind: EventType, at_wall_s: float, detail: Mapping[str, str | float | bool]) -> Notice:
        return Notice(self.new_id(at_wall_s), kind, self.camera, at_wall_s, tuple(detail.items()))


def _ratio(tracker: EventTracker, scored: FrameScore) -> float:
    return tracker.policy.level_of(scored) / tracker.policy.event_policy.start_threshold
