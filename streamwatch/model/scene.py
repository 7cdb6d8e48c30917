"""The scene model: one camera's normality, and how far a frame is from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from streamwatch.errors import ModelError, NotEnoughFrames
from streamwatch.model.anomaly_map import smooth_on_grid
from streamwatch.model.calibration import Calibration, calibrate
from streamwatch.model.embedding import Embedder
from streamwatch.model.gaussian import EPS, GaussianField, fit_gaussians, mahalanobis
from streamwatch.model.holdout import MIN_FRAMES, HoldOut
from streamwatch.model.identity import EmbeddingIdentity
from streamwatch.model.moments import Moments

TILE_FRAMES = 8
"""Distances are computed in tiles of this many frames, the last one padded.

The CPU's batched product takes another kernel below seven rows (measured, torch 2.15 with MKL), which changes
the last bits; with full tiles a frame's score does not depend on the frames that it is batched with.
"""

LEARN_BATCH_FRAMES = 32


@dataclass(frozen=True, slots=True)
class Maps:
    """Anomaly maps (N, H, W), float32, smoothed on the grid, and their maxima (N,)."""

    grids: Tensor
    scores: Tensor


class SceneModel:
    """PaDiM's model of one scene.

    Args:
        identity: what the embeddings it learns from are.
        grid: (height, width) of the finest level.
        eps: regularisation of the covariance (eq. 1, Defard et al. 2020).

    Learned attributes: ``moments_``, ``gaussians_``, ``calibration_``; None before ``fit``.
    """

    def __init__(self, identity: EmbeddingIdentity, *, grid: tuple[int, int] = (64, 64), eps: float = EPS) -> None:
        self.identity = identity
        self.grid = grid
        self.eps = eps
        self.moments_: Moments | None = None
        self.gaussians_: GaussianField | None = None
        self.calibration_: Calibration | None = None

    @property
    def frames(self) -> int:
        """Number of frames learned."""
        return self.moments_.count if self.moments_ else 0

    def fit(self, embedder: Embedder, batches: Iterable[Tensor]) -> SceneModel:
        """Learn the scene from (N, 256, 256, 3) uint8 batches in one pass and bounded memory.

        Blocks of the footage are held out, scored by the model that did not see them to set thresholds,
        and then learned too.

        Raises:
            NotEnoughFrames: fewer than 32 frames; the model is left as it was.
            ModelError: an embedding is not finite.
        """
        return self._learn(embedder, batches, None)

    def update(self, embedder: Embedder, batches: Iterable[Tensor]) -> SceneModel:
        """Learn more footage on top of what is known; thresholds are derived anew from its held-out part.

        Raises: as ``fit``.
        """
        return self._learn(embedder, batches, self._require_moments().copy())

    def merge(self, other: SceneModel) -> SceneModel:
        """Add all that ``other`` learned, as if one model had seen both footages.

        Raises:
            ModelMismatch: the two do not share an embedding.
        """
        self.identity.require_same(other.identity, where="merge")
        moments = self._require_moments()
        moments.merge(other._require_moments())
        tails = [c.tail for c in (self.calibration_, other.calibration_) if c]
        self.calibration_ = calibrate([s for tail in tails for s in tail]) if tails else None
        self.gaussians_ = fit_gaussians(moments, eps=self.eps)
        return self

    def score(self, embedder: Embedder, pixels: Tensor) -> Maps:
        """Anomaly maps and scores of (N, 256, 256, 3) uint8 frames."""
        with torch.no_grad():
            return self.maps(embedder(pixels))

    def maps(self, embeddings: Tensor, *, tile_frames: int = TILE_FRAMES) -> Maps:
        """Anomaly maps and scores (section 3.3, Defard et al. 2020) of (N, H, W, d) embeddings.

        Args:
            tile_frames: see TILE_FRAMES; 1 spends nothing on padding and lets the last bits vary.
        """
        if self.gaussians_ is None:
            raise ModelError("the scene model has not been fitted")
        flat = embeddings.flatten(1, 2)
        tiles = [self._tile_maps(tile, tile_frames) for tile in torch.split(flat, max(tile_frames, LEARN_BATCH_FRAMES))]
        grids = torch.cat(tiles)
        return Maps(grids, grids.amax(dim=(1, 2)))

    def _tile_maps(self, flat: Tensor, tile_frames: int) -> Tensor:
        """Maps of one (n, P, d) tile, computed on n rounded up to whole tiles."""
        n = int(flat.shape[0])
        missing = -n % tile_frames
        if missing:
            flat = torch.cat([flat, flat[-1:].expand(missing, -1, -1)])
        distances = mahalanobis(self._require_gaussians(), flat)
        return smooth_on_grid(distances.reshape(-1, *self.grid))[:n]

    def to(self, device: torch.device, dtype: torch.dtype = torch.float32) -> SceneModel:
        """The model ready to score on ``device``; the moments stay behind."""
        ready = SceneModel(self.identity, grid=self.grid, eps=self.eps)
        ready.gaussians_ = self._require_gaussians().to(device, dtype)
        ready.calibration_ = self.calibration_
        return ready

    def _learn(self, embedder: Embedder, batches: Iterable[Tensor], moments: Moments | None) -> SceneModel:
        held_out = HoldOut()
        new_frames = 0
        with torch.no_grad():
            for batch in _rebatch(held_out.split(batches), LEARN_BATCH_FRAMES):
                moments = accumulate(moments, embedder(batch).flatten(1, 2))
                new_frames += len(batch)
            self._require_enough(new_frames + sum(map(len, held_out.held())))
            if moments is None:
                raise AssertionError("enough frames, but none learned")
            self._finish(embedder, moments, held_out.held())
        return self

    def _finish(self, embedder: Embedder, moments: Moments, held: list[Tensor]) -> None:
        """Set thresholds on the held-out blocks, learn them too, and finalise."""
        trial = SceneModel(self.identity, grid=self.grid, eps=self.eps)
        trial.gaussians_ = fit_gaussians(moments, eps=self.eps)
        scores: list[float] = []
        for block in held:
            embeddings = embedder(block)
            scores += trial.maps(embeddings).scores.tolist()
            moments.add(embeddings.flatten(1, 2))
        trial.gaussians_ = None
        gaussians = fit_gaussians(moments, eps=self.eps)
        self.moments_, self.gaussians_, self.calibration_ = moments, gaussians, calibrate(scores)

    @staticmethod
    def _require_enough(frames: int) -> None:
        if frames < MIN_FRAMES:
            raise NotEnoughFrames(
                f"only {frames} frames of normal footage",
                hint=f"at least {MIN_FRAMES} are needed, and some hundreds make a good model",
            )

    def _require_moments(self) -> Moments:
        if self.moments_ is None:
            raise ModelError("the model's moments are not loaded", hint="load it with moments to update or merge it")
        return self.moments_

    def _require_gaussians(self) -> GaussianField:
        if self.gaussians_ is None:
            raise ModelError("the scene model has not been fitted")
        return self.gaussians_


def accumulate(moments: Moments | None, x: Tensor) -> Moments:
    """Add a (N, P, d) batch to moments, or start them with it."""
    if moments is None:
        return Moments.starting_with(x)
    moments.add(x)
    return moments


def _rebatch(batches: Iterable[Tensor], frames: int) -> Iterator[Tensor]:
    """Join small batches until they hold at least ``frames``."""
    pending: list[Tensor] = []
    for batch in batches:
        pending.append(batch)
        if sum(map(len, pending)) >= frames:
            yield torch.cat(pending)
            pending = []
    if pending:
        yield torch.cat(pending)
