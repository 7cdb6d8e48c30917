"""What commands ask of what the daemon calibrated, and what they take back."""

from __future__ import annotations

from pathlib import Path

from streamwatch.clock import Clock, SystemClock
from streamwatch.config.schema import Config
from streamwatch.enums import ModelChangeKind
from streamwatch.model.calibration.thresholds import Calibration
from streamwatch.recalibration.in_force import InForce
from streamwatch.scenes.model_files import CameraScenes, camera_model_path, load_scenes
from streamwatch.scenes.model_history import ModelChange, record_change
from streamwatch.store.live_peaks import SceneKey, undo_record
from streamwatch.store.sessions import database_of, require_database


def calibrations_in_force(config: Config, camera: str, clock: Clock | None = None) -> dict[Path, Calibration]:
    """By model file, what a camera is judged by: its footage, and what the daemon saw since.

    Raises:
        ModelMissing, ModelFileError: a model cannot be read; StoreError: the database refuses.
    """
    scenes = load_scenes(config, [camera])[camera]
    known = in_force_of(config, clock).calibrations(config, camera, scenes)
    return {camera_model_path(config, camera, regime): found for regime, found in known.items() if found}


def undo_thresholds(config: Config, camera: str, model_path: Path, at_wall_s: float) -> None:
    """Have a scene judged by the thresholds before the present ones.

    Raises:
        UsageError: the daemon changed none; StoreError: the database refuses.
    """
    require_database(config)
    with database_of(config) as database:
        undo_record(database, _key(config, camera, model_path))
    record_change(model_path, ModelChange(at_wall_s, ModelChangeKind.THRESHOLDS_UNDONE, "command", "the ones before are back"))


def in_force_of(config: Config, clock: Clock | None = None) -> InForce:
    """What a configuration's database says; nothing where no daemon ran yet.

    Raises:
        StoreError: the database refuses.
    """
    if config.database is None and not (config.data_dir / "events.db").is_file():
        return InForce()
    with database_of(config) as database:
        return InForce.load(database, config, (clock or SystemClock()).wall_s())


def _key(config: Config, camera: str, model_path: Path) -> SceneKey:
    """The scene whose model is at a path."""
    scenes: CameraScenes = load_scenes(config, [camera])[camera]
    regimes = (regime for regime in scenes.watched if camera_model_path(config, camera, regime) == model_path)
    return camera, next(regimes, None)
