"""From a configuration to an engine that watches its cameras."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from streamwatch.config.models import BackboneConfig, Config
from streamwatch.errors import ModelMissing
from streamwatch.events.region import polygon_mask
from streamwatch.model.artifact import load_model
from streamwatch.model.identity import BackboneSpec, build_embedder, resolve_device
from streamwatch.model.scene import SceneModel
from streamwatch.runtime.engine import Engine, OnBatch, WatchedScene


def spec_of(backbone: BackboneConfig) -> BackboneSpec:
    """A configuration's backbone as the model room's own record."""
    return BackboneSpec(backbone.name, backbone.weights, backbone.dims, backbone.seed)


def build_engine(
    spec: BackboneSpec,
    *,
    device: str,
    precision: str,
    tile_frames: int | None = None,
    indices: tuple[int, ...] | None = None,
    on_batch: OnBatch | None = None,
) -> Engine:
    """An engine for ``spec``; raises as ``build_embedder`` and ``resolve_device``."""
    resolved: torch.device = resolve_device(device)
    embedder, identity = build_embedder(spec, device=resolved, precision=precision, indices=indices)
    if tile_frames is None:
        return Engine(embedder, identity, resolved, on_batch=on_batch)
    return Engine(embedder, identity, resolved, tile_frames=tile_frames, on_batch=on_batch)


def load_scenes(config: Config, cameras: Iterable[str]) -> dict[str, tuple[WatchedScene, float]]:
    """The cameras' models, with the Unix time of each one's fit.

    Raises:
        ModelMissing: a camera has none; ModelFileError: one cannot be used.
    """
    scenes: dict[str, tuple[WatchedScene, float]] = {}
    for camera in cameras:
        path = config.model_path(camera)
        if not path.is_file():
            raise ModelMissing(
                f"camera {camera} has no model", where=path, hint=f"learn it with `streamwatch fit -c CONFIG {camera}`"
            )
        model, provenance = load_model(path)
        scenes[camera] = (watched(model, config, camera), provenance.fitted_at_s)
    return scenes


def watched(model: SceneModel, config: Config, camera: str) -> WatchedScene:
    """A model with its camera's ignored cells."""
    polygons = config.cameras[camera].ignore
    mask = polygon_mask([list(p) for p in polygons], model.grid) if polygons else None
    return WatchedScene(model, mask)


class ModelFiles:
    """Which model files are in use, so that a reload takes up those that were replaced."""

    def __init__(self) -> None:
        self._used: dict[str, tuple[int, int] | None] = {}

    def note(self, config: Config, camera: str) -> None:
        """The camera's model was just loaded."""
        self._used[camera] = _version(config.model_path(camera))

    def replaced(self, config: Config, cameras: Iterable[str]) -> list[str]:
        """Cameras whose file is another than the one in use; one that is gone is kept in use."""
        now = {camera: _version(config.model_path(camera)) for camera in cameras}
        return [camera for camera, version in now.items() if version and version != self._used.get(camera, version)]


def _version(path: Path) -> tuple[int, int] | None:
    """Modification time and inode: a model file is always replaced as a whole."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
