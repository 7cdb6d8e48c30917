"""A camera that is watched for days in seconds: a real database, a real policy, and values instead of pictures."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from streamwatch.config.schema import Config
from streamwatch.detection.camera_monitor import Observation
from streamwatch.detection.live_measures import LiveMeasures
from streamwatch.enums import EndReason, EventType
from streamwatch.events.tracker import ZoneObservation
from streamwatch.ids import uuid7
from streamwatch.inference.engine import WatchedScene
from streamwatch.model.artifact.serialization import Provenance
from streamwatch.model.calibration.thresholds import NormalPeaks, calibrate
from streamwatch.model.embedding.identity import EmbeddingIdentity
from streamwatch.model.scene import SceneModel
from streamwatch.model.scoring.levels import APPEARANCE, MOTION, FieldUnits
from streamwatch.recalibration.in_force import InForce
from streamwatch.recalibration.recalibrator import Recalibrator, WatchedFleet
from streamwatch.records import Event, EventChange, Float64Array, Notice, Peak
from streamwatch.scenes.model_files import CameraScenes
from streamwatch.scenes.policy import CalibratedPolicy, policies_for
from streamwatch.store.event_store import EventStore

FOOTAGE_S = 120.0
Values = Mapping[str, Float64Array]
"""By field, what was measured sample by sample."""
HELD = {APPEARANCE: 20.0, MOTION: 40.0}
"""What two minutes of normal footage held."""


def footage(zone: str, name: str) -> NormalPeaks:
    """What the footage showed of a field."""
    held = HELD[name]
    return NormalPeaks(zone, held, held, FOOTAGE_S, (held, held * 0.9), 1.0, 30.0, name, held, held / 10, 0.0)


def scenes_of(*zones: str, learned_at_s: float = 1.0) -> CameraScenes:
    """A model that was calibrated on the footage, with these zones."""
    model = SceneModel(EmbeddingIdentity("resnet18", "untrained", "0" * 64, ("layer1",), 1, 0, (0,)), features="both")
    model.units_ = FieldUnits(25.0, 50.0)
    known = [footage(zone, name) for zone in ("", *zones) for name in (APPEARANCE, MOTION)]
    model.calibration_ = calibrate([0.5] * 100, tuple(known))
    return CameraScenes(WatchedScene(model), {}, {None: Provenance((), learned_at_s, FOOTAGE_S, learned_at_s)})


def config_of(folder: Path, **camera: object) -> Config:
    """One camera, and of its settings what is given."""
    source = {"source": "rtsp://127.0.0.1:1/", **camera}
    return Config.model_validate({"version": 1, "data_dir": folder, "cameras": {"cam": source}})


class SimulatedClock:
    """Time that passes when somebody says so."""

    def __init__(self) -> None:
        self.now_s = 1.75e9

    def monotonic_s(self) -> float:
        """Seconds."""
        return self.now_s

    def wall_s(self) -> float:
        """Seconds since the Unix epoch."""
        return self.now_s

    def wait(self, stop: threading.Event, timeout_s: float) -> bool:
        """Let that time pass; whether ``stop`` is set."""
        self.now_s += timeout_s
        return stop.is_set()


@dataclass
class WatchedSite:
    """One camera, and what calibrates it.

    Attributes:
        applied: how often other thresholds were put to work.
    """

    folder: Path
    database: Engine
    camera: dict[str, object] = field(default_factory=dict)
    scenes: CameraScenes = field(default_factory=scenes_of)
    clock: SimulatedClock = field(default_factory=SimulatedClock)
    measures: LiveMeasures = field(default_factory=LiveMeasures)
    notices: list[Notice] = field(default_factory=list)
    applied: int = 0
    _loaded: tuple[dict[str, object], Config] | None = None

    def __post_init__(self) -> None:
        (self.folder / "models").mkdir(exist_ok=True)
        self.start()

    def start(self) -> None:
        """As a daemon does: from what the database says."""
        self.measures = LiveMeasures()
        self.in_force = InForce.load(self.database, self.config, self.clock.wall_s())
        fleet = WatchedFleet(lambda: self.config, lambda _: self.scenes, self._apply, self.notices.append)
        self.recalibrator = Recalibrator(self.database, self.measures, self.in_force, fleet, self.clock)

    def _apply(self, _config: Config, _camera: str, _scenes: CameraScenes, _on_overtaken: Callable[[], None]) -> None:
        self.applied += 1

    @property
    def config(self) -> Config:
        """In force; another object when ``camera`` has changed."""
        if self._loaded is None or self._loaded[0] != self.camera:
            self._loaded = (dict(self.camera), config_of(self.folder, **self.camera))
        return self._loaded[1]

    def policies(self) -> dict[str, CalibratedPolicy]:
        """What the daemon would judge by now."""
        known = self.in_force.calibrations(self.config, "cam", self.scenes)[None]
        return policies_for(self.config, "cam", self.scenes.first.model, calibration=known)

    def starts(self, zone: str = "") -> dict[str, float]:
        """Start thresholds by field."""
        return {judged.known.field: judged.thresholds.start for judged in self.policies()[zone].fields}

    def watch(self, values: Values, *, rate_hz: float = 1.0, zone: str = "", every_s: float = 600.0) -> None:
        """Time passes in which fields measure this, and the calibration does its work now and then."""
        due_s = self.clock.now_s + every_s
        for measured in zip(*(of_field.tolist() for of_field in values.values()), strict=True):
            self.clock.now_s += 1 / rate_hz
            self.measures.record("cam", self.clock.now_s, seen(zone, tuple(zip(values, measured, strict=True))))
            if self.clock.now_s >= due_s:
                due_s += every_s
                self.recalibrator.run_once()

    def event(self, start_s: float, duration_s: float, label: str | None) -> Event:
        """An event that the daemon raised, and what a person called it."""
        event = Event(uuid7(start_s), "cam", "", start_s, 0.0, Peak(2.0, start_s, 0.0), 1.0, 0.95)
        store, end_s = EventStore(self.database), start_s + duration_s
        store.record(EventChange(EventType.ANOMALY_STARTED, event, start_s))
        ended = replace(event, end_wall_s=end_s, end_time_s=duration_s, reason=EndReason.NORMAL)
        store.record(EventChange(EventType.ANOMALY_ENDED, ended, end_s))
        store.label(event.id, label)
        return event


def seen(zone: str, highest: tuple[tuple[str, float], ...]) -> Observation:
    """A frame that is judged, with nothing open."""
    of_zone = ZoneObservation(zone, 0.0, None, (), lasts=False, holds=False, at_peak=False, idle=True, highest=highest)
    return Observation(counts=True, quiet=True, normal=True, ratio=0.0, zones=(of_zone,))


def quiet(seconds: float, rng: np.random.Generator) -> dict[str, Float64Array]:
    """Normal life: both fields tremble around half of what footage held."""
    return {name: held * (0.5 + 0.05 * rng.normal(size=int(seconds))) for name, held in HELD.items()}


def with_thing(values: Values, at_s: int, lasts_s: int, times: float, name: str = MOTION) -> Values:
    """The same, and for a while one field reads so many times what the footage held."""
    changed = values[name].copy()
    changed[at_s : at_s + lasts_s] = times * HELD[name]
    return {**values, name: changed}
