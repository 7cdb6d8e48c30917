"""The pipeline between batcher and store, on fakes: stale frames, cameras that come and go, faults of the picture."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from streamwatch.capture.liveness import LivenessChange
from streamwatch.capture.slots import FrameSlots
from streamwatch.capture.status import FleetStatus
from streamwatch.detection.batcher import Batcher
from streamwatch.detection.camera_faults import CameraFaults
from streamwatch.detection.camera_monitor import CameraMonitor, Observation
from streamwatch.detection.pipeline import Pipeline
from streamwatch.detection.publisher import Publisher, Subscribers
from streamwatch.detection.reporter import Outputs
from streamwatch.enums import EndReason
from streamwatch.events.decision import EventPolicy
from streamwatch.events.drift import DriftMonitor
from streamwatch.events.tamper import TamperDetector
from streamwatch.events.tracker import EventTracker, ZonePolicy
from streamwatch.evidence.collector import EvidenceCollector
from streamwatch.evidence.normal_frames import NormalFrameSelector
from streamwatch.evidence.writer import EvidenceWriter
from streamwatch.ids import uuid7
from streamwatch.inference.engine import WatchedScene
from streamwatch.inference.resilient_engine import ResilientEngine
from streamwatch.metrics import Metrics
from streamwatch.model.embedding.identity import EmbeddingIdentity
from streamwatch.model.scene import SceneModel
from streamwatch.model.scoring.levels import FieldUnits
from streamwatch.records import BoolGrid, EventChange, Frame, Notice, UInt8Array
from streamwatch.retry import Backoff
from streamwatch.scenes.policy import CalibratedPolicy, ScenePolicy
from streamwatch.scores import FrameScore, Spread
from streamwatch.store.event_store import Record
from streamwatch.threads import ThreadGuard
from tests.scores import frame_score
from tests.test_retry import FakeClock

RNG = np.random.default_rng(0)
SCENE = RNG.integers(40, 200, (256, 256, 3), dtype=np.uint8)
BLACK = np.zeros((256, 256, 3), np.uint8)


class FakeEngine:
    """Says whatever level it is set to."""

    def __init__(self) -> None:
        self.level = 1.0
        self.spread = Spread(8.0, 0.3)
        self.watched: set[str] = set()
        self.broken: set[str] = set()
        self.dead = False

    def prepared(self, camera: str, scene: WatchedScene) -> WatchedScene:
        """Takes any."""
        return scene

    def watch(self, camera: str, scene: WatchedScene) -> None:
        self.watched.add(camera)

    def measure_in(self, camera: str, units: FieldUnits | None, zones: Sequence[BoolGrid] = ()) -> None:
        """Has no units."""

    def unwatch(self, camera: str) -> None:
        self.watched.discard(camera)

    def probe(self) -> None:
        if self.dead:
            raise RuntimeError("the device is gone")

    def score(self, frames: Sequence[Frame]) -> list[FrameScore]:
        if broken := [frame.camera for frame in frames if frame.camera in self.broken]:
            raise ValueError(f"the model of {broken[0]} has another shape")
        grid = np.full((64, 64), self.level, np.float32)
        return [frame_score(f, grid, self.level, spread=self.spread) for f in frames]


class Bench:
    """A pipeline with one live camera, and what it wrote down."""

    def __init__(self, folder: Path, *, live: bool = True) -> None:
        self.clock, self.engine, self.metrics = FakeClock(), FakeEngine(), Metrics()
        self.changes: list[EventChange] = []
        self.notices: list[Notice] = []
        self.switches: list[tuple[str, bool]] = []
        self.status = FleetStatus(self.metrics)
        self.slots = FrameSlots(depth=4, lossless=False, on_drop=lambda *_: None)
        batcher = Batcher(self.slots, max_frames=8, gather_s=0, idle_s=0)
        writer = EvidenceWriter(folder)
        self.publisher = Publisher(self, writer, subscribers=Subscribers(), metrics=self.metrics, clock=self.clock)
        outputs = Outputs(
            self.publisher,
            EvidenceCollector(),
            writer,
            NormalFrameSelector(lambda _: False),
            on_regime=lambda _camera, regime, policy: self.switches.append((regime, policy is not None)),
        )
        self.faults: list[str] = []
        guard = ThreadGuard(self.clock, on_fault=self.faults.append, backoff=Backoff(first_s=5.0, max_s=30.0))
        self.pipeline = Pipeline(
            batcher,
            ResilientEngine(lambda: self.engine),
            outputs=outputs,
            status=self.status,
            metrics=self.metrics,
            clock=self.clock,
            faults=CameraFaults(self.clock, guard) if live else None,
        )
        self.add("cam")
        self.frames = 0

    def add(self, camera: str, *, alert_threshold: float = float("inf")) -> None:
        tracker = EventTracker(camera, ZonePolicy(EventPolicy(10, 5, 0.5, 0.5, 0.5), alert_threshold), new_id=uuid7)
        self.pipeline.add(CameraMonitor(camera, [tracker], TamperDetector(), max_age_s=2.0, drift=DriftMonitor(8.0, 10.0)))

    def token_of(self, _camera: str) -> int | None:
        return None

    def record_all(self, records: Sequence[Record]) -> None:
        for item, _ in records:
            if isinstance(item, Notice):
                self.notices.append(item)
            else:
                self.changes.append(item)

    def show(self, pixels: UInt8Array | None = None, *, level: float = 1.0, age_s: float = 0.0, camera: str = "cam") -> int:
        """One frame, a fifth of a second after the one before."""
        self.clock.now_s += 0.2
        self.engine.level = level
        shown = (
            np.clip(SCENE.astype(int) + RNG.integers(-2, 3, SCENE.shape), 0, 255).astype(np.uint8) if pixels is None else pixels
        )
        now_s = self.clock.now_s
        self.slots.put(Frame(camera, self.frames, now_s, 1e9 + now_s, now_s - age_s, shown), threading.Event())
        self.frames += 1
        return self.run_once()

    def run_once(self, alive: Callable[[], bool] = lambda: True) -> int:
        """A batch, and all that it comes to published."""
        scored = self.pipeline.run_once(alive)
        self.publisher.publish_waiting()
        return scored

    @property
    def told(self) -> list[str]:
        return [change.type for change in self.changes]


def scene_policy(events: EventPolicy) -> ScenePolicy:
    """What a scene without a model is judged by."""
    identity = EmbeddingIdentity("resnet18", "untrained", "0" * 64, ("layer1",), 1, 0, (0,))
    return ScenePolicy(
        WatchedScene(SceneModel(identity)), {"": CalibratedPolicy(ZonePolicy(events), ())}, 10.0, DriftMonitor(8.0, 10.0)
    )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def sample(bench: Bench, name: str, **labels: str) -> float:
    return bench.metrics.registry.get_sample_value(f"streamwatch_{name}", {"camera": "cam", **labels}) or 0.0


def test_a_stale_frame_is_counted_and_not_scored(bench: Bench) -> None:
    assert bench.show(age_s=1.9) == 1
    assert bench.show(age_s=2.1, level=99) == 0
    assert sample(bench, "camera_frames_dropped_total", reason="stale") == 1
    assert sample(bench, "camera_frames_scored_total") == 1


def test_a_camera_that_is_removed_ends_its_event_and_is_scored_no_more(bench: Bench) -> None:
    for _ in range(5):
        bench.show(level=20)
    bench.pipeline.post(lambda: bench.pipeline.remove("cam", EndReason.CAMERA_REMOVED))
    assert bench.show(level=20) == 0
    assert bench.told == ["anomaly.started", "anomaly.ended"]
    assert bench.changes[-1].event.reason == "camera_removed"
    assert bench.status.scored_at_s("cam") is None


def test_a_camera_that_is_added_is_scored_with_its_first_frame(bench: Bench) -> None:
    bench.pipeline.post(lambda: bench.add("new"))
    assert bench.show(camera="new") == 1


def _retune(bench: Bench) -> None:
    bench.pipeline.retune("cam", scene_policy(EventPolicy(100, 50, 0.5, 0.5, 0.5)), {})


def test_retuning_keeps_what_is_open(bench: Bench) -> None:
    for _ in range(5):
        bench.show(level=20)
    bench.pipeline.post(partial(_retune, bench))
    for _ in range(8):
        bench.show(level=20)
    assert bench.told == ["anomaly.started", "anomaly.ended"]
    assert sample(bench, "threshold") == 100


def test_a_black_picture_ends_the_event_as_tamper_and_opens_none(bench: Bench) -> None:
    for _ in range(5):
        bench.show(level=20)
    for _ in range(20):
        bench.show(BLACK, level=99)
    assert bench.told == ["anomaly.started", "anomaly.ended"]
    assert bench.changes[-1].event.reason == "tamper"
    assert [(n.type, dict(n.detail)["tamper"], dict(n.detail)["active"]) for n in bench.notices] == [
        ("camera.tamper", "ImageTooDark", True)
    ]
    assert sample(bench, "camera_tamper", kind="ImageTooDark") == 1
    for _ in range(20):
        bench.show()
    assert dict(bench.notices[-1].detail)["active"] is False
    assert sample(bench, "camera_tamper", kind="ImageTooDark") == 0
    assert len(bench.told) == 2


def test_a_lost_camera_ends_its_event_and_its_return_is_told(bench: Bench) -> None:
    for _ in range(5):
        bench.show(level=20)
    bench.pipeline.change_liveness(LivenessChange("cam", False, 31.0))
    bench.pipeline.change_liveness(LivenessChange("cam", True, 40.0))
    bench.pipeline.change_liveness(LivenessChange("stranger", False, 31.0))
    bench.publisher.publish_waiting()
    assert bench.changes[-1].event.reason == "camera_lost"
    assert [n.type for n in bench.notices] == ["camera.offline", "camera.online"]
    assert sample(bench, "events_total", type="camera.offline") == 1


def test_late_results_of_a_thread_that_was_replaced_go_nowhere(bench: Bench) -> None:
    bench.clock.now_s += 0.2
    bench.engine.level = 99
    bench.slots.put(Frame("cam", 0, 0.0, 1e9, bench.clock.now_s, SCENE), threading.Event())
    assert bench.run_once(lambda: False) == 0
    assert sample(bench, "camera_frames_scored_total") == 0


def test_a_scene_that_is_no_longer_as_learned_is_told_once_and_what_an_event_shows_is_no_drift(bench: Bench) -> None:
    for _ in range(4):
        bench.show(level=20)
    bench.engine.spread = Spread(14.0, 0.3)
    for _ in range(60):
        bench.clock.now_s += 0.2
        bench.show(level=20)
    assert bench.notices == []
    for _ in range(60):
        bench.clock.now_s += 60
        bench.show()
    assert [(n.type, dict(n.detail)["active"]) for n in bench.notices] == [("model.drift", True)]
    assert "streamwatch fit" in str(dict(bench.notices[0].detail)["hint"])
    assert sample(bench, "model_drift_ratio") > 1.25


def test_a_camera_whose_model_cannot_score_stops_only_itself_and_is_tried_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.add("bad")
    bench.engine.broken.add("bad")
    for camera in ("bad", "cam"):
        frame = Frame(camera, 0, 0.0, 1e9, bench.clock.now_s, SCENE)
        bench.slots.put(frame, threading.Event())
    assert bench.run_once() == 1, "the other camera's frame of the same batch is scored"
    assert bench.faults == ["scoring bad"]
    assert bench.show(camera="bad") == 0, "it is left alone for a while"
    assert bench.faults == ["scoring bad"]
    bench.clock.now_s += 30.0
    bench.engine.broken.clear()
    assert bench.show(camera="bad") == 1


def test_where_the_device_fails_it_is_no_cameras_fault_and_is_raised(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.add("idle")
    bench.engine.broken.add("cam")
    bench.engine.dead = True
    with pytest.raises(ValueError, match="another shape"):
        bench.show()
    assert bench.faults == []


def test_the_only_camera_of_a_site_is_left_alone_too(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.engine.broken.add("cam")
    assert bench.show() == 0
    assert bench.faults == ["scoring cam"]


def test_an_open_event_ends_when_its_camera_is_left_alone(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for _ in range(8):
        bench.show(level=20.0)
    assert bench.told == ["anomaly.started"]
    bench.engine.broken.add("cam")
    bench.show(level=20.0)
    assert bench.told == ["anomaly.started", "anomaly.ended"]
    assert bench.changes[-1].event.reason == EndReason.CRASH


def test_what_was_posted_and_fails_is_tried_again_and_keeps_nothing_else_from_being_done(tmp_path: Path) -> None:
    bench, tries, done = Bench(tmp_path), list[int](), list[str]()

    def fails_once() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise OSError("of ours")

    bench.pipeline.post(fails_once)
    bench.pipeline.post(lambda: done.append("other"))
    bench.run_once()
    assert done == ["other"]
    bench.run_once()
    bench.run_once()
    assert len(tries) == 2


def test_of_recordings_a_fault_of_one_camera_is_raised(tmp_path: Path) -> None:
    bench = Bench(tmp_path, live=False)
    bench.add("bad")
    bench.engine.broken.add("bad")
    with pytest.raises(ValueError, match="another shape"):
        bench.show(camera="bad")


def test_a_fault_in_what_watches_one_camera_is_that_cameras(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    class Faulty(CameraMonitor):
        def observe(self, scored: FrameScore, now_wall_s: float) -> Observation:
            raise ZeroDivisionError("of ours")

    tracker = EventTracker("bad", ZonePolicy(EventPolicy(10, 5, 0.5, 0.5, 0.5), float("inf")), new_id=uuid7)
    bench.pipeline.add(Faulty("bad", [tracker], TamperDetector()))
    bench.show(camera="bad")
    assert bench.faults == ["scoring bad"]
    assert bench.show() == 1
    assert bench.status.scored("cam") == 1
