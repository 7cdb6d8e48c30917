"""One batch's way: slots to scores to event changes to the store and the listeners."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from streamwatch.clock import Clock
from streamwatch.events.tracker import EventTracker
from streamwatch.metrics import Metrics
from streamwatch.records import EventChange, FrameScore
from streamwatch.runtime.batcher import Batcher
from streamwatch.runtime.engine import Engine
from streamwatch.runtime.snapshots import SnapshotWriter

Listener = Callable[[EventChange, Path | None], None]


class EventRecorder(Protocol):
    """Where event changes are made durable before anybody hears of them."""

    def record(self, change: EventChange) -> None:
        """Write an event as ``change`` leaves it."""
        ...


class Pipeline:
    """Scores batches and turns scores into events.

    Args:
        trackers: one per camera.
        listeners: told of every change after it is stored, with the snapshot's path if there is one.
    """

    def __init__(
        self,
        batcher: Batcher,
        engine: Engine,
        trackers: Mapping[str, EventTracker],
        *,
        store: EventRecorder,
        snapshots: SnapshotWriter,
        metrics: Metrics,
        clock: Clock,
        listeners: tuple[Listener, ...] = (),
    ) -> None:
        self._batcher, self._engine, self._trackers = batcher, engine, trackers
        self._store, self._snapshots, self._metrics, self._clock = store, snapshots, metrics, clock
        self._listeners = listeners

    def run_once(self) -> int:
        """Score one batch and act on it; the number of frames it held."""
        scored_frames = self._engine.score(self._batcher.next_batch())
        for scored in scored_frames:
            self._observe(scored)
        return len(scored_frames)

    def end_all(self, reason: str) -> None:
        """End every open event."""
        for camera in self._trackers:
            self.end_camera(camera, reason)

    def end_camera(self, camera: str, reason: str) -> None:
        """End the camera's open event."""
        for change in self._trackers[camera].force_end(reason, self._clock.wall_s()):
            self._publish(change)

    def _observe(self, scored: FrameScore) -> None:
        tracker = self._trackers[scored.frame.camera]
        changes = tracker.observe(scored)
        for change in changes:
            self._publish(change)
        if tracker.at_peak:
            self._snapshots.note_peak(scored)
        self._measure(scored)

    def _publish(self, change: EventChange) -> None:
        self._store.record(change)
        ended = change.type == "anomaly.ended"
        snapshot = self._snapshots.write(change.event) if ended else None
        camera = change.event.camera
        self._metrics.events.labels(camera, change.type).inc()
        self._metrics.events_open.labels(camera).set(0 if ended else 1)
        if change.event.end_wall_s is not None:
            self._metrics.event_duration.observe(change.event.end_wall_s - change.event.start_wall_s)
        for listener in self._listeners:
            listener(change, snapshot)

    def _measure(self, scored: FrameScore) -> None:
        camera, metrics = scored.frame.camera, self._metrics
        metrics.frames_scored.labels(camera).inc()
        metrics.last_scored_s.labels(camera).set(scored.frame.wall_s)
        metrics.anomaly_score.labels(camera).set(scored.score)
        metrics.anomaly_score_ratio.labels(camera).set(scored.score / self._trackers[camera].start_threshold)
        latency_s = self._clock.monotonic_s() - scored.frame.captured_at_s
        metrics.frame_latency.labels("capture_to_score").observe(latency_s)
