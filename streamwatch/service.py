"""The daemon's composition root: everything is built here from a Config, run, and stopped in order."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import FrameType

import torch

from streamwatch.clock import Clock, SystemClock
from streamwatch.config.models import Config
from streamwatch.errors import StreamwatchError
from streamwatch.events.ids import uuid7
from streamwatch.events.tracker import EventTracker
from streamwatch.health import Health
from streamwatch.metrics import CAMERA_STATES, Metrics
from streamwatch.runtime.batcher import Batcher
from streamwatch.runtime.camera import CameraContext, CameraWorker
from streamwatch.runtime.models import build_engine, load_scenes, rules_for, spec_of
from streamwatch.runtime.pipeline import Listener, Pipeline
from streamwatch.runtime.slots import FrameSlots
from streamwatch.runtime.snapshots import SnapshotWriter
from streamwatch.store.event_store import EventStore
from streamwatch.store.sessions import open_database
from streamwatch.video.opener import Opener, PyAvOpener, StreamOptions
from streamwatch.video.reader import FrameReader
from streamwatch.video.sources import Source, parse_source
from streamwatch.web.page import page_app
from streamwatch.web.server import WebServer
from streamwatch.web.telemetry import telemetry_app

log = logging.getLogger(__name__)

MAX_BATCH_FRAMES = 16
_LOSSLESS_DEPTH = 8


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


@dataclass
class _Endings:
    """Which cameras have come to their end, told by their threads."""

    ended: dict[str, StreamwatchError | None] = field(default_factory=dict)
    handled: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, camera: str, failure: StreamwatchError | None) -> None:
        with self.lock:
            self.ended[camera] = failure

    def unhandled(self) -> list[str]:
        with self.lock:
            return [camera for camera in self.ended if camera not in self.handled]


class Service:
    """The daemon.

    Args:
        until_eof: read files as fast as they are scored, drop nothing, and return when all have ended.
        listeners: told of every event change after it is stored.

    Raises:
        StreamwatchError: something it needs is missing; nothing has been started then.
    """

    def __init__(
        self,
        config: Config,
        *,
        until_eof: bool,
        listeners: tuple[Listener, ...] = (),
        clock: Clock | None = None,
        opener: Opener | None = None,
    ) -> None:
        self._config, self._until_eof = config, until_eof
        self._clock = clock or SystemClock()
        self._opener = opener
        self._stop = threading.Event()
        self._stack = ExitStack()
        self._endings = _Endings()
        self.metrics, self.health = Metrics(), Health(self._clock)
        self._cameras = [name for name, camera in config.cameras.items() if camera.enabled]
        sources = {name: self._source(name) for name in self._cameras}
        try:
            self._build(sources, listeners)
        except BaseException:
            self._stack.close()
            raise

    def run(self) -> Outcome:
        """Watch until stopped, or with ``until_eof`` until every source has ended."""
        with self._stack:
            for server in self._servers:
                server.start()
            for worker in self._workers:
                worker.start()
            self._loop()
            stopped = self._stop.is_set()
            self._pipeline.end_all("shutdown" if stopped else "normal")
            self._stop_workers()
        return self._outcome(stopped)

    def stop(self) -> None:
        """Ask the run to end; open events are closed as ``shutdown``."""
        self._stop.set()

    @contextmanager
    def handling_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT; a second one exits at once."""

        def handle(number: int, _frame: FrameType | None) -> None:
            if self._stop.is_set():
                os._exit(128 + number)
            self._stop.set()

        before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def camera_states(self) -> dict[str, str]:
        """The state of every camera."""
        return {camera: self._state_of(camera) for camera in self._cameras}

    def _source(self, camera: str) -> Source:
        text = self._config.cameras[camera].source.get_secret_value()
        return parse_source(text, frame_rate_hz=self._config.settings(camera).frame_rate)

    def _build(self, sources: dict[str, Source], listeners: tuple[Listener, ...]) -> None:
        config = self._config
        scenes = load_scenes(config, self._cameras)
        engine = build_engine(
            spec_of(config.backbone),
            device=config.device,
            precision=config.precision,
            tile_frames=None if self._until_eof else 1,
            on_batch=self._measure_batch,
        )
        self._device = engine.device.type
        if self._device == "cpu" and not self._until_eof:
            torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))  # the readers need a core (DESIGN section 2)
        trackers: dict[str, EventTracker] = {}
        for camera, (scene, fitted_at_s) in scenes.items():
            engine.watch(camera, scene)
            rules = rules_for(config, camera, scene.model)
            trackers[camera] = EventTracker(camera, rules, new_id=uuid7)
            self.metrics.threshold.labels(camera).set(rules.start_threshold)
            self.metrics.model_fitted_s.labels(camera).set(fitted_at_s)
        self._store = self._open_store()
        self._slots = FrameSlots(
            depth=_LOSSLESS_DEPTH if self._until_eof else 1, lossless=self._until_eof, on_drop=self._count_drop
        )
        batcher = Batcher(self._slots, max_frames=MAX_BATCH_FRAMES, gather_s=0.1 if self._until_eof else 0.01)
        snapshots = config.data_dir / "snapshots"
        self._pipeline = Pipeline(
            batcher,
            engine,
            trackers,
            store=self._store,
            snapshots=SnapshotWriter(snapshots, {c: config.cameras[c].privacy for c in self._cameras}),
            metrics=self.metrics,
            clock=self._clock,
            listeners=listeners,
        )
        self._workers = [self._worker(camera, source) for camera, source in sources.items()]
        self._servers = self._open_servers()

    def _open_store(self) -> EventStore:
        url = self._config.database.get_secret_value() if self._config.database else None
        store = EventStore(open_database(url, self._config.data_dir))
        self._stack.callback(store.close)
        for event in store.close_left_open():
            log.warning("event %s of camera %s was left open by a crash; closed", event.id, event.camera)
        return store

    def _open_servers(self) -> list[WebServer]:
        config, servers = self._config, []
        if config.metrics.listen:
            servers.append(WebServer(telemetry_app(self.metrics, self.health, self.camera_states), config.metrics.listen))
            self._stack.callback(servers[-1].stop)
        if config.web.listen:
            page = page_app(lambda: self._store.list_events(limit=60), config.data_dir / "snapshots")
            servers.append(WebServer(page, config.web.listen))
            self._stack.callback(servers[-1].stop)
        return servers

    def _worker(self, camera: str, source: Source) -> CameraWorker:
        settings = self._config.settings(camera)
        options = StreamOptions(settings.transport, settings.open_timeout, settings.read_timeout)
        reader = FrameReader(
            camera,
            source,
            opener=self._opener or PyAvOpener(options),
            clock=self._clock,
            fps=None if settings.fps == "native" else settings.fps,
            keep_pictures=True,
        )
        context = CameraContext(self._slots, self._clock, self.metrics, self._stop, self._endings.note)
        paced = not self._until_eof and not source.live
        return CameraWorker(camera, reader, context, live=source.live, paced=paced)

    def _loop(self) -> None:
        while not self._stop.is_set():
            self.health.beat("pipeline")
            frames = self._pipeline.run_once()
            self.metrics.queue_length.labels("frames").set(self._slots.waiting())
            if frames == 0:
                self._close_ended_cameras()
                if self._until_eof and len(self._endings.handled) == len(self._cameras):
                    return

    def _close_ended_cameras(self) -> None:
        """End the events of cameras whose source has ended; called when no frame is waiting."""
        for camera in self._endings.unhandled():
            if self._slots.waiting() or self._stop.is_set():  # a reader that was stopped has not come to its end
                return
            self._endings.handled.add(camera)
            self._pipeline.end_camera(camera, "normal")
            failure = self._endings.ended[camera]
            if failure:
                log.error("camera %s: %s", camera, failure)
            else:
                log.info("camera %s: finished", camera)

    def _stop_workers(self) -> None:
        self._stop.set()
        deadline_s = self._clock.monotonic_s() + self._config.shutdown_timeout / 2
        for worker in self._workers:
            if not worker.join(deadline_s - self._clock.monotonic_s()):
                log.warning("camera %s: its reader did not stop in time and is left behind", worker.name)

    def _outcome(self, stopped: bool) -> Outcome:
        failures = {camera: error for camera, error in self._endings.ended.items() if error}
        received = {c: int(self._sample("streamwatch_camera_frames_received_total", c)) for c in self._cameras}
        scored = {c: int(self._sample("streamwatch_camera_frames_scored_total", c)) for c in self._cameras}
        return Outcome(received, scored, failures, stopped)

    def _state_of(self, camera: str) -> str:
        value = self.metrics.registry.get_sample_value
        for state in CAMERA_STATES:
            if value("streamwatch_camera_state", {"camera": camera, "state": state}):
                return state
        return "starting"

    def _sample(self, name: str, camera: str) -> float:
        return self.metrics.registry.get_sample_value(name, {"camera": camera}) or 0.0

    def _count_drop(self, camera: str, reason: str) -> None:
        self.metrics.frames_dropped.labels(camera, reason).inc()

    def _measure_batch(self, frames: int, duration_s: float) -> None:
        self.metrics.inference_duration.labels(self._device).observe(duration_s)
        self.metrics.inference_batch_size.labels(self._device).observe(frames)
