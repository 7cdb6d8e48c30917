"""One batch's way: slots to scores to each camera's monitor, and what that says to the publisher's queue.

Nothing here waits for a file, a database or a socket. One thread at a time runs it: whoever calls ``run_once`` owns the
monitors until ``alive`` says that another thread has taken over, and asks that before each effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from streamwatch.capture.frame_pool import FramePool
from streamwatch.capture.liveness import LivenessChange
from streamwatch.capture.status import FleetStatus
from streamwatch.clock import Clock
from streamwatch.detection.batcher import Batcher
from streamwatch.detection.camera_faults import CameraFaults
from streamwatch.detection.camera_monitor import CameraMonitor
from streamwatch.detection.monitors import Monitors
from streamwatch.detection.posted import PostedActions
from streamwatch.detection.reconciliation import Reconciliation
from streamwatch.detection.reporter import Outputs, Reporter
from streamwatch.enums import CameraState, DropReason, EndReason, EventType
from streamwatch.ids import uuid7
from streamwatch.inference.resilient_engine import IsolatingEngine
from streamwatch.metrics import Metrics
from streamwatch.records import DueFrame, Notice
from streamwatch.retry import caught
from streamwatch.scenes.policy import ScenePolicy
from streamwatch.scores import FrameScore


class Pipeline:
    """Scores batches and turns scores into events.

    What others want done between two batches they ``post``.

    Args:
        faults: takes what goes wrong with one camera, so that the others go on; None has it raised, for recordings.
        pool: makes the frames that are scored; None makes one after the other.
    """

    def __init__(
        self,
        batcher: Batcher,
        engine: IsolatingEngine,
        *,
        outputs: Outputs,
        status: FleetStatus,
        metrics: Metrics,
        clock: Clock,
        faults: CameraFaults | None = None,
        pool: FramePool | None = None,
    ) -> None:
        self._batcher, self._engine, self._faults, self._pool = batcher, engine, faults, pool
        self._status, self._metrics, self._clock = status, metrics, clock
        self._reporter = Reporter(outputs, status=status, metrics=metrics, clock=clock)
        self._monitors = Monitors()
        self._posted = PostedActions(lasting=faults is not None)
        self._reconciliation = Reconciliation(self._monitors, self._reporter, clock)

    def post(self, action: Callable[[], None]) -> None:
        """Have ``action`` done between two batches."""
        self._posted.post(action)

    def run_once(self, alive: Callable[[], bool] = lambda: True) -> int:
        """Score one batch and act on it; the number of frames it held.

        Args:
            alive: asked before each effect; False leaves everything alone, because another thread has taken over.

        Raises:
            EngineFailure: the device fails for good.
        """
        if self._faults is not None:
            self._monitors.act(alive, self._reconciliation.run)
        self.do_posted(alive)
        batch = self._batcher.next_batch() if alive() else []
        self.do_posted(alive)  # a camera that was just added may be in this batch
        began_s = self._clock.monotonic_s()
        frames: list[DueFrame] = []
        self._monitors.act(
            alive, lambda: frames.extend(fresh(batch, self._monitors, self._faults, self._status, self._clock.monotonic_s()))
        )
        scored_frames = self._score(frames, alive)
        observed = sum(self._monitors.act(alive, partial(self._observe, scored)) for scored in scored_frames)
        if alive():
            self._batcher.record(len(batch), self._clock.monotonic_s() - began_s)
        return observed

    def _score(self, frames: Sequence[DueFrame], alive: Callable[[], bool]) -> list[FrameScore]:
        """Recordings are scored whole or not at all; live, what is wrong with one camera is not the others'."""
        if self._faults is None:
            return self._engine.score([frame.make() for frame in frames])
        nobody: dict[str, Exception] = {}
        made, unmade = self._pool.made(frames) if self._pool else ([frame.make() for frame in frames], nobody)
        scored, faults = self._engine.score_apart(made)
        for camera, fault in (unmade | faults).items():
            self._monitors.act(alive, partial(self._leave_alone, camera, fault))
        return scored

    def _leave_alone(self, camera: str, fault: Exception) -> None:
        """Not for long: it is tried again. Its event ends, because nobody sees what becomes of it."""
        if self._faults is not None:
            self._faults.record(camera, fault)
            failure = caught(partial(self.end_camera, camera, EndReason.CRASH))
            if failure is not None:
                self._faults.record(camera, failure)  # what is left open is ended by the reconciliation

    def do_posted(self, alive: Callable[[], bool] = lambda: True) -> None:
        """Do what was posted, in order; live, what fails is tried again with the next batches, a few times."""
        self._posted.do_all(partial(self._monitors.act, alive))

    def add(self, monitor: CameraMonitor) -> None:
        """Turn a camera's scores into events from now on."""
        self._monitors.add(monitor)
        self._metrics.expect_camera(monitor.camera)
        self._metrics.threshold.labels(monitor.camera).set(monitor.start_threshold)

    def remove(self, camera: str, reason: EndReason) -> None:
        """Forget ``camera``; its open event ends for ``reason``."""
        with self._monitors.in_charge():
            if self._monitors.of(camera):
                self.end_camera(camera, reason)
                self._monitors.remove(camera)
                if self._faults:
                    self._faults.forget(camera)
                self._status.forget_scored(camera)
                self._engine.unwatch(camera)

    def retune(self, camera: str, first: ScenePolicy, by_regime: Mapping[str, ScenePolicy]) -> ScenePolicy | None:
        """Decide by other policies from now on, what is open stays open; the one that holds now, if any does."""
        with self._monitors.in_charge():
            monitor = self._monitors.of(camera)
            policy = monitor.retune(first, by_regime) if monitor else None
            if monitor and policy:
                self._engine.measure_in(camera, policy.scene.units, policy.scene.zones)
                self._metrics.threshold.labels(camera).set(monitor.start_threshold)
            return policy

    def end_all(self, reason: EndReason) -> None:
        """End every open event."""
        self.do_posted()
        for camera in self._monitors.cameras():
            self.end_camera(camera, reason)
        with self._monitors.in_charge():
            self._reconciliation.run()

    def end_camera(self, camera: str, reason: EndReason) -> None:
        """End the camera's open events."""
        with self._monitors.in_charge():
            monitor = self._monitors.of(camera)
            if monitor:
                self._reporter.report_changes(monitor.force_end(reason, self._clock.wall_s()))

    def change_liveness(self, change: LivenessChange) -> None:
        """A camera fell silent, or came back: its event ends, and it is told."""
        with self._monitors.in_charge():
            monitor = self._monitors.of(change.camera)
            if monitor is None:
                return
            if change.online:
                monitor.restart()
            else:
                self._status.set_state(change.camera, CameraState.UNUSABLE if change.unusable else CameraState.OFFLINE)
                self.end_camera(change.camera, EndReason.CAMERA_LOST)
        self._reporter.report_notice(liveness_notice(change, self._clock.wall_s()))

    def _observe(self, scored: FrameScore) -> None:
        camera = scored.frame.camera
        monitor = self._monitors.of(camera)
        if monitor is None:
            return
        if self._faults is None:
            self._advance(monitor, scored)
        elif (failure := caught(lambda: self._advance(monitor, scored))) is not None:
            self._leave_alone(camera, failure)

    def _advance(self, monitor: CameraMonitor, scored: FrameScore) -> None:
        observation = monitor.observe(scored, self._clock.wall_s())
        self._reporter.report(scored, observation)
        if observation.regime_due:
            self.post(partial(self._take_up_regime, monitor))

    def _take_up_regime(self, monitor: CameraMonitor) -> None:
        if self._monitors.of(monitor.camera) is not monitor or not (monitor.scenes and monitor.scenes.due):
            return
        self.end_camera(monitor.camera, EndReason.MODEL_REPLACED)
        change = monitor.take_up_regime()
        if change is None:
            return
        if change.policy:
            self._engine.watch(monitor.camera, change.policy.scene)
            self._metrics.threshold.labels(monitor.camera).set(monitor.start_threshold)
        self._reporter.report_regime(monitor.camera, change.regime, change.policy)


def liveness_notice(change: LivenessChange, now_s: float) -> Notice:
    """What is told of a camera that fell silent, became unusable, or came back."""
    detail: tuple[tuple[str, Any], ...] = (("silent_s", round(change.silent_s, 1)),)
    kind = EventType.CAMERA_ONLINE if change.online else EventType.CAMERA_OFFLINE
    if change.unusable:
        kind = EventType.CAMERA_UNUSABLE
        detail += (("reason", change.unusable.value), ("pictures", change.pictures))
    return Notice(uuid7(now_s), kind, change.camera, now_s, detail)


def fresh(
    frames: Sequence[DueFrame], monitors: Monitors, faults: CameraFaults | None, status: FleetStatus, now_s: float
) -> list[DueFrame]:
    """The frames that are young enough, of cameras that are still watched and not left alone; the others are counted."""
    kept = []
    for frame in frames:
        monitor = monitors.of(frame.camera)
        if monitor is None:
            continue
        if faults and faults.paused(frame.camera):
            status.drop(frame.camera, DropReason.FAULT)
        elif monitor.max_age_s is not None and now_s - frame.captured_at_s > monitor.max_age_s:
            status.drop(frame.camera, DropReason.STALE)
        else:
            kept.append(frame)
    return kept
