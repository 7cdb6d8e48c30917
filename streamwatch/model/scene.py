"""The scene model: one camera's normality, and how far a frame is from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from streamwatch.errors import ModelError
from streamwatch.model.batches import FrameBatch
from streamwatch.model.calibration.normal_levels import NormalLevels
from streamwatch.model.calibration.thresholds import Calibration
from streamwatch.model.embedding.embedder import Embedder
from streamwatch.model.embedding.identity import EmbeddingIdentity
from streamwatch.model.normality.gaussian import (
    EPS,
    GaussianField,
    fit_gaussians,
    mahalanobis,
    squared_parts,
    supported_shrinkage,
)
from streamwatch.model.normality.moments import Moments
from streamwatch.model.scoring.anomaly_map import smooth_on_grid
from streamwatch.model.scoring.fusion import Features, FieldMaps, Fusion, field_maps_of
from streamwatch.model.scoring.gaussian_motion import GaussianMotion
from streamwatch.model.scoring.levels import APPEARANCE, MOTION, FieldUnits
from streamwatch.model.scoring.motion_field import MotionField
from streamwatch.model.scoring.stream_scorer import StreamRules
from streamwatch.records import BoolGrid, Float32Array, LayerShare

TILE_FRAMES = 8
"""Distances are computed in tiles of this many frames, the last one padded.

The CPU's batched product takes another kernel for another number of rows (measured, torch 2.15 with MKL: below seven, and of
narrow columns beyond eight, too), which changes the last bits; with tiles of one size a frame's score does not depend on the
frames that it is batched with. More rows at once are no faster.
"""

LEARN_BATCH_FRAMES = 32
TWO_SIDED_95 = 1.96


@dataclass(frozen=True, slots=True)
class Maps:
    """Anomaly maps (N, H, W), float32, smoothed on the grid, and their maxima (N,)."""

    grids: Tensor
    scores: Tensor


class SceneModel:
    """PaDiM's model of one scene, and beside it the scene's motion.

    Args:
        identity: what the embeddings it learns from are.
        features: ``appearance`` is the paper's method; ``motion`` and ``both`` add the motion field.
        grid: (height, width) of the finest level.
        eps: regularisation of the covariance (eq. 1, Defard et al. 2020).
        motion_step_s: age of the picture that frames' speed is measured against; only noted.

    Learned attributes, None before ``fitting.fit``: ``moments_`` and ``gaussians_`` of appearance, ``motion_``, ``fusion_``
    and ``calibration_``. ``samples_`` is how many independent samples the moments hold; 0 for a
    model that does not shrink. ``units_`` is what its fields are measured in; None for an older model, whose fields are
    judged together. ``suppression_`` is (h, w), what a cell's values are divided by because people called what was there
    normal; None if nobody did. ``levels_`` is by field what the thresholds were derived from; None if that is not known.
    ``regime`` is the one that its footage was of (``regime``); None if that was not asked.
    """

    def __init__(
        self,
        identity: EmbeddingIdentity,
        *,
        features: Features = "appearance",
        grid: tuple[int, int] = (64, 64),
        eps: float = EPS,
        motion_step_s: float = 0.2,
    ) -> None:
        self.identity = identity
        self.features = features
        self.grid = grid
        self.eps = eps
        self.motion_step_s = motion_step_s
        self.moments_: Moments | None = None
        self.gaussians_: GaussianField | None = None
        self.motion_: MotionField | GaussianMotion | None = None
        self.samples_ = 0.0
        self.units_: FieldUnits | None = None
        self.fusion_: Fusion | None = None
        self.calibration_: Calibration | None = None
        self.suppression_: Float32Array | None = None
        self.levels_: Mapping[str, NormalLevels] | None = None
        self.regime: str | None = None

    @property
    def frames(self) -> int:
        """Number of frames learned."""
        moments = self.moments_ or (self.motion_.moments if self.motion_ else None)
        return moments.count if moments else 0

    @property
    def sees_appearance(self) -> bool:
        """Whether it holds the appearance field, and so needs embeddings."""
        return self.features != "motion"

    @property
    def sees_motion(self) -> bool:
        """Whether it holds the motion field, and so needs frames' speed."""
        return self.features != "appearance"

    @property
    def judged_fields(self) -> tuple[str, ...]:
        """The fields that thresholds are for; the empty one stands for all together."""
        if self.units_ is None:
            return ("",)
        return (APPEARANCE,) * self.sees_appearance + (MOTION,) * self.sees_motion

    def levels(self, embedder: Embedder, batch: FrameBatch) -> Float32Array:
        """(N, h, w) levels of frames by themselves, no temporal filter and no suppression map."""
        with torch.no_grad():
            maps = self.field_maps(embedder(batch.pixels) if self.sees_appearance else None, batch.speed)
        rules = StreamRules(self.grid, self.fusion_, units=self.units_)
        verdicts = [rules.scores_of(m, m) for m in maps]
        return np.stack([verdict.level_grid for verdict in verdicts])

    def score(self, embedder: Embedder, pixels: Tensor) -> Maps:
        """Appearance maps and scores of (N, 256, 256, 3) uint8 frames."""
        with torch.no_grad():
            return self.maps(embedder(pixels))

    def maps(self, embeddings: Tensor, *, tile_frames: int = TILE_FRAMES) -> Maps:
        """Appearance maps and scores (section 3.3, Defard et al. 2020) of (N, H, W, d) embeddings.

        Args:
            tile_frames: see TILE_FRAMES; 1 spends nothing on padding and lets the last bits vary.
        """
        if self.gaussians_ is None:
            raise ModelError("the scene model has not been fitted")
        flat = embeddings.flatten(1, 2)
        exact = tile_frames > 1 and flat.device.type == "cpu"
        tiles = torch.split(flat, tile_frames if exact else max(tile_frames, LEARN_BATCH_FRAMES))
        grids = torch.cat([_tile_maps(self.gaussians_, self.grid, tile, tile_frames) for tile in tiles])
        return Maps(grids, grids.amax(dim=(1, 2)))

    def explain(self, x: Tensor, cells: Sequence[int]) -> list[tuple[LayerShare, ...]]:
        """What of the backbone speaks at N cells, counted row by row, of the (N, d) embeddings there."""
        at = torch.tensor(cells, device=x.device)
        parts = squared_parts(self.require_gaussians(), x, at, self.identity.channels_of_layers(), eps=self.eps)
        rows = torch.stack([parts.squared, parts.usual, parts.deviation], 2).cpu().tolist()
        return [_shares(self.identity.layer_names, row) for row in rows]

    def motion_maps(self, speed: Tensor) -> Tensor:
        """Motion maps (N, h, w) of (N, h, w) speeds; NaN where a frame has no motion evidence."""
        if self.motion_ is None:
            raise ModelError("the scene model holds no motion field")
        return self.motion_.maps(speed, self.grid)

    def to(self, device: torch.device, dtype: torch.dtype = torch.float32) -> SceneModel:
        """The model ready to score on ``device``; the moments of appearance stay behind."""
        ready = self.unfitted()
        if self.sees_appearance:
            ready.gaussians_ = self.require_gaussians().to(device, dtype)
        ready.motion_ = self.motion_.to(device, torch.float32) if self.motion_ else None
        ready.fusion_, ready.calibration_, ready.suppression_ = self.fusion_, self.calibration_, self.suppression_
        ready.units_ = self.units_
        return ready

    def unfitted(self) -> SceneModel:
        """A model of the same kind that has learned nothing."""
        return SceneModel(self.identity, features=self.features, grid=self.grid, eps=self.eps, motion_step_s=self.motion_step_s)

    def field_maps(self, embeddings: Tensor | None, speed: Tensor) -> list[FieldMaps]:
        """Each frame's maps on the host: (N, H, W, d) embeddings, None for a model of motion, and (N, h, w) speeds."""
        frames = len(speed)
        appearance = self.maps(embeddings).grids.float().cpu().numpy() if embeddings is not None else [None] * frames
        motion = self.motion_maps(speed).float().cpu().numpy() if self.sees_motion else [None] * frames
        return [field_maps_of(a, m) for a, m in zip(appearance, motion, strict=True)]

    def require_moments(self) -> Moments:
        """The moments of appearance; raises ModelError if they are not loaded."""
        if self.moments_ is None:
            raise ModelError("the model's moments are not loaded", hint="load it with moments to update or merge it")
        return self.moments_

    def require_gaussians(self) -> GaussianField:
        """The Gaussians of appearance; raises ModelError before a fit."""
        if self.gaussians_ is None:
            raise ModelError("the scene model has not been fitted")
        return self.gaussians_


def rules_of(model: SceneModel, ignored: BoolGrid | None = None, units: FieldUnits | None = None) -> StreamRules:
    """By what a model's maps are judged; units other than its own where a configuration says them."""
    return StreamRules(model.grid, model.fusion_, ignored, model.suppression_, units or model.units_)


def gaussians_of(model: SceneModel, moments: Moments) -> GaussianField:
    """Moments of a model's appearance as Gaussians: the paper's for a model of appearance alone; beside motion, where alarms
    and not published figures are what counts, shrunk as far as ``samples_`` leave open.
    """
    shrinks = model.features == "both" and model.samples_ > 0
    shrinkage = supported_shrinkage(moments.dims, model.samples_) if shrinks else 0.0
    return fit_gaussians(moments, eps=model.eps, shrinkage=shrinkage)


def _tile_maps(gaussians: GaussianField, grid: tuple[int, int], flat: Tensor, tile_frames: int) -> Tensor:
    """Maps of one (n, P, d) tile, computed on n rounded up to whole tiles."""
    n = int(flat.shape[0])
    missing = -n % tile_frames
    if missing:
        flat = torch.cat([flat, flat[-1:].expand(missing, -1, -1)])
    distances = mahalanobis(gaussians, flat)
    return smooth_on_grid(distances.reshape(-1, *grid))[:n]


def _shares(layer_names: Sequence[str], parts: list[list[float]]) -> tuple[LayerShare, ...]:
    """Layers from (squared, usual, deviation) of each."""
    whole = max(sum(squared for squared, _, _ in parts), 1e-9)
    ranges = [(max(usual - TWO_SIDED_95 * sd, 0.0), usual + TWO_SIDED_95 * sd) for _, usual, sd in parts]
    named = zip(layer_names, parts, ranges, strict=True)
    return tuple(LayerShare(name, part[0] / whole, part[0], normal) for name, part, normal in named)
