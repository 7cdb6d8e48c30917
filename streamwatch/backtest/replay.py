"""A recording through the daemon: its events as they would have been, the levels of every zone, and the near misses."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import SecretStr

from streamwatch.config.models import Alerts, Clips, Config, MetricsConfig, WebConfig
from streamwatch.events.ids import uuid7
from streamwatch.events.tracker import EventTracker, Judgement
from streamwatch.model.calibration import END_TO_START
from streamwatch.model.regime import RegimeSorter
from streamwatch.records import Event, EventChange, FrameScore, Notice, ScoreStream
from streamwatch.runtime.calibrating import LevelRecorder
from streamwatch.runtime.judging import ZoneJudgement
from streamwatch.runtime.snapshots import SnapshotWriter
from streamwatch.service import Ears, Service

NEAR_MISSES_KEPT = 12


@dataclass(frozen=True)
class Evidence:
    """An event, or what nearly was one, and its heat map."""

    event: Event
    snapshot: Path | None


@dataclass(frozen=True)
class Replayed:
    """What came of one recording.

    Attributes:
        streams: levels by zone, stretch by stretch; pictures that cannot be watched are left out.
        near_misses: peaks between the end and the start threshold, the highest first.
    """

    source: str
    streams: Mapping[str, Sequence[ScoreStream]]
    events: tuple[Evidence, ...]
    near_misses: tuple[Evidence, ...]
    notices: tuple[Notice, ...]
    frames: int
    took_s: float

    @property
    def duration_s(self) -> float:
        """Seconds of footage that were watched."""
        return sum(stream.exposure_s for stream in next(iter(self.streams.values())))


class _NearMisses:
    """The highest peaks that crossed a zone's end threshold for min_duration, and not its start threshold."""

    def __init__(self, camera: str, judged: Mapping[str, ZoneJudgement], snapshots: SnapshotWriter) -> None:
        self._starts = {zone: j.judgement.rules.start_threshold for zone, j in judged.items()}
        self._trackers = [EventTracker(camera, _lowered(j.judgement), new_id=uuid7, zone=zone) for zone, j in judged.items()]
        self._snapshots = snapshots
        self._kept: list[Evidence] = []
        self._last_wall_s = 0.0

    def observe(self, scored: FrameScore) -> None:
        """Advance by one frame."""
        self._last_wall_s = scored.frame.wall_s
        for tracker in self._trackers:
            for change in tracker.observe(scored):
                self._take(change)
            if tracker.at_peak:
                self._snapshots.note_peak(scored, tracker.zone)

    def found(self) -> tuple[Evidence, ...]:
        """At the end of the footage: all that are kept."""
        for tracker in self._trackers:
            for change in tracker.force_end("normal", self._last_wall_s):
                self._take(change)
        return tuple(self._kept)

    def _take(self, change: EventChange) -> None:
        event = change.event
        if change.type != "anomaly.ended" or event.peak.score >= self._starts[event.zone]:
            return
        if len(self._kept) == NEAR_MISSES_KEPT and event.peak.score <= self._kept[-1].event.peak.score:
            return
        self._kept.append(Evidence(event, self._snapshots.write(event)))
        self._kept.sort(key=lambda evidence: -evidence.event.peak.score)
        for dropped in self._kept[NEAR_MISSES_KEPT:]:
            if dropped.snapshot:
                dropped.snapshot.unlink(missing_ok=True)
        del self._kept[NEAR_MISSES_KEPT:]


def _lowered(judgement: Judgement) -> Judgement:
    end = judgement.rules.end_threshold
    start = min(end / END_TO_START, judgement.rules.start_threshold)
    return replace(judgement, rules=replace(judgement.rules, start_threshold=start))


def replay(
    config: Config,
    camera: str,
    source: str,
    folder: Path,
    judged: Mapping[str, ZoneJudgement],
    *,
    on_frames: Callable[[int], None],
    regime: str | None = None,
) -> Replayed:
    """Watch one recording as ``camera``, unpaced, with its evidence in ``folder``.

    Args:
        judged: how the camera's first model is judged; for the table and the near misses.
        regime: what that model is of: frames of other regimes are in the events, but not in the table.

    Raises:
        SourceError: it cannot be read; ModelMissing: the camera has no model.
    """
    events: list[Evidence] = []
    notices: list[Notice] = []
    recorder = LevelRecorder({zone: j.judgement.cells for zone, j in judged.items()})
    sorter = RegimeSorter(regime) if regime else None
    near = _NearMisses(camera, judged, SnapshotWriter(folder / "near-misses"))

    def hear(change: EventChange, snapshot: Path | None) -> None:
        if change.type == "anomaly.ended":
            events.append(Evidence(change.event, snapshot))

    def look(scored: FrameScore, counts: bool) -> None:
        on_frames(1)
        if counts and (sorter is None or sorter.takes(scored.frame.pixels, scored.frame.time_s)):
            recorder.add(scored)
            near.observe(scored)
        else:
            recorder.cut()

    began_s = time.perf_counter()
    ears = Ears((hear,), (notices.append,), (look,))
    outcome = Service(_of_recording(config, camera, source), until_eof=True, ears=ears, evidence_dir=folder).run()
    for failure in outcome.failures.values():
        raise failure
    took_s = time.perf_counter() - began_s
    frames = outcome.scored[camera]
    return Replayed(source, recorder.streams(), tuple(events), near.found(), tuple(notices), frames, took_s)


def _of_recording(config: Config, camera: str, source: str) -> Config:
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
