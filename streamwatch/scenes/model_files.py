"""The model files of a configuration's cameras: where they are, what they hold, and whether they are what is configured."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from streamwatch.config.schema import CameraDefaults, Config
from streamwatch.errors import ModelFileError, ModelMissing
from streamwatch.events.region import polygon_mask
from streamwatch.inference.engine import WatchedScene
from streamwatch.model.artifact.serialization import Provenance, load_model, read_metadata
from streamwatch.model.regime import REGIMES
from streamwatch.model.scene import SceneModel
from streamwatch.model.scoring.temporal import remaining_noise
from streamwatch.scenes.shared_models.use import fetch

log = logging.getLogger(__name__)
Versions = tuple[tuple[str, int, int], ...]
MAX_NOISE_RATIO = 1.5
"""By how much more of a frame's noise the causal filter may leave than where the thresholds were found: 10 frames a second
calibrated and 5 watched are 1.4; 10 and 0.56 are 2.4, and levels of normal footage rose from 3 to above 6."""


Kept = Callable[[str, WatchedScene], WatchedScene]
Fetched = Callable[[Config, str], object]


@dataclass(frozen=True)
class CameraScenes:
    """The scenes of one camera.

    Attributes:
        first: the one that it begins with.
        by_regime: all of them, ``first`` too; empty if regimes are not told apart.
        provenance: of each, by regime; None for the only one where regimes are not told apart.
    """

    first: WatchedScene
    by_regime: Mapping[str, WatchedScene]
    provenance: Mapping[str | None, Provenance]

    @property
    def watched(self) -> Mapping[str | None, WatchedScene]:
        """All scenes by regime; None for the only one where regimes are not told apart."""
        return dict[str | None, WatchedScene](self.by_regime.items()) if self.by_regime else {None: self.first}

    @property
    def fitted_at_s(self) -> float:
        """Unix time of the first one's fit."""
        return next(iter(self.provenance.values())).fitted_at_s


def as_it_is(_camera: str, scene: WatchedScene) -> WatchedScene:
    """A scene that is kept as it was read."""
    return scene


def load_scenes(
    config: Config, cameras: Iterable[str], kept: Kept = as_it_is, fetched: Fetched = fetch
) -> dict[str, CameraScenes]:
    """The cameras' models.

    Args:
        fetched: has what machines share of a camera's here before it is read.
        kept: makes of each what is kept of it, one after the other (``Engine.prepared``).

    Raises:
        ModelMissing: a camera has none; ModelFileError: one cannot be used; ConfigError: see ``SharedModels``; whatever
            ``kept`` raises.
    """
    return {camera: _load(config, camera, kept, fetched) for camera in cameras}


def _load(config: Config, camera: str, kept: Kept, fetched: Fetched) -> CameraScenes:
    path = config.model_path(camera)
    fetched(config, camera)
    if not path.is_file():
        raise ModelMissing(
            f"camera {camera} has no model", where=path, hint=f"learn it with `streamwatch fit -c CONFIG {camera}`"
        )
    model, provenance = load_model(path)
    first = kept(camera, watched(model, config, camera))
    if model.regime is None or config.settings(camera).regimes == "off":
        return CameraScenes(first, {}, {None: provenance})
    others = {regime: load_model(other) for regime, other in other_regimes(path).items() if regime != model.regime}
    return CameraScenes(
        first,
        {model.regime: first, **{regime: kept(camera, watched(of, config, camera)) for regime, (of, _) in others.items()}},
        {model.regime: provenance, **{regime: of for regime, (_, of) in others.items()}},
    )


def camera_model_paths(config: Config, camera: str) -> tuple[Path, ...]:
    """The first model's path, whether it is there or not, and those of the other regimes' models that are there."""
    path = config.model_path(camera)
    return tuple(dict.fromkeys((path, *other_regimes(path).values())))


def camera_model_path(config: Config, camera: str, regime: str | None) -> Path:
    """Where the camera's model of a regime is; of None, its only one."""
    path = config.model_path(camera)
    return path if regime is None else path_for(path, regime)


def regime_path(path: Path, regime: str) -> Path:
    """Where the model of another regime than that of the camera's model at ``path`` is; no camera's name has an ``@``."""
    return path.with_name(f"{path.stem}@{regime}{path.suffix}")


def other_regimes(path: Path) -> dict[str, Path]:
    """The model files that lie beside a camera's model, by regime."""
    return {regime: other for regime in REGIMES if (other := regime_path(path, regime)).is_file()}


def path_for(path: Path, regime: str | None) -> Path:
    """The file that holds, or is to hold, a regime's model of the camera whose model is at ``path``.

    A model that cannot be read, or that does not say its regime, is nobody's: its file is taken.
    """
    try:
        held = read_metadata(path).get("regime")
    except (ModelMissing, ModelFileError):
        return path
    return path if held is None or regime is None or held == regime else regime_path(path, regime)


def watched(model: SceneModel, config: Config, camera: str) -> WatchedScene:
    """A model with its camera's ignored cells."""
    polygons = config.cameras[camera].ignore
    mask = polygon_mask([list(p) for p in polygons], model.grid) if polygons else None
    return WatchedScene(model, mask)


def config_mismatches(model: SceneModel, settings: CameraDefaults) -> Iterator[str]:
    """What a camera's model holds that is not as its settings say; each completes "its model ...".

    A lower rate than the one calibrated at raises false alarms: the causal filter has fewer frames to average.
    """
    if model.features != settings.features:
        yield f"holds {model.features}, not {settings.features}"
    elif model.sees_motion and model.motion_step_s != settings.motion_step:
        yield f"was learned with motion_step {model.motion_step_s:g} s"
    known_s = max((of_field.interval_s or 0.0 for of_field in (model.levels_ or {}).values()), default=0.0) or None
    if known_s is None or settings.fps == "native":
        return
    if remaining_noise(1.0 / settings.fps) > MAX_NOISE_RATIO * remaining_noise(known_s):
        yield f"was calibrated at {1 / known_s:.3g} frames/s and is watched at {settings.fps:g}, where more alarms are false"


def log_mismatches(config: Config, camera: str, model: SceneModel) -> None:
    """Warn of what a camera's model was learned or calibrated with, and is not watched with."""
    for mismatch in config_mismatches(model, config.settings(camera)):
        log.warning("camera %s: its model %s: fit it again", camera, mismatch)


class UsedModelFiles:
    """Which model files are in use, so that a reload takes up those that were replaced."""

    def __init__(self) -> None:
        self._used: dict[str, Versions | None] = {}

    def record(self, config: Config, camera: str) -> None:
        """The camera's models were just loaded."""
        self._used[camera] = _versions(config.model_path(camera))

    def replaced(self, config: Config, cameras: Iterable[str]) -> list[str]:
        """Cameras whose files are others than those in use; one whose model is gone goes on with it."""
        now = {camera: _versions(config.model_path(camera)) for camera in cameras}
        return [camera for camera, versions in now.items() if versions and versions != self._used.get(camera, versions)]


def _versions(path: Path) -> Versions | None:
    """Names, modification times and inodes of a camera's models: a model file is always replaced as a whole."""
    try:
        files = [path, *other_regimes(path).values()]
        return tuple((file.name, (status := file.stat()).st_mtime_ns, status.st_ino) for file in files)
    except OSError:
        return None
