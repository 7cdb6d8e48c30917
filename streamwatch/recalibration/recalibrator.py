"""Derives the thresholds of watched cameras anew as what they hold adds up, and says so.

A thread of its own runs it: nothing here holds up a frame, and a database that hangs holds up nothing but this.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from sqlalchemy import Engine

from streamwatch.clock import Clock
from streamwatch.config.schema import Config
from streamwatch.detection.live_measures import LiveMeasures, Stretch
from streamwatch.model.calibration.thresholds import BUDGETS_TO_SUPPORT, DAY_S, Calibration
from streamwatch.recalibration.basis import FieldOfZone, bases_of
from streamwatch.recalibration.changes import Judged, change_of, ready_notice
from streamwatch.recalibration.in_force import Applied, InForce, extended_calibration
from streamwatch.recalibration.judged_spans import JudgedSpans, judged_spans
from streamwatch.recalibration.scene_record import SceneRecord, hold_rules
from streamwatch.records import LivePeaks, Notice
from streamwatch.scenes.model_files import CameraScenes, camera_model_path
from streamwatch.scenes.model_history import record_change
from streamwatch.scenes.policy import budgets_of, policies_for
from streamwatch.store.event_store import EventStore
from streamwatch.store.live_peaks import LiveRecord, SceneKey, load_records, save_records

log = logging.getLogger(__name__)
AGAIN_AFTER_S = 600.0
GROWTH = 1.1
"""Thresholds are derived anew when a tenth more was watched: 25 times between the first hour and the tenth."""
Apply = Callable[[Config, str, CameraScenes], None]
"""Has a camera judged by what is in force now."""


@dataclass(frozen=True)
class WatchedFleet:
    """What is watched, as the daemon knows it.

    Attributes:
        config: gives the configuration in force.
        scenes_of: the scenes by which a camera is watched now; None for one that is not.
        apply: puts what is in force to work.
        notify: told that a camera's calibration has ended.
    """

    config: Callable[[], Config]
    scenes_of: Callable[[str], CameraScenes | None]
    apply: Apply
    notify: Callable[[Notice], None]


@dataclass
class _Scene:
    """A scene that is watched, and from what its thresholds were derived last.

    Attributes:
        stored: as the database has it.
        told: how many peaks reached the thresholds.
    """

    record: SceneRecord
    bases: Mapping[FieldOfZone, str]
    stored: LiveRecord
    watched_s: float = 0.0
    at_s: float = float("-inf")
    told: int = -1
    supported: bool = False
    spans: JudgedSpans = field(default_factory=JudgedSpans)


class Recalibrator:
    """Calibrates all cameras of a daemon.

    Args:
        in_force: what is in force; changed by this alone.
    """

    def __init__(self, database: Engine, measures: LiveMeasures, in_force: InForce, fleet: WatchedFleet, clock: Clock) -> None:
        self._database, self._events = database, EventStore(database)
        self._measures, self._in_force, self._fleet, self._clock = measures, in_force, fleet, clock
        self._scenes: dict[SceneKey, _Scene] = {}

    def run_once(self) -> None:
        """Take what was measured, store it, and derive the thresholds that are due.

        Raises:
            StoreError: the database refuses; what was measured is stored the next time.
        """
        config = self._fleet.config()
        watched = {camera: scenes for camera in config.enabled_cameras if (scenes := self._fleet.scenes_of(camera))}
        self._scenes = {key: scene for key, scene in self._scenes.items() if key[0] in watched}
        for camera, scenes in watched.items():
            self._collect(config, camera, scenes)
        changed = {camera for camera, _ in self._store()}
        for camera, scenes in watched.items():
            changed |= {camera for _ in self._derive_due(config, camera, scenes)}
        for camera in changed & watched.keys():
            self._fleet.apply(config, camera, watched[camera])

    def _collect(self, config: Config, camera: str, scenes: CameraScenes) -> None:
        measured = self._measures.take(camera)
        for regime in scenes.watched:
            bases = bases_of(config, camera, scenes, regime)
            scene = self._scenes.get((camera, regime))
            if scene is None or scene.bases != bases:
                scene = self._begin(config, (camera, regime), bases, scene)
            of_regime: dict[FieldOfZone, list[Stretch]] = {
                (zone, name): stretches for (seen, zone, name), stretches in measured.items() if seen == regime
            }
            scene.record.add(of_regime)
            scene.record.forget_old(self._clock.wall_s(), budgets_of(config, camera))

    def _begin(self, config: Config, key: SceneKey, bases: Mapping[FieldOfZone, str], before: _Scene | None) -> _Scene:
        """Go on from what is stored, or from what the camera's scene before held, as far as that rests on the same."""
        stored = before.stored if before else self._in_force.of(key).record
        watched = before.record.live() if before else stored.watched
        scene = _Scene(SceneRecord.of(watched, bases, hold_rules(config, key[0])), bases, stored)
        self._scenes[key] = scene
        return scene

    def _store(self) -> set[SceneKey]:
        """Write what has changed; what a command took back meanwhile is taken up instead, and returned."""
        now = {key: replace(scene.stored, watched=scene.record.live()) for key, scene in self._scenes.items()}
        records = {key: record for key, record in now.items() if record != self._scenes[key].stored}
        taken_back = save_records(self._database, records) if records else set()
        for key in records.keys() - taken_back:
            self._scenes[key].stored = records[key]
        if taken_back:
            for key, record in load_records(self._database, {camera for camera, _ in taken_back}).items():
                if key in taken_back:
                    self._take_up(key, record)
        return taken_back

    def _take_up(self, key: SceneKey, record: LiveRecord) -> None:
        log.info("camera %s: its thresholds were taken back", key[0], extra={"camera": key[0]})
        scene = self._scenes[key]
        self._scenes[key] = _Scene(SceneRecord.of(record.watched, scene.bases, scene.record.rules), scene.bases, record)
        self._in_force.put(key, Applied(record, self._in_force.of(key).spans))

    def _derive_due(self, config: Config, camera: str, scenes: CameraScenes) -> Iterator[str | None]:
        """Derive the thresholds of the scenes that are due, and yield the regimes of those that are to be put to work."""
        if config.cameras[camera].threshold != "auto":
            return
        spans = judged_spans(self._events, config, camera, self._clock.wall_s())
        for regime, watched in scenes.watched.items():
            calibration, scene = watched.model.calibration_, self._scenes[camera, regime]
            if calibration is None or not scene.record.fields:
                continue
            supported = _supported(calibration, scene.record.live(), budgets_of(config, camera))
            if not self._is_due(scene, spans, supported):
                continue
            if self._derive(config, (camera, regime), scenes, spans):
                yield regime
            scene.watched_s, scene.at_s = scene.record.watched_s, self._clock.monotonic_s()
            scene.spans, scene.supported, scene.told = spans, supported, scene.record.told()

    def _is_due(self, scene: _Scene, spans: JudgedSpans, supported: bool) -> bool:
        rested = self._clock.monotonic_s() - scene.at_s >= AGAIN_AFTER_S
        grown = rested and scene.record.watched_s >= GROWTH * scene.watched_s
        return grown or scene.record.told() != scene.told or supported != scene.supported or spans != scene.spans

    def _derive(self, config: Config, key: SceneKey, scenes: CameraScenes, spans: JudgedSpans) -> bool:
        """Derive a scene's thresholds from all that is known now; whether they are in force."""
        (camera, regime), record = key, self._scenes[key].record
        live = record.live()

        def judged(calibration: Calibration | None) -> Judged:
            return Judged.of(policies_for(config, camera, scenes.watched[regime].model, calibration=calibration))

        before = judged(self._in_force.calibrations(config, camera, scenes)[regime])
        after = judged(extended_calibration(live, spans, config, key, scenes))
        differs = after.differs_from(before)
        if not self._put_in_force(key, live, spans, differs=differs):
            return False
        record.tell_from(after.starts)
        if differs:
            self._tell(config, key, before, after)
        return True

    def _tell(self, config: Config, key: SceneKey, before: Judged, after: Judged) -> None:
        """A line of the history and of the log, and a notice if that ends the calibration."""
        (camera, regime), watched_s, now_s = key, self._scenes[key].record.watched_s, self._clock.wall_s()
        change = change_of(before, after, watched_s, now_s)
        record_change(camera_model_path(config, camera, regime), change)
        log.info("camera %s: thresholds: %s", camera, change.text, extra={"camera": camera})
        if before.calibrating and not after.calibrating:
            self._fleet.notify(ready_notice(camera, regime, after, watched_s, now_s))

    def _put_in_force(self, key: SceneKey, live: tuple[LivePeaks, ...], spans: JudgedSpans, *, differs: bool) -> bool:
        """False if a command took something back just now: the next time that is taken up."""
        scene = self._scenes[key]
        before = scene.stored.applied if differs else scene.stored.before
        record = replace(scene.stored, watched=live, applied=live, before=before)
        if save_records(self._database, {key: record}):
            return False
        scene.stored = record
        self._in_force.put(key, Applied(record, spans))
        return True


def _supported(calibration: Calibration, live: tuple[LivePeaks, ...], budgets_per_day: Mapping[str, float]) -> bool:
    """Whether footage and what was watched are long enough for the budget, in every zone."""
    watched_s = {(of.zone, of.field): of.exposure_s for of in live}
    of_zones = [known for known in calibration.zones if known.field and known.zone in budgets_per_day]
    return all(
        (known.exposure_s + watched_s.get((known.zone, known.field), 0.0)) / DAY_S * budgets_per_day[known.zone]
        >= BUDGETS_TO_SUPPORT
        for known in of_zones
    )
