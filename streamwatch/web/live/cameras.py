"""What every camera is doing now, in one document that all viewers share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from streamwatch.capture.status import FleetStatus
from streamwatch.clock import Clock
from streamwatch.detection.camera_monitor import CameraMonitor
from streamwatch.enums import CameraState, DisconnectKind, DropReason, TamperKind
from streamwatch.scenes.policy import CalibratedPolicy
from streamwatch.web.live.levels import LevelHistory
from streamwatch.web.live.shared import Shared

ZonePolicies = Mapping[str, CalibratedPolicy]


@dataclass(frozen=True, slots=True)
class FieldNow:
    """One field of the picture: what it measures, and what it may."""

    name: str
    value: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far a camera's thresholds are from what its alarm budget asks of them.

    Attributes:
        footage_s, needed_s: seconds of normal footage that were seen, and that are needed; of the field that lacks most.
        budget_per_day, bound_per_day: false alarms that may be, and that the footage rules out.
    """

    footage_s: float
    needed_s: float
    budget_per_day: float
    bound_per_day: float

    @property
    def share(self) -> float:
        """Of what is needed, 0 to 1."""
        return min(self.footage_s / self.needed_s, 1.0) if self.needed_s else 1.0


@dataclass(frozen=True, slots=True)
class CameraNow:
    """One camera.

    Attributes:
        level, threshold: of the newest frame; None before there is one.
        latency_s: from the decoder to the score.
        tamper: what makes its picture one that cannot be watched.
        calibration: None where thresholds were given by hand.
    """

    name: str
    state: CameraState
    level: float | None
    threshold: float | None
    fields: tuple[FieldNow, ...]
    frames_per_s: float
    latency_s: float | None
    scored_wall_s: float | None
    received: int
    scored: int
    drops: Mapping[DropReason, int] = field(default_factory=dict)
    disconnects: Mapping[DisconnectKind, int] = field(default_factory=dict)
    tamper: TamperKind | None = None
    calibration: Calibration | None = None


@dataclass(frozen=True)
class LiveSources:
    """Where it is known from.

    Attributes:
        cameras: those that are watched.
        monitor_of: a camera's; it is looked at, never touched.
        zones_of: how a camera's zones are judged.
    """

    cameras: Callable[[], list[str]]
    status: FleetStatus
    levels: LevelHistory
    monitor_of: Callable[[str], CameraMonitor | None]
    zones_of: Callable[[str], ZonePolicies]
    clock: Clock


class LiveCameras:
    """Asked from any thread."""

    def __init__(self, sources: LiveSources) -> None:
        self._sources, self._known = sources, Shared[list[CameraNow]](sources.clock)

    def all(self) -> list[CameraNow]:
        """Every camera; looked at once for all who ask within half a second."""
        return self._known.get(lambda: [self.one(camera) for camera in self._sources.cameras()])

    def names(self) -> list[str]:
        """Of those that are watched."""
        return self._sources.cameras()

    def zones_of(self, camera: str) -> ZonePolicies:
        """How a camera's zones are judged now."""
        return self._sources.zones_of(camera)

    def one(self, camera: str) -> CameraNow:
        """One of the cameras that are watched."""
        of, newest = self._sources, self._sources.levels.newest(camera)
        monitor = of.monitor_of(camera)
        thresholds = thresholds_of(monitor)
        fields = tuple(FieldNow(n, value, thresholds[n]) for n, value in newest.fields if n in thresholds) if newest else ()
        return CameraNow(
            camera,
            of.status.state_of(camera),
            newest.level if newest else None,
            monitor.start_threshold if monitor else None,
            fields,
            of.levels.rate_per_s(camera),
            newest.latency_s if newest else None,
            newest.wall_s if newest else None,
            of.status.received(camera),
            of.status.scored(camera),
            of.status.drops(camera),
            of.status.disconnects(camera),
            monitor.tamper.active if monitor else None,
            calibration_of(of.zones_of(camera)),
        )


def thresholds_of(monitor: CameraMonitor | None) -> dict[str, float]:
    """At what each field of the picture opens an event, in its own unit."""
    return {judge.name: judge.threshold for judge in monitor.trackers[0].policy.judges} if monitor else {}


def calibration_of(zones: ZonePolicies) -> Calibration | None:
    """Of the field that lacks most; None where no threshold was derived from footage."""
    known = [judged for calibrated in zones.values() for judged in calibrated.fields]
    if not known:
        return None
    least = min(known, key=lambda judged: judged.known.exposure_s / max(judged.thresholds.needed_s, 1e-9))
    budget = sum(judged.thresholds.budget_per_day for judged in known)
    bound = sum(judged.thresholds.bound_per_day for judged in known)
    return Calibration(least.known.exposure_s, least.thresholds.needed_s, budget, bound)
