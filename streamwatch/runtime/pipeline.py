"""One batch's way: slots to scores to event changes to the store and the listeners. One thread runs it."""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from streamwatch.clock import Clock
from streamwatch.events.drift import DriftChange, DriftMonitor
from streamwatch.events.ids import uuid7
from streamwatch.events.tamper import KINDS, TamperChange, TamperDetector
from streamwatch.events.tracker import EventTracker
from streamwatch.metrics import Metrics
from streamwatch.records import NO_SPREAD, EventChange, Frame, FrameScore, Notice
from streamwatch.runtime.batcher import Batcher
from streamwatch.runtime.event_inputs import EventInputs
from streamwatch.runtime.evidence import EvidenceKeeper
from streamwatch.runtime.liveness import LivenessChange
from streamwatch.runtime.normal_frames import NormalFrames
from streamwatch.runtime.resilience import ScoringEngine
from streamwatch.runtime.scenes import SceneSet, SceneTerms

RELEARN = "if this is how the scene looks from now on, learn it anew with `streamwatch fit`"
Listener = Callable[[EventChange, Path | None], None]
NoticeListener = Callable[[Notice], None]
ScoreListener = Callable[[FrameScore, bool], None]
"""Told of every scored frame, and whether it counts: a picture that cannot be watched does not."""


class EventRecorder(Protocol):
    """Where event changes and notices are made durable before anybody hears of them."""

    def record(self, change: EventChange) -> None:
        """Write an event as ``change`` leaves it."""
        ...

    def note(self, notice: Notice) -> None:
        """Write a notice."""
        ...


@dataclass(frozen=True)
class Outputs:
    """Where changes go: stored first, then told."""

    store: EventRecorder
    evidence: EvidenceKeeper
    inputs: EventInputs
    normal: NormalFrames
    listeners: tuple[Listener, ...] = ()
    notice_listeners: tuple[NoticeListener, ...] = ()
    score_listeners: tuple[ScoreListener, ...] = ()


@dataclass
class WatchedCamera:
    """What the pipeline keeps of one camera.

    Attributes:
        trackers: one for every zone.
        max_age_s: a frame older than this is stale; None for recordings, which are never dropped.
        drift: None for a model that does not say what spread is usual.
        scenes: None for a model that does not say which regime it is of.
    """

    trackers: Sequence[EventTracker]
    tamper: TamperDetector
    max_age_s: float | None = None
    drift: DriftMonitor | None = None
    scenes: SceneSet | None = None

    @property
    def provisional(self) -> bool:
        """Whether a zone's thresholds are extrapolated: the camera is still calibrating."""
        return any(tracker.provisional for tracker in self.trackers)


class Pipeline:
    """Scores batches and turns scores into events.

    Everything it holds is touched by the thread that calls ``run_once`` alone; others ``post`` what they want done.
    """

    def __init__(self, batcher: Batcher, engine: ScoringEngine, *, outputs: Outputs, metrics: Metrics, clock: Clock) -> None:
        self._batcher, self._engine = batcher, engine
        self._outputs, self._metrics, self._clock = outputs, metrics, clock
        self._cameras: dict[str, WatchedCamera] = {}
        self._posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._scored_at_s: dict[str, float] = {}

    def post(self, action: Callable[[], None]) -> None:
        """Have ``action`` done between two batches."""
        self._posted.put(action)

    def add(self, camera: str, watched: WatchedCamera) -> None:
        """Turn ``camera``'s scores into events from now on."""
        self._cameras[camera] = watched
        self._metrics.expect_camera(camera)
        self._metrics.threshold.labels(camera).set(watched.trackers[0].start_threshold)

    def remove(self, camera: str, reason: str) -> None:
        """Forget ``camera``; its open event ends for ``reason``."""
        if camera in self._cameras:
            self.end_camera(camera, reason)
            del self._cameras[camera]
            self._scored_at_s.pop(camera, None)
            self._engine.unwatch(camera)

    def retune(self, camera: str, first: SceneTerms, by_regime: Mapping[str, SceneTerms]) -> SceneTerms | None:
        """Judge ``camera`` in another way from now on, what is open stays open; the terms that hold now, if any do."""
        watched = self._cameras.get(camera)
        if watched is None:
            return None
        terms = watched.scenes.retune(by_regime) if watched.scenes else first
        if terms:
            self._judge_by(camera, watched, terms)
        return terms

    def _judge_by(self, camera: str, watched: WatchedCamera, terms: SceneTerms) -> None:
        for tracker in watched.trackers:
            tracker.retune(terms.judgements[tracker.zone])
        self._metrics.threshold.labels(camera).set(terms.judgements[""].rules.start_threshold)

    def scored_at_s(self) -> dict[str, float]:
        """When each camera's last frame was scored, on the monotonic clock."""
        return dict(self._scored_at_s)

    def run_once(self, alive: Callable[[], bool] = lambda: True) -> int:
        """Score one batch and act on it; the number of frames it held.

        Args:
            alive: asked after scoring; False leaves the results alone, because another thread has taken over.

        Raises:
            EngineFailure: the device fails for good; StoreError: the database refuses.
        """
        self._do_posted()
        batch = self._batcher.next_batch()
        self._do_posted()  # a camera that was just added may be in this batch
        frames = self._fresh(batch)
        scored_frames = self._engine.score(frames)
        if not alive():
            return 0
        for scored in scored_frames:
            self._observe(scored)
        return len(scored_frames)

    def end_all(self, reason: str) -> None:
        """End every open event."""
        self._do_posted()
        for camera in self._cameras:
            self.end_camera(camera, reason)

    def end_camera(self, camera: str, reason: str) -> None:
        """End the camera's open event."""
        if camera in self._cameras:
            for tracker in self._cameras[camera].trackers:
                for change in tracker.force_end(reason, self._clock.wall_s()):
                    self._publish(change)

    def notify(self, kind: str, camera: str, at_wall_s: float, **detail: str | float | bool) -> None:
        """Store and tell a notice."""
        notice = Notice(uuid7(at_wall_s), kind, camera, at_wall_s, tuple(detail.items()))
        self._outputs.store.note(notice)
        self._metrics.events.labels(camera, kind).inc()
        for listener in self._outputs.notice_listeners:
            listener(notice)

    def tell_liveness(self, change: LivenessChange) -> None:
        """A camera fell silent, or came back: its event ends, and it is told."""
        camera = change.camera
        if camera not in self._cameras:
            return
        if change.online:
            self._cameras[camera].tamper.restart()
        else:
            self._metrics.camera_state_is(camera, "offline")
            self.end_camera(camera, "camera_lost")
        kind = "camera.online" if change.online else "camera.offline"
        self.notify(kind, camera, self._clock.wall_s(), silent_s=round(change.silent_s, 1))

    def _do_posted(self) -> None:
        while not self._posted.empty():
            self._posted.get()()

    def _fresh(self, frames: Sequence[Frame]) -> list[Frame]:
        """The frames that are young enough, of cameras that are still watched."""
        now_s = self._clock.monotonic_s()
        kept = []
        for frame in frames:
            watched = self._cameras.get(frame.camera)
            if watched is None:
                continue
            if watched.max_age_s is not None and now_s - frame.captured_at_s > watched.max_age_s:
                self._metrics.frames_dropped.labels(frame.camera, "stale").inc()
            else:
                kept.append(frame)
        return kept

    def _observe(self, scored: FrameScore) -> None:
        frame = scored.frame
        watched = self._cameras[frame.camera]
        shown = watched.scenes is None or self._shows(frame, watched.scenes)
        size_px = (frame.picture.width, frame.picture.height) if frame.picture else None
        tampered = watched.tamper.observe(frame.pixels, frame.wall_s, size_px, scored.spread if shown else NO_SPREAD)
        if tampered:
            self._tell_tamper(frame.camera, tampered)
        counts = shown and not watched.tamper.blinded  # a bad picture is a fault, and its scores mean nothing
        if counts:
            for tracker in watched.trackers:
                self._track(scored, tracker)
            self._follow_drift(scored, watched)
        self._keep_if_normal(scored, watched, counts)
        for listener in self._outputs.score_listeners:
            listener(scored, counts)
        self._measure(scored, watched)

    def _shows(self, frame: Frame, scenes: SceneSet) -> bool:
        """Whether a frame shows the scene that scored it; if another one is due, it takes over with the next batch."""
        if scenes.shows(frame):
            return True
        if scenes.due:
            self.post(partial(self._take_up, frame.camera, scenes))
        return False

    def _take_up(self, camera: str, scenes: SceneSet) -> None:
        watched = self._cameras.get(camera)
        if watched is None or watched.scenes is not scenes or not scenes.due:
            return
        self.end_camera(camera, "model_replaced")
        terms = scenes.take_up()
        if terms:
            self._engine.watch(camera, terms.scene)
            self._judge_by(camera, watched, terms)
            watched.tamper.judge_by(terms.calm_spread)
            watched.drift = terms.drift

    def _track(self, scored: FrameScore, tracker: EventTracker) -> None:
        held = not tracker.idle
        changes = tracker.observe(scored)
        self._outputs.evidence.note_level(scored, tracker.zone, tracker.level_of(scored), keep=held or not tracker.idle)
        if tracker.holds:
            self._outputs.evidence.note(scored, tracker.zone)
        for change in changes:
            self._publish(change)
            self._measure_change(change, scored.frame)
        if tracker.at_peak:
            self._outputs.evidence.note_peak(scored, tracker.zone)
        if tracker.holds:
            self._outputs.inputs.note(scored, tracker.zone, tracker.cells)
        elif tracker.idle:
            self._outputs.inputs.forget(scored.frame.camera, tracker.zone)
            self._outputs.evidence.forget(scored.frame.camera, tracker.zone)

    def _follow_drift(self, scored: FrameScore, watched: WatchedCamera) -> None:
        """An event says that the scene is not as usual, which is known; drift is what is so outside of events."""
        if watched.drift is None or any(tracker.open_event for tracker in watched.trackers):
            return
        camera = scored.frame.camera
        change = watched.drift.observe(scored.spread.low, scored.frame.wall_s)
        self._metrics.drift_ratio.labels(camera).set(watched.drift.ratio)
        self._metrics.drift_limit.labels(camera).set(watched.drift.limit)
        if change:
            self._tell_drift(camera, scored.frame.wall_s, change)

    def _keep_if_normal(self, scored: FrameScore, watched: WatchedCamera, counts: bool) -> None:
        quiet = counts and all(tracker.open_event is None for tracker in watched.trackers)
        normal = all(tracker.level_of(scored) < tracker.end_threshold for tracker in watched.trackers)
        self._outputs.normal.observe(scored, quiet=quiet, normal=normal)

    def _tell_drift(self, camera: str, at_wall_s: float, change: DriftChange) -> None:
        offer = {"hint": RELEARN} if change.active else {}
        ratio, limit = round(change.ratio, 3), round(change.limit, 3)
        self.notify("model.drift", camera, at_wall_s, active=change.active, ratio=ratio, limit=limit, **offer)

    def _tell_tamper(self, camera: str, change: TamperChange) -> None:
        for kind in KINDS:
            self._metrics.tamper.labels(camera, kind).set(1 if change.active and kind == change.kind else 0)
        if change.active:
            self.end_camera(camera, "tamper")
        offer = {"hint": RELEARN} if change.active and change.kind == "GlobalSceneChange" else {}
        self.notify("camera.tamper", camera, change.since_wall_s, tamper=change.kind, active=change.active, **offer)

    def _publish(self, change: EventChange) -> None:
        self._outputs.store.record(change)
        ended = change.type == "anomaly.ended"
        if change.type == "anomaly.started":
            self._outputs.evidence.begin(change.event)
        if ended:
            self._outputs.inputs.write(change.event)
        snapshot = self._outputs.evidence.finish(change.event) if ended else None
        camera = change.event.camera
        self._metrics.events.labels(camera, change.type).inc()
        if change.type != "anomaly.updated":
            self._metrics.events_open.labels(camera).inc(-1 if ended else 1)
        if change.event.end_wall_s is not None:
            self._metrics.event_duration.observe(change.event.end_wall_s - change.event.start_wall_s)
        for listener in self._outputs.listeners:
            listener(change, snapshot)

    def _measure_change(self, change: EventChange, frame: Frame) -> None:
        """How long it took to tell of an event's start since its deciding frame was decoded, with the event as exemplar."""
        if change.type == "anomaly.started":
            latency_s = max(self._clock.monotonic_s() - frame.captured_at_s, 0.0)
            self._metrics.frame_latency.labels("capture_to_event").observe(latency_s, {"event_id": change.event.id})

    def _measure(self, scored: FrameScore, watched: WatchedCamera) -> None:
        camera, metrics = scored.frame.camera, self._metrics
        self._scored_at_s[camera] = self._clock.monotonic_s()
        metrics.frames_scored.labels(camera).inc()
        metrics.last_scored_s.labels(camera).set(scored.frame.wall_s)
        metrics.anomaly_score.labels(camera).set(scored.level)
        ratio = max(tracker.level_of(scored) / tracker.start_threshold for tracker in watched.trackers)
        metrics.anomaly_score_ratio.labels(camera).set(ratio)
        latency_s = self._clock.monotonic_s() - scored.frame.captured_at_s
        metrics.frame_latency.labels("capture_to_score").observe(latency_s)
