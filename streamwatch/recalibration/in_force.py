"""What is in force: of all that cameras held, what their thresholds were derived from."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Engine

from streamwatch.config.schema import Config
from streamwatch.model.calibration.live_footage import with_live
from streamwatch.model.calibration.thresholds import Calibration
from streamwatch.recalibration.basis import bases_of
from streamwatch.recalibration.judged_spans import JudgedSpans, judged_spans
from streamwatch.records import LivePeaks
from streamwatch.scenes.model_files import CameraScenes
from streamwatch.scenes.policy import budgets_of
from streamwatch.store.event_store import EventStore
from streamwatch.store.live_peaks import LiveRecord, SceneKey, load_records


@dataclass(frozen=True)
class Applied:
    """What one scene's thresholds rest on, besides its model."""

    record: LiveRecord = field(default_factory=LiveRecord)
    spans: JudgedSpans = field(default_factory=JudgedSpans)


class InForce:
    """Of all cameras; asked and changed from any thread."""

    def __init__(self, known: Mapping[SceneKey, Applied] | None = None) -> None:
        self._known = dict(known or {})
        self._changing = threading.Lock()

    def __reduce__(self) -> tuple[type[InForce], tuple[dict[SceneKey, Applied]]]:
        """A lock stays in its process."""
        with self._changing:
            return InForce, (dict(self._known),)

    @staticmethod
    def load(database: Engine, config: Config, now_wall_s: float) -> InForce:
        """What a database says.

        Raises:
            StoreError: it refuses.
        """
        records, store = load_records(database, config.cameras), EventStore(database)
        spans = {camera: judged_spans(store, config, camera, now_wall_s) for camera in {camera for camera, _ in records}}
        return InForce({key: Applied(record, spans[key[0]]) for key, record in records.items()})

    def of(self, key: SceneKey) -> Applied:
        """What is in force of a scene; nothing of one that is new."""
        with self._changing:
            return self._known.get(key, Applied())

    def put(self, key: SceneKey, applied: Applied) -> None:
        """From now on this is in force."""
        with self._changing:
            self._known[key] = applied

    def calibrations(self, config: Config, camera: str, scenes: CameraScenes) -> dict[str | None, Calibration | None]:
        """By regime, what is known of a camera's normal life: its model's footage, and what it held while it was watched."""
        return {regime: self._calibration(config, camera, scenes, regime) for regime in scenes.watched}

    def _calibration(self, config: Config, camera: str, scenes: CameraScenes, regime: str | None) -> Calibration | None:
        applied = self.of((camera, regime))
        return extended_calibration(applied.record.applied, applied.spans, config, (camera, regime), scenes)


def extended_calibration(
    live: Iterable[LivePeaks], spans: JudgedSpans, config: Config, key: SceneKey, scenes: CameraScenes
) -> Calibration | None:
    """A scene's calibration with what it held; what rests on another model, zone or rule is left out."""
    camera, regime = key
    calibration = scenes.watched[regime].model.calibration_
    if calibration is None:
        return None
    bases = bases_of(config, camera, scenes, regime)
    valid = [spans.left_of(of) for of in live if bases.get((of.zone, of.field)) == of.basis]
    return with_live(calibration, valid, budgets_of(config, camera))
