"""A recording through the daemon: its events as they would have been, the levels of every zone, and the near misses."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import SecretStr

from streamwatch.config.schema import Alerts, Clips, Config, MetricsConfig, WebConfig
from streamwatch.daemon.assembly import Surroundings
from streamwatch.daemon.service import Service
from streamwatch.detection.publisher import Subscribers
from streamwatch.enums import EndReason, EventType
from streamwatch.events.tracker import EventTracker, ZonePolicy
from streamwatch.evidence.privacy import NO_PRIVACY
from streamwatch.evidence.snapshots import draw_snapshot
from streamwatch.ids import uuid7
from streamwatch.learning.level_recorder import LevelRecorder
from streamwatch.model.calibration.thresholds import END_TO_START
from streamwatch.model.regime import RegimeSorter
from streamwatch.recalibration.in_force import InForce
from streamwatch.records import Event, EventChange, Notice, ScoreStream
from streamwatch.scenes.policy import CalibratedPolicy
from streamwatch.scores import FrameScore
from streamwatch.video.overlay import write_picture

NEAR_MISSES_KEPT = 12


@dataclass(frozen=True)
class ReplayedEvent:
    """An event, or what nearly was one, and its heat map."""

    event: Event
    snapshot: Path | None


@dataclass(frozen=True)
class Replayed:
    """What came of one recording.

    Attributes:
        streams: levels by zone, stretch by stretch; pictures that cannot be watched are left out.
        field_streams: what each zone's fields measured, in their own units, for the same frames.
        near_misses: peaks between the end and the start threshold, the highest first.
    """

    source: str
    streams: Mapping[str, Sequence[ScoreStream]]
    field_streams: Mapping[tuple[str, str], Sequence[ScoreStream]]
    events: tuple[ReplayedEvent, ...]
    near_misses: tuple[ReplayedEvent, ...]
    notices: tuple[Notice, ...]
    frames: int
    took_s: float

    @property
    def duration_s(self) -> float:
        """Seconds of footage that were watched."""
        return sum(stream.exposure_s for stream in next(iter(self.streams.values())))


class _NearMisses:
    """The highest peaks that crossed a zone's end threshold for min_duration, and not its start threshold."""

    def __init__(self, camera: str, policies: Mapping[str, CalibratedPolicy], folder: Path) -> None:
        self._starts = {zone: calibrated.policy.event_policy.start_threshold for zone, calibrated in policies.items()}
        self._trackers = [
            EventTracker(camera, _lowered(calibrated.policy), new_id=uuid7, zone=zone) for zone, calibrated in policies.items()
        ]
        self._folder = folder
        self._peaks: dict[str, FrameScore] = {}
        self._kept: list[ReplayedEvent] = []
        self._last_wall_s = 0.0

    def observe(self, scored: FrameScore) -> None:
        """Advance by one frame."""
        self._last_wall_s = scored.frame.wall_s
        for tracker in self._trackers:
            seen = tracker.advance(scored)
            for change in seen.changes:
                self._take(change)
            if seen.at_peak:
                self._peaks[tracker.zone] = scored

    def found(self) -> tuple[ReplayedEvent, ...]:
        """At the end of the footage: all that are kept."""
        for tracker in self._trackers:
            for change in tracker.force_end(EndReason.NORMAL, self._last_wall_s):
                self._take(change)
        return tuple(self._kept)

    def _take(self, change: EventChange) -> None:
        event = change.event
        if change.type != EventType.ANOMALY_ENDED or event.peak.score >= self._starts[event.zone]:
            return
        if len(self._kept) == NEAR_MISSES_KEPT and event.peak.score <= self._kept[-1].event.peak.score:
            return
        self._kept.append(ReplayedEvent(event, self._write_snapshot(event)))
        self._kept.sort(key=lambda near: -near.event.peak.score)
        for dropped in self._kept[NEAR_MISSES_KEPT:]:
            if dropped.snapshot:
                dropped.snapshot.unlink(missing_ok=True)
        del self._kept[NEAR_MISSES_KEPT:]

    def _write_snapshot(self, event: Event) -> Path | None:
        scored = self._peaks.get(event.zone)
        drawn = draw_snapshot(event, scored, NO_PRIVACY) if scored else None
        if drawn is None:
            return None
        path = self._folder / f"{event.id}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(str(path), drawn)
        return path


def _lowered(policy: ZonePolicy) -> ZonePolicy:
    end = policy.event_policy.end_threshold
    start = min(end / END_TO_START, policy.event_policy.start_threshold)
    return replace(policy, event_policy=replace(policy.event_policy, start_threshold=start))


def replay(
    config: Config,
    camera: str,
    source: str,
    folder: Path,
    policies: Mapping[str, CalibratedPolicy],
    *,
    on_frames: Callable[[int], None],
    regime: str | None = None,
    in_force: InForce | None = None,
) -> Replayed:
    """Watch one recording as ``camera``, unpaced, with its evidence in ``folder``.

    Args:
        policies: of the camera's first model; for the table and the near misses.
        regime: what that model is of: frames of other regimes are in the events, but not in the table.
        in_force: what its thresholds rest on besides the model.

    Raises:
        SourceError: it cannot be read; ModelMissing: the camera has no model.
    """
    events: list[ReplayedEvent] = []
    notices: list[Notice] = []
    fields = sorted({judged.known.field for calibrated in policies.values() for judged in calibrated.fields})
    recorder = LevelRecorder({zone: calibrated.policy.cells for zone, calibrated in policies.items()}, fields)
    sorter = RegimeSorter(regime) if regime else None
    near = _NearMisses(camera, policies, folder / "near-misses")

    def on_event(change: EventChange, snapshot: Path | None) -> None:
        if change.type == EventType.ANOMALY_ENDED:
            events.append(ReplayedEvent(change.event, snapshot))

    def on_score(scored: FrameScore, counts: bool) -> None:
        on_frames(1)
        if counts and (sorter is None or sorter.takes(scored.frame.pixels, scored.frame.time_s)):
            recorder.add(scored)
            near.observe(scored)
        else:
            recorder.cut()

    began_s = time.perf_counter()
    around = Surroundings(Subscribers((on_event,), (notices.append,), (on_score,)), evidence_dir=folder, in_force=in_force)
    result = Service(of_recording(config, camera, source), until_eof=True, surroundings=around).run()
    for failure in result.failures.values():
        raise failure
    took_s = time.perf_counter() - began_s
    frames = result.scored[camera]
    streams, field_streams = recorder.streams(), recorder.field_streams()
    return Replayed(source, streams, field_streams, tuple(events), near.found(), tuple(notices), frames, took_s)


def of_recording(config: Config, camera: str, source: str) -> Config:
    """The same configuration with this camera alone, playing the recording, heard by nobody else."""
    playing = config.cameras[camera].model_copy(update={"source": SecretStr(source), "enabled": True})
    return config.model_copy(
        update={
            "cameras": {camera: playing},
            "metrics": MetricsConfig(listen=None),
            "web": WebConfig(listen=None),
            "database": None,
            "alerts": Alerts(),
            "clips": Clips(enabled=False),
        }
    )
