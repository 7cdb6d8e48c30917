"""What commands ask of what the daemon calibrated, and what they take back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from streamwatch.clock import Clock, SystemClock
from streamwatch.config.schema import Config
from streamwatch.enums import ModelChangeKind
from streamwatch.errors import UsageError
from streamwatch.model.calibration.thresholds import Calibration
from streamwatch.recalibration.changes import Judged, threshold_documents, thresholds_text
from streamwatch.recalibration.in_force import InForce, extended_calibration
from streamwatch.recalibration.judged_spans import judged_spans
from streamwatch.records import LivePeaks
from streamwatch.scenes.model_files import CameraScenes, camera_model_path, load_scenes
from streamwatch.scenes.model_history import ModelChange, record_change
from streamwatch.scenes.policy import policies_for
from streamwatch.store.event_store import EventStore
from streamwatch.store.live_peaks import LiveRecord, SceneKey, load_records, replace_record
from streamwatch.store.sessions import database_of, require_database

WORTH_UNDOING = 0.01
"""Of a threshold."""


def calibrations_in_force(config: Config, camera: str, clock: Clock | None = None) -> dict[Path, Calibration]:
    """By model file, what a camera is judged by: its footage, and what the daemon saw since.

    Raises:
        ModelMissing, ModelFileError: a model cannot be read; StoreError: the database refuses.
    """
    scenes = load_scenes(config, [camera])[camera]
    known = in_force_of(config, clock).calibrations(config, camera, scenes)
    return {camera_model_path(config, camera, regime): found for regime, found in known.items() if found}


def undo_thresholds(config: Config, camera: str, model_path: Path, at_wall_s: float) -> str:
    """Have a scene judged by the thresholds before the present ones, and forget what was watched since; what changed, in words.

    Thresholds that hardly differ are passed over.

    Raises:
        UsageError: there are no others to go back to; StoreError: the database refuses.
    """
    require_database(config)
    scenes = load_scenes(config, [camera])[camera]
    key = _key(config, scenes, camera, model_path)
    with database_of(config) as database:
        record = load_records(database, [camera]).get(key, LiveRecord())
        spans = judged_spans(EventStore(database), config, camera, at_wall_s)

        def judged(live: tuple[LivePeaks, ...]) -> Judged:
            calibration = extended_calibration(live, spans, config, key, scenes)
            return Judged.of(policies_for(config, camera, scenes.watched[key[1]].model, calibration=calibration))

        present = judged(record.applied)
        found = [n for n, of in enumerate(record.earlier) if judged(of.applied).differs_from(present, WORTH_UNDOING)]
        if not found:
            raise UsageError(f"the daemon changed no threshold of {camera} that could be taken back")
        applied = record.earlier[found[0]].applied
        left = replace(record, watched=applied, applied=applied, earlier=record.earlier[found[0] + 1 :])
        if not replace_record(database, key, left):
            raise UsageError("the daemon changed them just now", hint="try again")
        earlier = judged(applied)
    text = thresholds_text(threshold_documents(present, earlier))
    record_change(model_path, ModelChange(at_wall_s, ModelChangeKind.THRESHOLDS_UNDONE, "command", text))
    return text


def in_force_of(config: Config, clock: Clock | None = None) -> InForce:
    """What a configuration's database says; nothing where no daemon ran yet.

    Raises:
        StoreError: the database refuses.
    """
    if config.database is None and not (config.data_dir / "events.db").is_file():
        return InForce()
    with database_of(config) as database:
        return InForce.load(database, config, (clock or SystemClock()).wall_s())


def _key(config: Config, scenes: CameraScenes, camera: str, model_path: Path) -> SceneKey:
    """The scene whose model is at a path."""
    regimes = (regime for regime in scenes.watched if camera_model_path(config, camera, regime) == model_path)
    return camera, next(regimes, None)
