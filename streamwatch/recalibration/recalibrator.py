"""Derives the thresholds of watched cameras anew as what they hold adds up, and says so.

A thread of its own runs it: nothing here holds up a frame, and a database that hangs holds up nothing but this.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

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
from streamwatch.records import Notice
from streamwatch.retry import caught
from streamwatch.scenes.model_files import CameraScenes, camera_model_path
from streamwatch.scenes.model_history import record_change
from streamwatch.scenes.policy import budgets_of, policies_for
from streamwatch.store.event_store import EventStore
from streamwatch.store.live_peaks import (
    LiveRecord,
    SceneKey,
    Snapshot,
    load_generations,
    load_records,
    save_record,
    save_watched,
)

log = logging.getLogger(__name__)
AGAIN_AFTER_S = 600.0
AT_LATEST_AFTER_S = DAY_S
GROWTH = 1.1
"""Thresholds are derived anew when a tenth more was watched: 25 times between the first hour and the tenth."""
MAX_EARLIER, NEWEST_EARLIER = 10, 5
"""Snapshots that are kept to go back to: the newest, and before them one of each day."""
Apply = Callable[[Config, str, CameraScenes, Callable[[], None]], None]
"""Has a camera judged by what is in force now; the last argument is called if something else was put to work meanwhile."""


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
        told: how many events reached the thresholds.
        forgot: something that they rest on is forgotten.
    """

    record: SceneRecord
    bases: Mapping[FieldOfZone, str]
    stored: LiveRecord
    watched_s: float = 0.0
    at_s: float = float("-inf")
    told: int = -1
    supported: bool = False
    spans: JudgedSpans = field(default_factory=JudgedSpans)
    forgot: bool = False

    def is_due(self, now_s: float, spans: JudgedSpans, *, supported: bool) -> bool:
        """Whether thresholds are to be derived anew."""
        rested_s = now_s - self.at_s
        grown = rested_s >= AGAIN_AFTER_S and (self.forgot or self.record.watched_s >= GROWTH * self.watched_s)
        return (
            grown
            or rested_s >= AT_LATEST_AFTER_S
            or self.record.told() != self.told
            or supported != self.supported
            or spans != self.spans
        )


class Recalibrator:
    """Calibrates all cameras of a daemon.

    Args:
        in_force: what is in force; changed by this alone.
    """

    def __init__(self, database: Engine, measures: LiveMeasures, in_force: InForce, fleet: WatchedFleet, clock: Clock) -> None:
        self._database, self._events = database, EventStore(database)
        self._measures, self._in_force, self._fleet, self._clock = measures, in_force, fleet, clock
        self._scenes: dict[SceneKey, _Scene] = {}
        self._applied: dict[str, tuple[Config, CameraScenes]] = {}

    def run_once(self) -> None:
        """Take what was measured, store it, derive the thresholds that are due, and put them to work.

        What fails for one camera fails for no other, and is raised at the end.

        Raises:
            StoreError: the database refuses; what was measured is stored the next time.
        """
        config = self._fleet.config()
        watched = {camera: scenes for camera in config.enabled_cameras if (scenes := self._fleet.scenes_of(camera))}
        self._scenes = {key: scene for key, scene in self._scenes.items() if key[0] in watched}
        failures = [caught(partial(self._collect, config, camera, scenes)) for camera, scenes in watched.items()]
        failures.append(caught(self._store))
        for camera, scenes in watched.items():
            failures.append(caught(partial(self._derive_due, config, camera, scenes)))
            failures.append(caught(partial(self._put_to_work, config, camera, scenes)))
        for failure in failures:
            if failure is not None:
                raise failure

    def _collect(self, config: Config, camera: str, scenes: CameraScenes) -> None:
        of_scenes = {regime: self._scene_of(config, (camera, regime), scenes) for regime in scenes.watched}
        measured = self._measures.take(camera)
        for regime, scene in of_scenes.items():
            of_regime: dict[FieldOfZone, list[Stretch]] = {
                (zone, name): stretches for (seen, zone, name), stretches in measured.items() if seen == regime
            }
            scene.record.add(of_regime)
            scene.forgot |= scene.record.forget_old(budgets_of(config, camera))

    def _scene_of(self, config: Config, key: SceneKey, scenes: CameraScenes) -> _Scene:
        """Go on from what is stored, or from what the camera's scene before held, as far as that rests on the same."""
        bases, before = bases_of(config, key[0], scenes, key[1]), self._scenes.get(key)
        if before is not None and before.bases == bases:
            return before
        if before is None:
            stored = load_records(self._database, [key[0]]).get(key, LiveRecord())
            self._in_force.put(key, Applied(stored, self._in_force.of(key).spans))
            self._forget_applied(key[0])
        else:
            stored = before.stored
        watched = before.record.live() if before else stored.watched
        self._scenes[key] = _Scene(SceneRecord.of(watched, bases, hold_rules(config, key[0])), bases, stored)
        return self._scenes[key]

    def _store(self) -> None:
        """Write what has changed; what a command took back meanwhile is taken up instead."""
        present, stored = load_generations(self._database), {key: scene.stored for key, scene in self._scenes.items()}
        taken_back = {key for key, of in stored.items() if present.get(key, of.generation) != of.generation}
        now = {key: replace(scene.stored, watched=scene.record.live()) for key, scene in self._scenes.items()}
        records = {key: of for key, of in now.items() if key not in taken_back and of != stored[key]}
        taken_back |= save_watched(self._database, records) if records else set()
        for key in records.keys() - taken_back:
            self._scenes[key].stored = records[key]
        if taken_back:
            for key, record in load_records(self._database, {camera for camera, _ in taken_back}).items():
                if key in taken_back:
                    self._take_up(key, record)

    def _take_up(self, key: SceneKey, record: LiveRecord) -> None:
        log.info("camera %s: its thresholds were taken back", key[0], extra={"camera": key[0]})
        scene = self._scenes[key]
        self._scenes[key] = _Scene(SceneRecord.of(record.watched, scene.bases, scene.record.rules), scene.bases, record)
        self._in_force.put(key, Applied(record, self._in_force.of(key).spans))
        self._forget_applied(key[0])

    def _derive_due(self, config: Config, camera: str, scenes: CameraScenes) -> None:
        """Derive the thresholds of the camera's scenes that are due."""
        if config.cameras[camera].threshold != "auto":
            return
        spans, now_s = judged_spans(self._events, config, camera, self._clock.wall_s()), self._clock.monotonic_s()
        for regime in scenes.watched:
            key = (camera, regime)
            scene = self._scenes.get(key)
            extended = extended_calibration(scene.record.live(), spans, config, key, scenes) if scene else None
            if scene is None or extended is None or not scene.record.fields:
                continue
            supported = _supported(extended, budgets_of(config, camera))
            if scene.is_due(now_s, spans, supported=supported) and self._derive(config, key, scenes, spans):
                scene.watched_s, scene.at_s, scene.forgot = scene.record.watched_s, now_s, False
                scene.spans, scene.supported, scene.told = spans, supported, scene.record.told()

    def _derive(self, config: Config, key: SceneKey, scenes: CameraScenes, spans: JudgedSpans) -> bool:
        """Derive a scene's thresholds from all that is known now; False if a command took something back just now."""
        camera, regime = key
        scene, model = self._scenes[key], scenes.watched[regime].model

        def judged(calibration: Calibration | None) -> Judged:
            return Judged.of(policies_for(config, camera, model, calibration=calibration))

        live = scene.record.live()
        before = judged(self._in_force.calibrations(config, camera, scenes)[regime])
        after = judged(extended_calibration(live, spans, config, key, scenes))
        differs, stored = after.differs_from(before), scene.stored
        newest = Snapshot(self._clock.wall_s(), stored.applied)
        earlier = _with_snapshot(stored.earlier, newest) if differs else stored.earlier
        record = replace(stored, watched=live, applied=live, earlier=earlier)
        if not save_record(self._database, key, record):
            return False
        scene.stored, scene.record.starts = record, after.starts
        self._in_force.put(key, Applied(record, spans))
        self._forget_applied(camera)
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

    def _put_to_work(self, config: Config, camera: str, scenes: CameraScenes) -> None:
        """Have the camera judged by what is in force, unless it is already, by this configuration and these scenes.

        A reload may have read what was in force before; what it put to work is put right here, the next time round.
        """
        applied = self._applied.get(camera)
        if applied is None or applied[0] is not config or applied[1] is not scenes:
            self._applied[camera] = (config, scenes)
            overtaken = partial(self._forget_applied, camera)
            failure = caught(partial(self._fleet.apply, config, camera, scenes, overtaken))
            if failure is not None:
                self._forget_applied(camera)
                raise failure

    def _forget_applied(self, camera: str) -> None:
        """What was put to work is not what is to work; called from any thread."""
        self._applied.pop(camera, None)


def _with_snapshot(earlier: Sequence[Snapshot], newest: Snapshot) -> tuple[Snapshot, ...]:
    """The newest, and of those further back one of each day."""
    snapshots = [newest, *earlier]
    kept, days = snapshots[:NEWEST_EARLIER], set[int]()
    for snapshot in snapshots[NEWEST_EARLIER:]:
        day = int(snapshot.until_wall_s // DAY_S)
        if day not in days:
            days.add(day)
            kept.append(snapshot)
    return tuple(kept[:MAX_EARLIER])


def _supported(calibration: Calibration, budgets_per_day: Mapping[str, float]) -> bool:
    """Whether what is known is long enough for the budget, in every zone."""
    return all(
        known.exposure_s / DAY_S * budgets_per_day[known.zone] >= BUDGETS_TO_SUPPORT
        for known in calibration.zones
        if known.field and known.zone in budgets_per_day
    )
