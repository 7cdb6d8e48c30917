"""A daemon on simulated cameras, everything observed: what was scored, what was damaged, what was told."""

from __future__ import annotations

import json
import math
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext

from streamwatch.clock import SystemClock
from streamwatch.config.schema import Config
from streamwatch.daemon.assembly import Surroundings, make_engine
from streamwatch.daemon.config_file import ConfigFile
from streamwatch.daemon.service import Service
from streamwatch.detection.publisher import Subscribers
from streamwatch.evidence.writer import WriteFile
from streamwatch.files import write_atomically
from streamwatch.inference.factory import build_engine
from streamwatch.learning.fit import FitResult, learn_scene
from streamwatch.learning.footage import Footage
from streamwatch.metrics import Metrics
from streamwatch.model.artifact.serialization import save_model
from streamwatch.model.embedding.identity import BackboneSpec
from streamwatch.records import EventChange, Frame, Notice, UInt8Array
from streamwatch.retry import Backoff, caught
from streamwatch.scores import FrameScore
from streamwatch.simulator.faults import Fault
from streamwatch.simulator.media import Track, encode_track
from streamwatch.simulator.server import SimulatedCamera
from streamwatch.threads import GUARD_BACKOFF
from streamwatch.video.scaling import Scaler
from streamwatch.video.sources import parse_source
from streamwatch.video.streams.opener import PyAvOpener
from tools.footage import QUICK_PRECISION, encode

RATE_HZ = 10
LOOP_FRAMES = 100
LEARNED_LOOPS = 4
DIMS, FEW_DIMS = 100, 30
"""The model's size where load is what is tested, and where it is not."""
DAMAGED_LEVELS = 12.0
"""A cell of 8x8 pixels that is this many grey levels off every picture of the recording is damage."""
_CELLS = (32, 32)


def courtyard_loop(seed: int = 1, frames: int = LOOP_FRAMES) -> Iterator[UInt8Array]:
    """A textured place, 640x480, in which a square goes to and fro; the last picture leads to the first."""
    place = np.random.default_rng(0).integers(60, 180, (15, 20, 3), dtype=np.uint8).repeat(32, 0).repeat(32, 1)
    rng = np.random.default_rng(seed)
    for number in range(frames):
        picture = place.copy()
        x = round(280 + 240 * np.sin(4 * np.pi * number / frames))
        picture[160:256, x : x + 80] = (30, 30, 200)
        noise = rng.normal(0, 2, (240, 320, 1)).repeat(2, 0).repeat(2, 1)
        yield np.clip(picture + noise, 0, 255).astype(np.uint8)


@dataclass
class Observed:
    """What the daemon did, noted as it happens; times are monotonic."""

    scored_at_s: dict[str, list[float]] = field(default_factory=dict)
    damaged: Counter[str] = field(default_factory=Counter)
    changes: list[EventChange] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    watch_damage: bool = True
    latencies_s: list[float] = field(default_factory=list)

    def first_scored_after(self, camera: str, at_s: float) -> float | None:
        """When the camera's next frame after ``at_s`` was scored."""
        return next((t for t in list(self.scored_at_s.get(camera, ())) if t > at_s), None)


class _Spy:
    """An engine that notes what it is asked to score."""

    def __init__(self, engine: Any, observed: Observed, references: UInt8Array) -> None:
        self._engine, self._observed = engine, observed
        self._references = references.reshape(len(references), -1).astype(np.int16)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def score(self, frames: Sequence[Frame]) -> list[FrameScore]:
        scored: list[FrameScore] = self._engine.score(frames)
        now_s = time.monotonic()
        for frame in frames:
            self._observed.scored_at_s.setdefault(frame.camera, []).append(now_s)
            self._observed.latencies_s.append(now_s - frame.captured_at_s)
            if self._observed.watch_damage and self._is_damaged(frame):
                self._observed.damaged[frame.camera] += 1
        return scored

    def _is_damaged(self, frame: Frame) -> bool:
        off = np.abs(self._references - cells(frame.pixels).ravel().astype(np.int16))
        return float(off.max(axis=1).min()) > DAMAGED_LEVELS


def cells(pixels: UInt8Array) -> UInt8Array:
    """(32, 32) mean grey levels."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, _CELLS, interpolation=cv2.INTER_AREA), dtype=np.uint8)


@dataclass
class Site:
    """A running daemon with its cameras."""

    service: Service
    cameras: dict[str, SimulatedCamera]
    observed: Observed
    config_path: Path
    failures: list[Exception] = field(default_factory=list)
    """What the daemon ended with, if it did not end well."""

    @property
    def metrics(self) -> Metrics:
        """Of the daemon."""
        return self.service.parts.metrics

    def sample(self, name: str, camera: str, **labels: str) -> float:
        """A metric of one camera."""
        value = self.metrics.registry.get_sample_value(f"streamwatch_{name}", {"camera": camera, **labels})
        return value or 0.0

    def dropped(self, camera: str) -> float:
        """Frames of a camera that were dropped, for whatever reason."""
        return float(sum(self.service.parts.status.drops(camera).values()))

    def wait_scored(self, camera: str, after_s: float, within_s: float) -> float | None:
        """When the camera's first frame after ``after_s`` was scored; None if none was within ``within_s`` from now."""
        deadline_s = time.monotonic() + within_s
        while time.monotonic() < deadline_s:
            at_s = self.observed.first_scored_after(camera, after_s)
            if at_s is not None:
                return at_s
            time.sleep(0.02)
        return None


def references_of(track: Track) -> UInt8Array:
    """Every picture of the track as the reader sees it, reduced to cells."""
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, VideoCodecContext)
    scaler, frames = Scaler(), []
    for unit in track.units:
        frames += decoder.decode(av.Packet(b"".join(b"\x00\x00\x00\x01" + nal for nal in unit.nals)))
    frames += decoder.decode(None)
    assert len(frames) == len(track.units)
    return np.stack([cells(scaler.model_input(frame)) for frame in frames])


def site_config(
    folder: Path, cameras: dict[str, SimulatedCamera], fps: float, transport: str, dims: int = DIMS
) -> dict[str, Any]:
    """A configuration of simulated cameras, with short time-outs."""
    return {
        "version": 1,
        "data_dir": str(folder / "data"),
        "backbone": {"weights": "untrained", "dims": dims},
        "defaults": {
            "fps": fps,
            "transport": transport,
            "min_duration": "1s",
            "end_delay": "1s",
            "cooldown": "2s",
            "open_timeout": "2s",
            "read_timeout": "2s",
            "offline_after": "4s",
        },
        "cameras": {name: {"source": camera.url} for name, camera in cameras.items()},
        "metrics": {"listen": None},
        "web": {"listen": None},
    }


@contextmanager
def running_site(
    folder: Path,
    count: int,
    *,
    fps: float = 5.0,
    transport: str = "tcp",
    dims: int = DIMS,
    learned_fps: float = RATE_HZ,
    more: Mapping[str, Any] | None = None,
    evidence_dir: Path | None = None,
    write_evidence: WriteFile = write_atomically,
    guard_backoff: Backoff = GUARD_BACKOFF,
    may_fail: bool = False,
) -> Iterator[Site]:
    """A daemon on ``count`` simulated cameras, all of them scoring when it is handed over.

    Args:
        may_fail: what the daemon ends with is for the caller to look at, in ``failures``; else it is raised.
        more: keys of the configuration, beside or in the place of the usual ones; a mapping is merged.
        write_evidence: writes a file of evidence.
        evidence_dir: where its database and evidence are; None is its data folder.
    """
    track = encode_track(courtyard_loop(), RATE_HZ)
    references = references_of(track)
    cameras = {f"cam{n}": SimulatedCamera(track) for n in range(count)}
    for camera in cameras.values():
        camera.start()
    document = site_config(folder, cameras, fps, transport, dims)
    for key, value in (more or {}).items():
        document[key] = {**document.get(key, {}), **value} if isinstance(value, Mapping) else value
    learn(folder, cameras, dims, learned_fps)
    path = folder / "site.yaml"
    path.write_text(json.dumps(document))
    observed = Observed()
    around = Surroundings(
        Subscribers((lambda change, _path: observed.changes.append(change),), (observed.notices.append,)),
        backoff=Backoff(0.5, 4.0, 60.0),
        guard_backoff=guard_backoff,
        evidence_dir=evidence_dir,
        write_evidence=write_evidence,
        engine_factory=lambda *asked: _Spy(make_engine(*asked), observed, references),
    )
    service = Service(Config.model_validate(document), until_eof=False, config_file=ConfigFile(path), surroundings=around)
    site = Site(service, cameras, observed, path)
    thread = threading.Thread(target=lambda: site.failures.extend(filter(None, [caught(service.run)])), name="service")
    thread.start()
    try:
        for name in cameras:
            if site.wait_scored(name, 0.0, 30) is None:
                raise AssertionError(f"{name} never scored a frame")
        yield site
    finally:
        service.stop()
        thread.join(30)
        for camera in cameras.values():
            camera.stop()
    if site.failures and not may_fail:
        raise site.failures[0]


def learn(folder: Path, cameras: Iterable[str], dims: int = DIMS, fps: float = RATE_HZ) -> None:
    """One model for all, because they show the same place, of as many frames whatever the rate."""
    learned = _courtyard(dims, fps)
    for name in cameras:
        save_model(learned.model, folder / "data/models" / f"{name}.safetensors", learned.provenance)


@cache
def _courtyard(dims: int, fps: float) -> FitResult:
    """The courtyard, learned once a process and rate."""
    engine = build_engine(BackboneSpec(weights="untrained", dims=dims), device="auto", precision=QUICK_PRECISION)
    with tempfile.TemporaryDirectory() as folder:
        count = math.ceil(LEARNED_LOOPS * RATE_HZ / fps)
        loops = (picture for seed in range(count) for picture in courtyard_loop(seed))
        source = parse_source(str(encode(Path(folder) / "normal.mp4", loops, fps=RATE_HZ)))
        footage = Footage((source,), fps=fps, features="both")
        return learn_scene(footage, engine, opener=PyAvOpener(), clock=SystemClock())


@dataclass(frozen=True)
class FaultResult:
    """One row of the fault matrix.

    Attributes:
        recovery_s: from the fault's end, or the back-off's if that is later, to the first scored frame; None if never.
        damaged: damaged frames that were scored; None where the fault changes the picture itself.
    """

    fault: str
    cameras: int
    transport: str
    recovery_s: float | None
    damaged: int | None
    false_events: int
    others_lost: int
    told: tuple[str, ...]

    @property
    def recovered(self) -> bool:
        """Whether it was scored again."""
        return self.recovery_s is not None


PICTURE_FAULTS = ("freeze", "black", "covered", "resize")


def inflict(site: Site, fault: Fault, label: str, transport: str, *, settle_s: float = 3.0) -> FaultResult:
    """Do it to the first camera and watch what becomes of all."""
    victim, *others = site.cameras
    observed = site.observed
    before = {name: site.dropped(name) for name in others}
    events, notices = len(observed.changes), len(observed.notices)
    observed.watch_damage = fault.kind not in PICTURE_FAULTS
    observed.damaged.clear()
    site.cameras[victim].inject(fault)
    time.sleep(min(fault.duration_s, 3600) if fault.duration_s else 0.5)
    ended_s = time.monotonic()
    at_s = site.wait_scored(victim, ended_s, 40)
    time.sleep(settle_s)
    waited_until_s = max(ended_s, min(site.service.parts.status.retry_at_s(victim) or 0.0, at_s or 0.0))
    damaged = sum(observed.damaged.values()) if observed.watch_damage else None
    return FaultResult(
        label,
        len(site.cameras),
        transport,
        None if at_s is None else at_s - waited_until_s,
        damaged,
        len(observed.changes) - events,
        round(sum(site.dropped(name) - before[name] for name in others)),
        tuple(dict.fromkeys(notice.type for notice in observed.notices[notices:])),
    )
