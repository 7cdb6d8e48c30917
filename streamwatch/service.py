"""The daemon's composition root: everything is built here from a Config, run, reloaded, and stopped in order."""

from __future__ import annotations

import logging
import os
import threading
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from streamwatch.clock import Clock, SystemClock
from streamwatch.config.changes import ConfigChange, compare
from streamwatch.config.models import Config
from streamwatch.errors import StreamwatchError
from streamwatch.health import Health
from streamwatch.metrics import Metrics
from streamwatch.records import Frame
from streamwatch.runtime.adoption import Adoption
from streamwatch.runtime.batcher import Batcher
from streamwatch.runtime.books import Books
from streamwatch.runtime.camera import CameraContext
from streamwatch.runtime.clips import ClipRecorder
from streamwatch.runtime.degraded import DISK_FULL, NO_CLIPS, NO_EVIDENCE, Degradations
from streamwatch.runtime.endings import Endings
from streamwatch.runtime.engine import Engine, WatchedScene, device_memory
from streamwatch.runtime.event_inputs import EventInputs
from streamwatch.runtime.evidence import EvidenceKeeper
from streamwatch.runtime.fleet import CameraPlan, Fleet, plan_of, source_of
from streamwatch.runtime.judging import CalibrationBoard
from streamwatch.runtime.liveness import Liveness
from streamwatch.runtime.loop import LOOP, PipelineLoop
from streamwatch.runtime.models import ModelFiles, build_engine, load_scenes, misfits_of, spec_of
from streamwatch.runtime.nightly_run import NightlyRun, start_update
from streamwatch.runtime.normal_frames import NormalFrames
from streamwatch.runtime.pipeline import Listener, NoticeListener, Outputs, Pipeline, ScoreListener
from streamwatch.runtime.readiness import Readiness, readiness
from streamwatch.runtime.reload import ConfigFile, ConfigFollower
from streamwatch.runtime.resilience import LIVE_CPU_FRAMES, MAX_BATCH_FRAMES, ResilientEngine
from streamwatch.runtime.retry import Backoff
from streamwatch.runtime.signals import handling_signals
from streamwatch.runtime.slots import FrameSlots
from streamwatch.runtime.snapshots import Privacy
from streamwatch.runtime.systemd import notify
from streamwatch.runtime.watchdog import Watchdog
from streamwatch.store.event_store import EventQuery
from streamwatch.video.clip_ring import ClipRing
from streamwatch.video.opener import Opener
from streamwatch.web.page import page_app
from streamwatch.web.server import WebServer
from streamwatch.web.telemetry import telemetry_app

log = logging.getLogger(__name__)

_LOSSLESS_DEPTH = 8
_POLL_S = 0.2


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        received: frames read per camera.
        scored: frames scored per camera.
        failures: the error of every camera whose source failed.
        stopped: whether a signal ended it.
    """

    received: dict[str, int]
    scored: dict[str, int]
    failures: dict[str, StreamwatchError]
    stopped: bool


@dataclass(frozen=True)
class Ears:
    """Who is told of event changes and notices, after they are stored."""

    changes: tuple[Listener, ...] = ()
    notices: tuple[NoticeListener, ...] = ()
    scores: tuple[ScoreListener, ...] = ()


class Service:
    """The daemon.

    Args:
        until_eof: read files as fast as they are scored, drop nothing, and return when all have ended.
        ears: told of every event change and notice after it is stored.
        config_file: followed for changes while it runs; None follows nothing.
        backoff: how long to wait before a lost camera is tried again.
        evidence_dir: where the database and snapshots are; the default is ``data_dir``, where the models are.

    Raises:
        StreamwatchError: something it needs is missing; nothing has been started then.
    """

    def __init__(
        self,
        config: Config,
        *,
        until_eof: bool,
        ears: Ears | None = None,
        clock: Clock | None = None,
        opener: Opener | None = None,
        config_file: ConfigFile | None = None,
        backoff: Backoff | None = None,
        evidence_dir: Path | None = None,
    ) -> None:
        self._config, self._until_eof = config, until_eof
        self._evidence_dir = evidence_dir or config.data_dir
        self._clock = clock or SystemClock()
        self._stop = threading.Event()
        self._stack = ExitStack()
        self._endings = Endings()
        self._backoff = backoff or Backoff()
        self._follower = ConfigFollower(None if until_eof else config_file)
        self._sharded = config_file is not None and config_file.shard is not None
        updating = config_file.path if config_file and not until_eof else None
        self._nightly = NightlyRun(self._clock, partial(start_update, updating)) if updating else None
        self.metrics, self.health = Metrics(), Health(self._clock)
        self._liveness, self._calibrations = Liveness(self._clock), CalibrationBoard(self.metrics)
        self._models = ModelFiles()
        cameras = config.enabled_cameras
        for camera in cameras:
            source_of(config, camera)  # a path that is not there is a mistake of the caller: said before anything starts
        try:
            self._build(cameras, ears or Ears(), opener)
        except BaseException:
            self._stack.close()
            raise

    def run(self) -> Outcome:
        """Watch until stopped, or with ``until_eof`` until every source has ended.

        Raises:
            EngineFailure: the device fails for good; StoreError: the database refuses.
        """
        with self._stack:
            for server in self._servers:
                server.start()
            self._books.start(retain=not self._until_eof)
            self._clips.start()
            self._loop.start()
            for camera in self._fleet.cameras:
                self._fleet.start(camera)
            notify("READY=1")
            self._supervise()
            stopped = self._stop.is_set()
            self._shut_down("shutdown" if stopped else "normal")
        if self._loop.failure is not None:
            raise self._loop.failure
        return self._outcome(stopped)

    def stop(self) -> None:
        """Ask the run to end; open events are closed as ``shutdown``."""
        self._stop.set()

    def reload(self) -> None:
        """Read the configuration again soon."""
        self._follower.ask()

    def handling_signals(self) -> AbstractContextManager[None]:
        """Stop on SIGTERM and SIGINT, a second one exits at once; read the configuration again on SIGHUP."""
        return handling_signals(self._stop, self.reload)

    def readiness(self) -> Readiness:
        """Whether enough cameras scored a frame lately."""
        now_s, scored_at_s = self._clock.monotonic_s(), self._pipeline.scored_at_s()
        ago = {c: now_s - scored_at_s[c] if c in scored_at_s else None for c in self._fleet.cameras}
        finished = {c for c in self._fleet.cameras if self.metrics.state_of(c) == "finished"}
        rules = self._config.health
        return readiness(ago, finished, share=rules.ready_share, within_s=rules.ready_within)

    def _build(self, cameras: list[str], ears: Ears, opener: Opener | None) -> None:
        config = self._config
        scenes = load_scenes(config, cameras)
        self._engine = ResilientEngine(self._make_engine)
        self._degradations = Degradations(self._tell_degraded)
        on_full = partial(self._degradations.note, DISK_FULL)
        self._books = Books(config, self._evidence_dir, metrics=self.metrics, clock=self._clock, on_full=on_full)
        self._stack.callback(self._books.close)
        if self._device.startswith("cuda"):
            self.metrics.show_device(self._device, device_memory)
        self._slots = FrameSlots(
            depth=_LOSSLESS_DEPTH if self._until_eof else 1, lossless=self._until_eof, on_drop=self._count_drop
        )
        most = LIVE_CPU_FRAMES if self._device == "cpu" and not self._until_eof else MAX_BATCH_FRAMES
        batcher = Batcher(self._slots, max_frames=most, gather_s=0.1 if self._until_eof else 0.01)
        rings: dict[str, ClipRing] = {}
        self._clips = ClipRecorder(
            self._evidence_dir / "clips",
            config.clips,
            rings,
            clock=self._clock,
            on_written=partial(self._note_written, NO_CLIPS),
        )
        self._evidence = EvidenceKeeper(self._evidence_dir, self._clips, partial(self._note_written, NO_EVIDENCE))
        crashed = self._books.close_left_open(cameras if self._sharded else None)
        inputs = EventInputs(self._evidence_dir / "inputs", self._may_keep)
        normal = NormalFrames(self._evidence_dir / "normal", self._updates)
        outputs = Outputs(self._books.store, self._evidence, inputs, normal, ears.changes, ears.notices, ears.scores)
        self._pipeline = Pipeline(batcher, self._engine, outputs=outputs, metrics=self.metrics, clock=self._clock)
        context = CameraContext(
            self._slots, self._clock, self.metrics, self.health, self._on_frame, self._on_end, self._backoff
        )
        self._fleet = Fleet(context, paced=not self._until_eof, opener=opener, rings=rings)
        self._adoption = Adoption(
            self._engine,
            self._pipeline,
            self._calibrations,
            self._evidence,
            self._models,
            self._liveness,
            self.metrics,
            self._books.snoozes.snoozed,
        )
        for camera, known in scenes.items():
            self._adoption.adopt(config, camera, known)
            self._fleet.add(camera, self._plan(config, camera, known.first))
        for event in crashed:
            self._evidence.document(event)
        self._loop = PipelineLoop(self._pipeline, self.health, on_round=self._on_round, recover=self._engine.begin_anew)
        self._watchdog = Watchdog(self.health, self._restart)
        self._servers = self._open_servers()

    def _make_engine(self) -> Engine:
        engine = build_engine(
            spec_of(self._config.backbone),
            device=self._config.device,
            precision=self._config.precision,
            tile_frames=None if self._until_eof else 1,
            on_batch=self._measure_batch,
        )
        self._device = engine.device.type
        if self._device == "cpu" and not self._until_eof:
            torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))  # the readers need a core (DESIGN section 2)
        return engine

    def _plan(self, config: Config, camera: str, scene: WatchedScene) -> CameraPlan:
        """How the camera is read: with the motion step that its model was learned with, because what it holds runs."""
        model = scene.model
        for misfit in misfits_of(model, config.settings(camera)):
            log.warning("camera %s: its model %s: fit it again", camera, misfit)
        return plan_of(config, camera, model.motion_step_s if model.sees_motion else None)

    def _may_keep(self, camera: str) -> bool:
        """Whether pictures of ``camera`` may be stored as the model sees them, where nothing is blacked out."""
        known = self._config.cameras.get(camera)
        return known is not None and not known.privacy and not self._config.settings(camera).pixelate

    def _updates(self, camera: str) -> bool:
        """Whether frames of ``camera`` are kept for a nightly update."""
        return self._may_keep(camera) and not self._until_eof and self._config.settings(camera).nightly_update

    def _open_servers(self) -> list[WebServer]:
        config, servers = self._config, []
        if config.metrics.listen:
            servers.append(WebServer(telemetry_app(self.metrics, self.health, self.readiness), config.metrics.listen))
            self._stack.callback(servers[-1].stop)
        if config.web.listen:
            page = page_app(lambda: self._books.store.list_events(EventQuery(limit=60)), self._evidence_dir)
            servers.append(WebServer(page, config.web.listen))
            self._stack.callback(servers[-1].stop)
        return servers

    def _supervise(self) -> None:
        """Wait for the end; meanwhile watch over the loops, and follow the configuration."""
        while not self._loop.ended.is_set() and not self._clock.wait(self._stop, _POLL_S):
            self._watchdog.check()
            if not self.health.stalled():
                notify("WATCHDOG=1")
            if self._nightly and self._nightly.poll(self._config.nightly_at()):
                self._follower.ask()
            self._follow()
            self._books.beat()

    def _shut_down(self, reason: str) -> None:
        notify("STOPPING=1")
        if self._nightly:
            self._nightly.stop()
        timeout_s = self._config.shutdown_timeout / 2
        with ExitStack() as then:  # the last first, and each although the store may refuse what is before it
            then.callback(self._books.finish, drain_s=self._config.drain_timeout if reason == "normal" else 0.0)
            then.callback(self._clips.stop)
            then.callback(self._fleet.stop, timeout_s)
            if self._loop.stop(timeout_s):
                self._pipeline.end_all(reason)
            else:
                log.error("the engine did not stop in time; what is open is closed by the next start")

    def _restart(self, loop: str) -> None:
        if loop == LOOP:
            self._loop.replace_thread()
        else:
            self._fleet.restart(loop.removeprefix("camera "))

    def _follow(self) -> None:
        """Apply a new configuration, or say why not and keep the one that runs."""
        new = self._follower.poll()
        if new is None:
            return
        refused = new if isinstance(new, StreamwatchError) else self._try_apply(new)
        self.metrics.config_reloaded.set(0 if refused else 1)
        if refused:
            log.error("configuration not reloaded, the old one goes on: %s", refused)

    def _try_apply(self, new: Config) -> StreamwatchError | None:
        try:
            change = compare(self._config, new)
            self._apply(new, change.with_models(self._models.replaced(new, self._fleet.cameras)))
        except StreamwatchError as error:
            return error
        return None

    def _apply(self, new: Config, change: ConfigChange) -> None:
        """Touch the cameras that changed and no other; everything that can fail comes first."""
        scenes = load_scenes(new, (*change.added, *change.restarted, *change.retuned))
        plans = {c: self._plan(new, c, scenes[c].first) for c in (*change.added, *change.restarted)}
        for key in change.needs_restart:
            log.warning("configuration: %s changes only when streamwatch is started anew", key)
        self._books.follow(new)
        self._config = new
        for camera in change.removed:
            self._dismiss(camera)
        for camera in change.retuned:
            self._pipeline.post(partial(self._adoption.retune, new, camera, scenes[camera]))
        for camera, plan in plans.items():
            if camera in change.restarted:
                privacy = Privacy(new.cameras[camera].privacy, new.settings(camera).pixelate)
                self._pipeline.post(partial(self._evidence.protect, camera, privacy))  # holds for the event that ends by it
                self._dismiss(camera, "model_replaced" if camera in change.remodelled else "camera_removed")
            self._pipeline.post(partial(self._adoption.adopt, new, camera, scenes[camera]))
            self._fleet.add(camera, plan)
            self._fleet.start(camera)
        log.info("configuration reloaded: %s", change)

    def _tell_degraded(self, what: str, active: bool) -> None:
        notify = self._pipeline.notify
        self._pipeline.post(partial(notify, "system.degraded", "", self._clock.wall_s(), what=what, active=active))

    def _note_written(self, what: str, written: bool) -> None:
        self._degradations.note(what, not written)

    def _dismiss(self, camera: str, reason: str = "camera_removed") -> None:
        """Stop reading, scoring and tracking a camera; its open event ends for ``reason``."""
        self._fleet.remove(camera)
        self._liveness.forget(camera)
        self._endings.forget(camera)
        self._pipeline.post(partial(self._pipeline.remove, camera, reason))

    def _on_frame(self, camera: str, _frame: Frame) -> None:
        self._liveness.note(camera)
        self.metrics.camera_state_is(camera, self._calibrations.state_of(camera))

    def _on_end(self, camera: str, failure: StreamwatchError | None) -> None:
        self._endings.note(camera, failure)

    def _on_round(self, frames: int) -> None:
        """After every batch, in the loop's thread."""
        self.metrics.queue_length.labels("frames").set(self._slots.waiting())
        for change in self._liveness.changes():
            self._pipeline.tell_liveness(change)
        if frames == 0:
            self._close_ended_cameras()
            if self._until_eof and len(self._endings.handled) == len(self._fleet.cameras):
                self._loop.end()

    def _close_ended_cameras(self) -> None:
        """End the events of cameras whose source has ended; called when no frame is waiting."""
        for camera in self._endings.unhandled():
            if self._slots.waiting() or self._stop.is_set():  # a reader that was stopped has not come to its end
                return
            self._endings.handled.add(camera)
            self._pipeline.end_camera(camera, "normal")
            failure = self._endings.ended[camera]
            if failure:
                log.error("camera %s: %s", camera, failure, extra={"camera": camera})
            else:
                log.info("camera %s: finished", camera, extra={"camera": camera})

    def _outcome(self, stopped: bool) -> Outcome:
        failures = {camera: error for camera, error in self._endings.ended.items() if error}
        received = {c: int(self.metrics.value("camera_frames_received_total", camera=c)) for c in self._fleet.cameras}
        scored = {c: int(self.metrics.value("camera_frames_scored_total", camera=c)) for c in self._fleet.cameras}
        return Outcome(received, scored, failures, stopped)

    def _count_drop(self, camera: str, reason: str) -> None:
        self.metrics.frames_dropped.labels(camera, reason).inc()

    def _measure_batch(self, frames: int, duration_s: float) -> None:
        self.metrics.inference_duration.labels(self._device).observe(duration_s)
        self.metrics.inference_batch_size.labels(self._device).observe(frames)
