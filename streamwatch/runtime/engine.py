"""The one owner of the device: embeds batches of all cameras, then scores each camera's frames together."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from streamwatch.model.embedding import Embedder
from streamwatch.model.identity import EmbeddingIdentity
from streamwatch.model.scene import TILE_FRAMES, SceneModel
from streamwatch.records import Frame, FrameScore

OnBatch = Callable[[int, float], None]


@dataclass(frozen=True)
class WatchedScene:
    """A scene ready to score, and the cells that do not count.

    Attributes:
        ignored: (h, w) True where anomalies are ignored, or None.
    """

    model: SceneModel
    ignored: npt.NDArray[np.bool_] | None = None


class Engine:
    """Embeds and scores.

    Args:
        embedder: on ``device``.
        tile_frames: see ``SceneModel.maps``; 1 for the lowest latency live.
        on_batch: told (frames, seconds) of every batch.
    """

    def __init__(
        self,
        embedder: Embedder,
        identity: EmbeddingIdentity,
        device: torch.device,
        *,
        tile_frames: int = TILE_FRAMES,
        on_batch: OnBatch | None = None,
    ) -> None:
        self.embedder, self.identity, self.device = embedder, identity, device
        self._tile_frames = tile_frames
        self._on_batch = on_batch
        self._scenes: dict[str, WatchedScene] = {}

    def watch(self, camera: str, scene: WatchedScene) -> None:
        """Score ``camera`` with ``scene`` from now on.

        Raises:
            ModelMismatch: the scene was learned from other embeddings.
        """
        self.identity.require_same(scene.model.identity, where=f"camera {camera}")
        self._scenes[camera] = WatchedScene(scene.model.to(self.device, self._distance_dtype()), scene.ignored)

    def score(self, frames: Sequence[Frame]) -> list[FrameScore]:
        """Score a batch, in its order; every camera in it must be watched."""
        if not frames:
            return []
        started_s = time.perf_counter()
        with torch.no_grad():
            embeddings = self.embedder(self.to_device([f.pixels for f in frames]))
            grids = self._grids(frames, embeddings).cpu().numpy().astype(np.float32)
        if self._on_batch:
            self._on_batch(len(frames), time.perf_counter() - started_s)
        return [self._scored(frame, grid) for frame, grid in zip(frames, grids, strict=True)]

    def to_device(self, pixels: Sequence[npt.NDArray[np.uint8]]) -> Tensor:
        """Model inputs as one (N, 256, 256, 3) uint8 tensor on the device."""
        return torch.from_numpy(np.stack(pixels)).to(self.device, non_blocking=True)

    def _distance_dtype(self) -> torch.dtype:
        return torch.float64 if self.embedder.dtype == torch.float64 else torch.float32

    def _grids(self, frames: Sequence[Frame], embeddings: Tensor) -> Tensor:
        grids = embeddings.new_empty(embeddings.shape[:3])
        for camera, rows in _rows_by_camera(frames).items():
            at = torch.tensor(rows, device=self.device)
            part = embeddings if len(rows) == len(frames) else embeddings[at]
            grids[at] = self._scenes[camera].model.maps(part, tile_frames=self._tile_frames).grids
        return grids

    def _scored(self, frame: Frame, grid: npt.NDArray[np.float32]) -> FrameScore:
        ignored: npt.NDArray[np.bool_] | None = self._scenes[frame.camera].ignored
        if ignored is not None:
            grid = np.where(ignored, np.float32(0), grid)
        return FrameScore(frame, float(grid.max()), grid)


def _rows_by_camera(frames: Sequence[Frame]) -> Mapping[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, frame in enumerate(frames):
        rows.setdefault(frame.camera, []).append(row)
    return rows
