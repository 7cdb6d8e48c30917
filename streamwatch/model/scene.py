"""The scene model: one camera's normality, and how far a frame is from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from streamwatch.errors import ModelError, ModelMismatch, NotEnoughFrames
from streamwatch.model.anomaly_map import smooth_on_grid
from streamwatch.model.calibration import Calibration, calibrate, merged
from streamwatch.model.embedding import Embedder
from streamwatch.model.frames import FrameBatch
from streamwatch.model.fusion import Features, FieldMaps, Fusion, field_maps_of, filtered, learn_fusion, merge_fusions
from streamwatch.model.gaussian import EPS, GaussianField, fit_gaussians, mahalanobis, squared_parts
from streamwatch.model.holdout import MIN_FRAMES, HoldOut
from streamwatch.model.identity import EmbeddingIdentity
from streamwatch.model.moments import Moments
from streamwatch.model.motion import MotionField, choose_shrinkage, fit_motion, require_motion
from streamwatch.model.normal_levels import NormalLevels
from streamwatch.model.rehearsal import Rehearsal
from streamwatch.model.scoring import StreamScorer
from streamwatch.records import Float32Array, LevelShare

TILE_FRAMES = 8
"""Distances are computed in tiles of this many frames, the last one padded.

The CPU's batched product takes another kernel below seven rows (measured, torch 2.15 with MKL), which changes
the last bits; with full tiles a frame's score does not depend on the frames that it is batched with.
"""

LEARN_BATCH_FRAMES = 32
TWO_SIDED_95 = 1.96


@dataclass(frozen=True, slots=True)
class Maps:
    """Anomaly maps (N, H, W), float32, smoothed on the grid, and their maxima (N,)."""

    grids: Tensor
    scores: Tensor


@dataclass
class _Learning:
    """Moments under way; None for a field that the model lacks, or that no frame has fed yet.

    Attributes:
        frames: learned in this pass.
        model: what rehearses, made of the first ``seen`` frames of all.
    """

    appearance: Moments | None = None
    motion: Moments | None = None
    frames: int = 0
    model: SceneModel | None = None
    seen: int = 0

    @property
    def known(self) -> int:
        """Frames that the moments hold, those of earlier passes too."""
        moments = self.appearance or self.motion
        return moments.count if moments else 0


class SceneModel:
    """PaDiM's model of one scene, and beside it the scene's motion.

    Args:
        identity: what the embeddings it learns from are.
        features: ``appearance`` is the paper's method; ``motion`` and ``both`` add the motion field.
        grid: (height, width) of the finest level.
        eps: regularisation of the covariance (eq. 1, Defard et al. 2020).
        motion_step_s: age of the picture that frames' speed is measured against; only noted.

    Learned attributes, None before ``fit``: ``moments_`` and ``gaussians_`` of appearance, ``motion_``, ``fusion_``
    and ``calibration_``. ``allowance_`` is (h, w), what a cell's level is divided by because people called what was
    there normal; None if nobody did. ``levels_`` are those that the thresholds were derived from; None if they are not
    known. ``regime`` is the one that its footage was of (``regime``); None if that was not asked.
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
        self.motion_: MotionField | None = None
        self.fusion_: Fusion | None = None
        self.calibration_: Calibration | None = None
        self.allowance_: Float32Array | None = None
        self.levels_: NormalLevels | None = None
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

    def fit(self, embedder: Embedder, batches: Iterable[FrameBatch], rehearsal: Rehearsal | None = None) -> SceneModel:
        """Learn the scene in one pass and bounded memory.

        Blocks of the footage are held out, scored by the model that did not see them to set tails and thresholds,
        and then learned too.

        Args:
            rehearsal: notes what models of the footage so far say of the footage to come; batches' times must increase.

        Raises:
            NotEnoughFrames: fewer than 32 frames, or too few with motion; the model is left as it was.
            ModelError: an embedding is not finite.
        """
        return self._learn(embedder, batches, _Learning(), rehearsal)

    def update(self, embedder: Embedder, batches: Iterable[FrameBatch], rehearsal: Rehearsal | None = None) -> SceneModel:
        """Learn more footage on top of what is known; tails and thresholds are derived anew from its held-out part.

        Raises: as ``fit``.
        """
        appearance = self._require_moments().copy() if self.sees_appearance else None
        motion = self.motion_.moments.copy() if self.motion_ else None
        return self._learn(embedder, batches, _Learning(appearance, motion), rehearsal)

    def merge(self, other: SceneModel) -> SceneModel:
        """Add all that ``other`` learned, as if one model had seen both footages.

        Raises:
            ModelMismatch: the two do not share an embedding, or hold different fields.
        """
        self.identity.require_same(other.identity, where="merge")
        if self.features != other.features:
            raise ModelMismatch(f"a model of {other.features} does not merge into one of {self.features}")
        if self.sees_appearance:
            moments = self._require_moments()
            moments.merge(other._require_moments())
            self.gaussians_ = fit_gaussians(moments, eps=self.eps)
        if self.motion_ and other.motion_:
            self.motion_ = self._merged_motion(self.motion_, other.motion_)
        if self.fusion_ and other.fusion_:
            self.fusion_ = merge_fusions(self.fusion_, other.fusion_)
        known = [c for c in (self.calibration_, other.calibration_) if c]
        self.calibration_, self.levels_ = merged(known) if known else None, None
        allowances = [m.allowance_ for m in (self, other) if m.allowance_ is not None]
        self.allowance_ = np.maximum.reduce(allowances) if allowances else None
        return self

    def teach(self, embedder: Embedder, batches: Iterable[FrameBatch], weight: int) -> None:
        """Learn frames that count ``weight`` times each; tails and thresholds stay.

        Raises:
            ModelError: the moments are not loaded.
        """
        lesson = _Learning()
        with torch.no_grad():
            for batch in _rebatch(batches, LEARN_BATCH_FRAMES):
                self._add(lesson, embedder(batch.pixels) if self.sees_appearance else None, batch)
        if lesson.appearance:
            moments = self._require_moments()
            moments.merge(lesson.appearance.times(weight))
            self.gaussians_ = fit_gaussians(moments, eps=self.eps)
        if self.motion_ and lesson.motion:
            known = self.motion_
            known.moments.merge(lesson.motion.times(weight))
            self.motion_ = MotionField(known.moments, known.shrinkage, fit_motion(known.moments, known.shrinkage), known.step_s)

    def forget(self, share: float) -> None:
        """Weigh what is known less, by a share of it; what is normal stays, until more is taught.

        Raises:
            ModelError: the moments are not loaded.
        """
        known = [self._require_moments()] if self.sees_appearance else []
        for moments in (*known, *([self.motion_.moments] if self.motion_ else [])):
            moments.fade(max(1, round((1 - share) * moments.count)))

    def levels(self, embedder: Embedder, batch: FrameBatch) -> Float32Array:
        """(N, h, w) levels of frames by themselves, no temporal filter and no allowance."""
        with torch.no_grad():
            maps = self.field_maps(embedder(batch.pixels) if self.sees_appearance else None, batch.speed)
        verdicts = [StreamScorer(self.grid, self.fusion_).score(m, 0.0) for m in maps]
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
        tiles = [self._tile_maps(tile, tile_frames) for tile in torch.split(flat, max(tile_frames, LEARN_BATCH_FRAMES))]
        grids = torch.cat(tiles)
        return Maps(grids, grids.amax(dim=(1, 2)))

    def explain(self, embeddings: Tensor, cells: Sequence[int]) -> list[tuple[LevelShare, ...]]:
        """What of the backbone speaks at a cell of each frame: (N, H, W, d) embeddings, N cells counted row by row."""
        at = torch.tensor(cells, device=embeddings.device)
        x = embeddings.flatten(1, 2)[torch.arange(len(cells), device=at.device), at]
        parts = squared_parts(self._require_gaussians(), x, at, self.identity.channels_of_levels(), eps=self.eps)
        rows = torch.stack([parts.squared, parts.usual, parts.deviation], 2).cpu().tolist()
        return [self._shares(row) for row in rows]

    def _shares(self, parts: list[list[float]]) -> tuple[LevelShare, ...]:
        """Levels from (squared, usual, deviation) of each."""
        whole = max(sum(squared for squared, _, _ in parts), 1e-9)
        ranges = [(max(usual - TWO_SIDED_95 * sd, 0.0), usual + TWO_SIDED_95 * sd) for _, usual, sd in parts]
        named = zip(self.identity.level_names, parts, ranges, strict=True)
        return tuple(LevelShare(name, part[0] / whole, part[0], normal) for name, part, normal in named)

    def motion_maps(self, speed: Tensor) -> Tensor:
        """Motion maps (N, h, w) of (N, h, w) speeds; NaN where a frame has no motion evidence."""
        if self.motion_ is None:
            raise ModelError("the scene model holds no motion field")
        return self.motion_.maps(speed, self.grid)

    def _tile_maps(self, flat: Tensor, tile_frames: int) -> Tensor:
        """Maps of one (n, P, d) tile, computed on n rounded up to whole tiles."""
        n = int(flat.shape[0])
        missing = -n % tile_frames
        if missing:
            flat = torch.cat([flat, flat[-1:].expand(missing, -1, -1)])
        distances = mahalanobis(self._require_gaussians(), flat)
        return smooth_on_grid(distances.reshape(-1, *self.grid))[:n]

    def to(self, device: torch.device, dtype: torch.dtype = torch.float32) -> SceneModel:
        """The model ready to score on ``device``; the moments of appearance stay behind."""
        ready = self._empty()
        if self.sees_appearance:
            ready.gaussians_ = self._require_gaussians().to(device, dtype)
        ready.motion_ = self.motion_.to(device, torch.float32) if self.motion_ else None
        ready.fusion_, ready.calibration_, ready.allowance_ = self.fusion_, self.calibration_, self.allowance_
        return ready

    def _empty(self) -> SceneModel:
        return SceneModel(self.identity, features=self.features, grid=self.grid, eps=self.eps, motion_step_s=self.motion_step_s)

    def _learn(
        self, embedder: Embedder, batches: Iterable[FrameBatch], learning: _Learning, rehearsal: Rehearsal | None
    ) -> SceneModel:
        held_out = HoldOut()
        with torch.no_grad():
            for batch in _rebatch(held_out.split(batches), LEARN_BATCH_FRAMES):
                embeddings = embedder(batch.pixels) if self.sees_appearance else None
                if rehearsal is not None:
                    self._renew(learning, rehearsal, held_out)
                    _rehearse(learning, rehearsal, embeddings, batch)
                self._add(learning, embeddings, batch)
            learning.model = None  # its whiteners are as large as the final ones: make room
            self._require_enough(learning.frames + sum(map(len, held_out.held())))
            self._finish(embedder, learning, held_out.held(), rehearsal)
        return self

    def _add(self, learning: _Learning, embeddings: Tensor | None, batch: FrameBatch) -> None:
        """Add one batch to the moments of every field."""
        learning.frames += len(batch)
        if embeddings is not None:
            learning.appearance = accumulate(learning.appearance, embeddings.flatten(1, 2))
        if self.sees_motion and len(speed := batch.known_speed()):
            learning.motion = accumulate(learning.motion, speed)

    def _renew(self, learning: _Learning, rehearsal: Rehearsal, held_out: HoldOut) -> None:
        """Make the rehearsing model anew when that is due."""
        if not rehearsal.wants_model(learning.known, learning.seen) or (self.sees_motion and not learning.motion):
            return
        learning.model = None  # free its whiteners before the next ones are made
        model, learning.seen = self._empty(), learning.known
        model.gaussians_, model.motion_ = self._fields(learning, [block.speed for block in held_out.held()])
        learning.model = model

    def _finish(self, embedder: Embedder, learning: _Learning, held: list[FrameBatch], rehearsal: Rehearsal | None) -> None:
        """Set tails and thresholds on the held-out blocks, learn them too, and finalise."""
        speeds = [block.speed for block in held]
        trial = self._empty()
        trial.gaussians_, trial.motion_ = self._fields(learning, speeds)
        maps: list[list[FieldMaps]] = []
        for block in held:
            embeddings = embedder(block.pixels) if self.sees_appearance else None
            maps.append(trial.field_maps(embeddings, block.speed))
            if rehearsal is not None:
                rehearsal.observe_held(maps[-1], block.time_s.tolist(), learning.known)
            self._add(learning, embeddings, block)
        fusion, calibration = self._calibrated(maps, [block.time_s.tolist() for block in held])
        trial.gaussians_ = None  # the whiteners are the largest thing here: make room for the final ones
        self.gaussians_, self.motion_ = self._fields(learning, speeds)
        self.moments_, self.fusion_, self.calibration_ = learning.appearance, fusion, calibration

    def _fields(self, learning: _Learning, held: Sequence[Tensor]) -> tuple[GaussianField | None, MotionField | None]:
        """The Gaussians of every field from its moments; ``held`` are the speeds of held-out blocks."""
        appearance = fit_gaussians(learning.appearance, eps=self.eps) if learning.appearance is not None else None
        if not self.sees_motion:
            return appearance, None
        moments = require_motion(learning.motion)
        shrinkage = choose_shrinkage(moments, held, self.grid)
        return appearance, MotionField(moments, shrinkage, fit_motion(moments, shrinkage), self.motion_step_s)

    def field_maps(self, embeddings: Tensor | None, speed: Tensor) -> list[FieldMaps]:
        """Each frame's maps on the host: (N, H, W, d) embeddings, None for a model of motion, and (N, h, w) speeds."""
        frames = len(speed)
        appearance = self.maps(embeddings).grids.float().cpu().numpy() if embeddings is not None else [None] * frames
        motion = self.motion_maps(speed).float().cpu().numpy() if self.sees_motion else [None] * frames
        return [field_maps_of(a, m) for a, m in zip(appearance, motion, strict=True)]

    def _calibrated(self, held: list[list[FieldMaps]], times_s: list[list[float]]) -> tuple[Fusion | None, Calibration]:
        """How to fuse, and thresholds of the level, from held-out blocks that this model did not see."""
        smooth = [filtered(block, times) for block, times in zip(held, times_s, strict=True)]
        fusion = learn_fusion([m for block in smooth for m in block]) if self.features == "both" else None
        levels: list[float] = []
        for block, times in zip(held, times_s, strict=True):
            scorer = StreamScorer(self.grid, fusion)
            levels += [scorer.score(m, t).level for m, t in zip(block, times, strict=True)]
        return fusion, calibrate(levels)

    def _merged_motion(self, mine: MotionField, theirs: MotionField) -> MotionField:
        """Both footages' motion, shrunk as the model that saw more of it found best."""
        shrinkage = (mine if mine.moments.count >= theirs.moments.count else theirs).shrinkage
        mine.moments.merge(theirs.moments)
        return MotionField(mine.moments, shrinkage, fit_motion(mine.moments, shrinkage), mine.step_s)

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


def _rehearse(learning: _Learning, rehearsal: Rehearsal, embeddings: Tensor | None, batch: FrameBatch) -> None:
    """Score a batch by the model of what came before it."""
    if learning.model is not None:
        maps = learning.model.field_maps(embeddings, batch.speed)
        for frame_maps, at_s in zip(maps, batch.time_s.tolist(), strict=True):
            rehearsal.observe(frame_maps, at_s, learning.seen)


def accumulate(moments: Moments | None, x: Tensor) -> Moments:
    """Add a (N, P, d) batch to moments, or start them with it."""
    if moments is None:
        return Moments.starting_with(x)
    moments.add(x)
    return moments


def _rebatch(batches: Iterable[FrameBatch], frames: int) -> Iterator[FrameBatch]:
    """Join small batches until they hold at least ``frames``."""
    pending: list[FrameBatch] = []
    for batch in batches:
        pending.append(batch)
        if sum(map(len, pending)) >= frames:
            yield FrameBatch.joined(pending)
            pending = []
    if pending:
        yield FrameBatch.joined(pending)
