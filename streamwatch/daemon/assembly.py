"""From a configuration to everything that a daemon runs: built here, and nowhere else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from streamwatch.capture.camera import CameraContext
from streamwatch.capture.end_of_stream import EndOfStream
from streamwatch.capture.fleet import Fleet
from streamwatch.capture.frame_pool import FramePool
from streamwatch.capture.liveness import Liveness
from streamwatch.capture.readiness import Readiness, readiness_of
from streamwatch.capture.slots import FrameSlots
from streamwatch.capture.status import FleetStatus
from streamwatch.clock import Clock, SystemClock
from streamwatch.config.schema import Config
from streamwatch.config.sharding import Share
from streamwatch.daemon.after_batch import AfterBatch
from streamwatch.daemon.camera_setup import CameraSetup, PreparedCamera, camera_plan, facts_of, show_regime
from streamwatch.daemon.config_file import CurrentConfig
from streamwatch.daemon.hooks import Hooks
from streamwatch.daemon.persistence import Persistence
from streamwatch.daemon.sharing.held_cameras import HeldCameras
from streamwatch.daemon.sharing.registration import Registration
from streamwatch.daemon.shown import Shown
from streamwatch.detection.batcher import daemon_batcher
from streamwatch.detection.camera_faults import CameraFaults
from streamwatch.detection.live_measures import LiveMeasures
from streamwatch.detection.loop import PipelineLoop
from streamwatch.detection.pipeline import Pipeline
from streamwatch.detection.publisher import Publisher, Subscribers
from streamwatch.detection.reporter import Outputs
from streamwatch.detection.waiting import Publication
from streamwatch.enums import Degradation
from streamwatch.evidence.clips import ClipRecorder
from streamwatch.evidence.collector import EventEvidence, EvidenceCollector
from streamwatch.evidence.normal_frames import NormalFrameSelector
from streamwatch.evidence.writer import EvidenceWriter, WriteFile
from streamwatch.files import write_atomically
from streamwatch.health import Health
from streamwatch.inference.engine import OnBatch, device_memory
from streamwatch.inference.factory import engine_of
from streamwatch.inference.resilient_engine import ResilientEngine, ScoringEngine, max_batch_frames
from streamwatch.metrics import Metrics, none_dropped
from streamwatch.model.embedding.identity import resolve_device
from streamwatch.recalibration.in_force import InForce
from streamwatch.recalibration.recalibrator import Recalibrator, WatchedFleet
from streamwatch.recalibration.task import RecalibrationTask
from streamwatch.retry import Backoff
from streamwatch.scenes.calibration_status import CalibrationStatus
from streamwatch.scenes.model_files import UsedModelFiles, load_scenes
from streamwatch.scenes.shared_models.use import fetch_missing
from streamwatch.threads import GUARD_BACKOFF, ThreadGuard
from streamwatch.video.clips.ring import ClipRing
from streamwatch.video.streams.opener import Opener
from streamwatch.web.jobs import Jobs
from streamwatch.web.server import WebServer

LOSSLESS_DEPTH = 8
EngineFactory = Callable[[Config, int | None, OnBatch], ScoringEngine]
"""Makes the engine of a configuration, given the frames of a tile (None is the engine's own) and who is told of batches."""


def make_engine(config: Config, tile_frames: int | None, on_batch: OnBatch) -> ScoringEngine:
    """The engine of a daemon, on its device; raises as ``engine_of``."""
    return engine_of(config, tile_frames=tile_frames, on_batch=on_batch)


@dataclass(frozen=True)
class Surroundings:
    """What a daemon does not make itself.

    Attributes:
        subscribers: told of every event change and notice after it is stored.
        opener: opens sources; None opens with FFmpeg.
        backoff: how long to wait before a lost camera is tried again.
        guard_backoff: how long to wait before the work of a thread that failed is begun again.
        evidence_dir: where the database and evidence are; None is ``data_dir``, where the models are.
        shard: which of the site's processes this is; None is the only one.
        held: which of its cameras are its own at present; None where they are not leased.
        write_evidence: writes a file of evidence, complete or not at all.
        in_force: what thresholds rest on besides the models; None is what the database says.
        dropped_lines: output that nobody read in time, counted by stream.
    """

    subscribers: Subscribers = field(default_factory=Subscribers)
    clock: Clock = field(default_factory=SystemClock)
    opener: Opener | None = None
    backoff: Backoff = field(default_factory=Backoff)
    guard_backoff: Backoff = GUARD_BACKOFF
    evidence_dir: Path | None = None
    shard: Share | None = None
    held: HeldCameras | None = None
    engine_factory: EngineFactory = make_engine
    write_evidence: WriteFile = write_atomically
    in_force: InForce | None = None
    dropped_lines: Callable[[], Mapping[str, int]] = none_dropped


@dataclass(frozen=True)
class Components:
    """Everything that a daemon runs; see the class of each."""

    config: CurrentConfig
    clock: Clock
    metrics: Metrics
    health: Health
    status: FleetStatus
    ends: EndOfStream
    liveness: Liveness
    calibration: CalibrationStatus
    models: UsedModelFiles
    persistence: Persistence
    writer: EvidenceWriter
    clips: ClipRecorder
    collector: EvidenceCollector
    publisher: Publisher
    engine: ResilientEngine
    pipeline: Pipeline
    loop: PipelineLoop
    fleet: Fleet
    setup: CameraSetup
    recalibration: RecalibrationTask
    guard: ThreadGuard
    shown: Shown
    held: HeldCameras | None = None
    registration: Registration | None = None
    servers: tuple[WebServer, ...] = ()
    jobs: Jobs | None = None

    def readiness(self) -> Readiness:
        """Whether enough cameras scored a frame lately."""
        return readiness_of(self.fleet.cameras, self.status, self.clock, self.config.value.health)

    def close_left_open(self, cameras: Collection[str] | None, config: Config) -> None:
        """Close and document the events that a process which died left open, of these cameras or of all."""
        for event in self.persistence.close_left_open(cameras):
            facts = facts_of(config, event.camera) if event.camera in config.enabled_cameras else {}
            self.writer.put(EventEvidence(event, facts=facts, ended=True))


def assemble(
    config: Config,
    surroundings: Surroundings,
    stack: ExitStack,
    stopping: threading.Event,
    *,
    until_eof: bool,
) -> Components:
    """Build everything but the listeners; nothing runs yet.

    Args:
        stack: closes what is open, whatever happens.
        until_eof: read files as fast as they are scored, and drop nothing.

    Raises:
        StreamwatchError: something it needs is missing.
    """
    parts = _Assembly(config, surroundings, stack, stopping, until_eof).components()
    parts.close_left_open(config.enabled_cameras if surroundings.shard else None, config)
    return parts


class _Assembly:
    """Builds from the bottom to the top; what is below never learns of what is above but by a function."""

    def __init__(
        self, config: Config, surroundings: Surroundings, stack: ExitStack, stopping: threading.Event, until_eof: bool
    ) -> None:
        self._config, self._around, self._stack = CurrentConfig(config), surroundings, stack
        self._stopping, self._until_eof = stopping, until_eof
        self._folder = surroundings.evidence_dir or config.data_dir
        self._metrics = Metrics(surroundings.shard.name if surroundings.shard else None)
        self._health = Health(surroundings.clock)
        self._status = FleetStatus(self._metrics)
        self._ends, self._liveness = EndOfStream(), Liveness(surroundings.clock)
        self._calibration, self._measures = CalibrationStatus(self._metrics), LiveMeasures()
        self._device = resolve_device(config.device).type
        self._hooks = Hooks(
            self._config,
            status=self._status,
            liveness=self._liveness,
            calibration=self._calibration,
            metrics=self._metrics,
            clock=surroundings.clock,
            device=self._device,
        )
        self._watched: dict[str, PreparedCamera] = {}
        self._shown = Shown.of(self._config, self._watched, surroundings.clock)
        seen = config.web.listen or surroundings.held
        self._subscribers = self._shown.among(surroundings.subscribers) if seen else surroundings.subscribers
        self._metrics.show_dropped_lines(surroundings.dropped_lines)
        self._guard = ThreadGuard(
            surroundings.clock,
            on_fault=lambda thread: self._metrics.thread_faults.labels(thread).inc(),
            on_repeating=partial(self._hooks.degraded.record, Degradation.THREAD_FAULTS),
            backoff=surroundings.guard_backoff,
        )

    def components(self) -> Components:
        config, clock = self._config.value, self._around.clock
        engine = ResilientEngine(self._make_engine, batch_frames=max_batch_frames(self._device))
        held = self._around.held
        kept = held.renewing(engine.prepared) if held else engine.prepared
        scenes = load_scenes(config, config.enabled_cameras, kept, fetch_missing)
        persistence = self._persistence()
        rings: dict[str, ClipRing] = {}
        clips = self._clips(rings)
        writer = self._writer()
        collector = EvidenceCollector(clips=clips, may_keep=self._hooks.may_keep, on_clip=writer.put)
        publisher = self._make_publisher(persistence, writer)
        self._hooks.connect(publisher, persistence.deliveries)
        slots = FrameSlots(depth=LOSSLESS_DEPTH if self._until_eof else 1, lossless=self._until_eof, on_drop=self._status.drop)
        pipeline = self._pipeline(slots, engine, publisher, collector, writer)
        fleet = self._fleet(slots, rings)
        guard = None if self._until_eof else self._guard
        loop = PipelineLoop(pipeline, self._health, clock=clock, recover=engine.rebuild, guard=guard)
        loop.on_iteration = self._after_batch(pipeline, slots, fleet, writer, loop)
        models = UsedModelFiles()
        setup = self._setup(engine, pipeline, collector, persistence)
        for camera, known in scenes.items():
            models.record(config, camera)
            setup.set_up(setup.prepare(config, camera, known))
            fleet.add(camera, camera_plan(config, camera, known.first))
        return Components(
            config=self._config,
            clock=clock,
            metrics=self._metrics,
            health=self._health,
            status=self._status,
            ends=self._ends,
            liveness=self._liveness,
            calibration=self._calibration,
            models=models,
            persistence=persistence,
            writer=writer,
            clips=clips,
            collector=collector,
            publisher=publisher,
            engine=engine,
            pipeline=pipeline,
            loop=loop,
            fleet=fleet,
            setup=setup,
            recalibration=self._recalibration(persistence, setup, publisher),
            guard=self._guard,
            shown=self._shown,
            held=self._around.held,
        )

    def _make_engine(self) -> ScoringEngine:
        def measure_batch(frames: int, duration_s: float) -> None:
            self._hooks.measure_batch(frames, duration_s)
            self._shown.load.record(frames, duration_s)

        return self._around.engine_factory(self._config.value, None if self._until_eof else 1, measure_batch)

    def _persistence(self) -> Persistence:
        on_full, held = partial(self._hooks.degraded.record, Degradation.DISK_FULL), self._around.held
        persistence = Persistence(
            self._config,
            self._folder,
            metrics=self._metrics,
            clock=self._around.clock,
            on_full=on_full,
            on_replaced=partial(self._hooks.happened, Degradation.DATABASE_REPLACED),
            token_of=held.token_of if held else lambda _: None,
        )
        if held:
            self._metrics.cameras_elsewhere.set_function(lambda: len(held.elsewhere()))
        self._stack.callback(persistence.close)
        if self._device.startswith("cuda"):
            self._metrics.show_device(self._device, device_memory)
        return persistence

    def _writer(self) -> EvidenceWriter:
        return EvidenceWriter(
            self._folder,
            lossless=self._until_eof,
            write=self._around.write_evidence,
            on_written=partial(self._hooks.written, Degradation.NO_EVIDENCE),
            on_given_up=self._hooks.given_up,
        )

    def _make_publisher(self, persistence: Persistence, writer: EvidenceWriter) -> Publisher:
        return Publisher(
            persistence.store,
            writer,
            subscribers=self._subscribers,
            metrics=self._metrics,
            clock=self._around.clock,
            on_degraded=self._hooks.degraded.record,
            on_stuck=self._hooks.stuck,
        )

    def _pipeline(
        self,
        slots: FrameSlots,
        engine: ResilientEngine,
        publisher: Publisher,
        collector: EvidenceCollector,
        writer: EvidenceWriter,
    ) -> Pipeline:
        batcher = daemon_batcher(slots, lossless=self._until_eof, max_frames=max_batch_frames(self._device))
        pool = None if self._until_eof else FramePool()
        if pool:
            self._stack.callback(pool.close)
        selector, scores = (
            NormalFrameSelector(self._hooks.updates if not self._until_eof else lambda _: False),
            self._subscribers.scores,
        )
        outputs = Outputs(
            publisher,
            collector,
            writer,
            selector,
            None if self._until_eof else self._measures,
            scores,
            partial(show_regime, self._calibration),
        )
        clock = self._around.clock
        faults = None if self._until_eof else CameraFaults(clock, self._guard)
        status, metrics = self._status, self._metrics
        return Pipeline(batcher, engine, outputs=outputs, status=status, metrics=metrics, clock=clock, faults=faults, pool=pool)

    def _clips(self, rings: dict[str, ClipRing]) -> ClipRecorder:
        return ClipRecorder(
            self._folder / "clips",
            self._config.value.clips,
            rings,
            clock=self._around.clock,
            on_written=partial(self._hooks.written, Degradation.NO_CLIPS),
        )

    def _setup(
        self, engine: ScoringEngine, pipeline: Pipeline, collector: EvidenceCollector, persistence: Persistence
    ) -> CameraSetup:
        config, now_s = self._config.value, self._around.clock.wall_s()
        return CameraSetup(
            engine,
            pipeline,
            self._calibration,
            collector,
            self._liveness,
            self._metrics,
            persistence.snoozes.snoozed,
            lambda: self._config.value,
            self._around.in_force or InForce.load(persistence.database, config, now_s),
            self._measures,
            self._watched,
        )

    def _recalibration(self, persistence: Persistence, setup: CameraSetup, publisher: Publisher) -> RecalibrationTask:
        fleet = WatchedFleet(
            lambda: self._config.value, setup.scenes_of, setup.apply, lambda notice: publisher.publish(Publication(notice))
        )
        work = Recalibrator(persistence.database, setup.measures, setup.in_force, fleet, self._around.clock)
        return RecalibrationTask(work, self._around.clock)

    def _fleet(self, slots: FrameSlots, rings: dict[str, ClipRing]) -> Fleet:
        context = CameraContext(
            slots,
            self._around.clock,
            self._metrics,
            self._status,
            self._health,
            on_frame=self._hooks.frame_came,
            on_picture=self._hooks.picture_came,
            on_end=self._ends.record,
            guard=self._guard,
            backoff=self._around.backoff,
        )
        return Fleet(context, paced=not self._until_eof, opener=self._around.opener, rings=rings)

    def _after_batch(
        self, pipeline: Pipeline, slots: FrameSlots, fleet: Fleet, writer: EvidenceWriter, loop: PipelineLoop
    ) -> AfterBatch:
        return AfterBatch(
            pipeline,
            slots,
            fleet,
            self._liveness,
            self._ends,
            writer,
            self._metrics,
            self._stopping,
            on_all_ended=loop.end if self._until_eof else None,
        )
