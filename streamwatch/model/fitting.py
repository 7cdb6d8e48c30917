"""Learning a scene: one pass over footage, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from streamwatch.errors import ModelMismatch, NotEnoughFrames
from streamwatch.model.batches import FrameBatch
from streamwatch.model.calibration.prequential import PrequentialScorer
from streamwatch.model.calibration.thresholds import START_QUANTILE, Calibration, calibrate, merged
from streamwatch.model.embedding.embedder import Embedder
from streamwatch.model.holdout import MIN_FRAMES, HoldOut
from streamwatch.model.normality.gaussian import GaussianField
from streamwatch.model.normality.moments import Moments
from streamwatch.model.scene import LEARN_BATCH_FRAMES, TILE_FRAMES, SceneModel, gaussians_of
from streamwatch.model.scoring.fusion import FieldMaps, Fusion, filtered, learn_fusion, merge_fusions
from streamwatch.model.scoring.gaussian_motion import GaussianMotion
from streamwatch.model.scoring.levels import FieldUnits
from streamwatch.model.scoring.motion_field import MotionField, choose_size, require_motion
from streamwatch.model.scoring.stream_scorer import measures_of
from streamwatch.records import Float32Array

SAMPLE_S = 0.5
"""Seconds between frames of a place that tell something new: the integrated autocorrelation time of the embedding's channels on
normal footage has medians of 0.55 s (a courtyard), 0.4 and 0.4 s (two motorways)."""
Motion = MotionField | GaussianMotion


@dataclass
class Learning:
    """Moments under way; None for a field that the model lacks, or that no frame has fed yet.

    Attributes:
        frames: learned in this pass.
        samples: how many of them are independent of each other.
        last_s: when the last frame was.
        model: what scores prequentially, made of the first ``seen`` frames of all.
    """

    appearance: Moments | None = None
    motion: Moments | None = None
    frames: int = 0
    samples: float = 0.0
    last_s: float | None = None
    model: SceneModel | None = None
    seen: int = 0

    @property
    def known(self) -> int:
        """Frames that the moments hold, those of earlier passes too."""
        moments = self.appearance or self.motion
        return moments.count if moments else 0

    def merge(self, later: Learning) -> None:
        """Add what was learned of footage that comes after all that this one saw; exact as ``Moments.merge``."""
        self.appearance = _merged(self.appearance, later.appearance)
        self.motion = _merged(self.motion, later.motion)
        self.frames += later.frames
        self.samples += later.samples
        self.last_s = None


def _merged(mine: Moments | None, theirs: Moments | None) -> Moments | None:
    if mine is None or theirs is None:
        return mine or (theirs.copy() if theirs else None)
    mine.merge(theirs)
    return mine


def fit(
    model: SceneModel, embedder: Embedder, batches: Iterable[FrameBatch], prequential: PrequentialScorer | None = None
) -> SceneModel:
    """Learn the scene in one pass and bounded memory; ``model`` itself, fitted.

    Blocks of the footage are held out, scored by the model that did not see them to set tails and thresholds,
    and then learned too.

    Args:
        prequential: records what models of the footage so far say of the footage to come; batches' times must increase.

    Raises:
        NotEnoughFrames: fewer than 32 frames, or too few with motion; the model is left as it was.
        ModelError: an embedding is not finite.
    """
    return _learn(model, embedder, batches, Learning(), prequential)


def update(
    model: SceneModel, embedder: Embedder, batches: Iterable[FrameBatch], prequential: PrequentialScorer | None = None
) -> SceneModel:
    """Learn more footage on top of what is known; tails and thresholds are derived anew from its held-out part.

    Raises: as ``fit``.
    """
    appearance = model.require_moments().copy() if model.sees_appearance else None
    motion = model.motion_.moments.copy() if model.motion_ else None
    return _learn(model, embedder, batches, Learning(appearance, motion, samples=model.samples_), prequential)


def merge(model: SceneModel, other: SceneModel) -> SceneModel:
    """Add all that ``other`` learned, as if one model had seen both footages; ``model`` itself.

    Raises:
        ModelMismatch: the two do not share an embedding, or hold different fields.
    """
    model.identity.require_same(other.identity, where="merge")
    if model.features != other.features:
        raise ModelMismatch(f"a model of {other.features} does not merge into one of {model.features}")
    if model.sees_appearance:
        moments = model.require_moments()
        moments.merge(other.require_moments())
        model.samples_ += other.samples_
        model.gaussians_ = gaussians_of(model, moments)
    if model.motion_ and other.motion_:
        model.motion_ = _merged_motion(model.motion_, other.motion_)
    if model.fusion_ and other.fusion_:
        model.fusion_ = merge_fusions(model.fusion_, other.fusion_)
    model.units_ = model.units_.widest(other.units_) if model.units_ and other.units_ else None
    known = [c for c in (model.calibration_, other.calibration_) if c]
    model.calibration_, model.levels_ = merged(known) if known else None, None
    maps = [m.suppression_ for m in (model, other) if m.suppression_ is not None]
    model.suppression_ = np.maximum.reduce(maps) if maps else None
    return model


def _learn(
    model: SceneModel,
    embedder: Embedder,
    batches: Iterable[FrameBatch],
    learning: Learning,
    prequential: PrequentialScorer | None,
) -> SceneModel:
    held_out = HoldOut()
    batches = batches if prequential is None or not model.sees_motion else prequential.watching(batches)
    with torch.no_grad():
        for batch in joined_batches(held_out.split(batches), LEARN_BATCH_FRAMES):
            embeddings = embedded(embedder, batch.pixels) if model.sees_appearance else None
            if prequential is not None:
                renew_scoring_model(model, learning, prequential, lambda: [block.speed for block in held_out.held()])
                score_prequentially(learning, prequential, embeddings, batch)
            add_batch(model, learning, embeddings, batch)
            embeddings = None
        held = held_out.held()
        of_held = (embedded(embedder, block.pixels) if model.sees_appearance else None for block in held)
        finish(model, learning, held, of_held, prequential)
    return model


def add_batch(model: SceneModel, learning: Learning, embeddings: Tensor | None, batch: FrameBatch) -> None:
    """Add one batch to the moments of every field; (N, H, W, d) embeddings, None for a model of motion."""
    learning.frames += len(batch)
    learning.samples += _samples_in(learning, batch.time_s.tolist())
    if embeddings is not None:
        learning.appearance = accumulate(learning.appearance, embeddings.flatten(1, 2))
    if model.sees_motion and len(speed := batch.known_speed()):
        learning.motion = accumulate(learning.motion, speed)


def _samples_in(learning: Learning, times_s: Sequence[float]) -> float:
    """Independent samples that frames add; one that comes long after the last, or before it, counts as one."""
    samples = 0.0
    for at_s in times_s:
        passed_s = SAMPLE_S if learning.last_s is None else at_s - learning.last_s
        samples += passed_s / SAMPLE_S if 0 <= passed_s <= SAMPLE_S else 1.0
        learning.last_s = at_s
    return samples


def renew_scoring_model(
    model: SceneModel, learning: Learning, prequential: PrequentialScorer, held_speeds: Callable[[], Sequence[Tensor]]
) -> None:
    """Make the model that scores prequentially anew when that is due.

    Args:
        held_speeds: gives the speeds of the blocks that are held out so far, (16, h, w) each.
    """
    if not prequential.wants_model(learning.known, learning.seen) or (model.sees_motion and not learning.motion):
        return
    learning.model = None  # free its whiteners before the next ones are made
    scoring, learning.seen = model.unfitted(), learning.known
    scoring.samples_ = learning.samples * prequential.share_to_come(learning.known)
    scoring.gaussians_, scoring.motion_ = _fields(scoring, learning, held_speeds())
    learning.model = scoring


def finish(
    model: SceneModel,
    learning: Learning,
    held: Sequence[FrameBatch],
    of_held: Iterable[Tensor | None],
    prequential: PrequentialScorer | None,
) -> None:
    """Set tails and thresholds on the held-out blocks, learn them too, and finalise.

    Args:
        of_held: each block's embeddings, (16, H, W, d); None for a model of motion.

    Raises:
        NotEnoughFrames: as ``fit``.
    """
    learning.model = None  # its whiteners are as large as the final ones: make room
    _require_enough(learning.frames + sum(map(len, held)))
    speeds = [block.speed for block in held]
    trial = model.unfitted()
    trial.samples_ = learning.samples * (1 + sum(map(len, held)) / max(learning.known, 1))
    trial.gaussians_, trial.motion_ = _fields(trial, learning, speeds)
    maps: list[list[FieldMaps]] = []
    for block, embeddings in zip(held, of_held, strict=True):
        maps.append(trial.field_maps(embeddings, block.speed))
        if prequential is not None:
            prequential.observe_held(maps[-1], block.time_s.tolist())
        add_batch(model, learning, embeddings, block)
    trial.gaussians_ = None  # the whiteners are the largest thing here: make room for the final ones
    model.fusion_, model.units_, model.calibration_ = _calibrated(model, maps, [block.time_s.tolist() for block in held])
    model.moments_, model.samples_ = learning.appearance, learning.samples
    model.gaussians_, model.motion_ = _fields(model, learning, speeds)


def _fields(model: SceneModel, learning: Learning, held: Sequence[Tensor]) -> tuple[GaussianField | None, MotionField | None]:
    """Every field from its moments; ``held`` are the speeds of held-out blocks."""
    appearance = gaussians_of(model, learning.appearance) if learning.appearance is not None else None
    if not model.sees_motion:
        return appearance, None
    return appearance, MotionField(require_motion(learning.motion), choose_size(held), model.motion_step_s)


def _calibrated(
    model: SceneModel, held: list[list[FieldMaps]], times_s: list[list[float]]
) -> tuple[Fusion | None, FieldUnits, Calibration]:
    """How to fuse, units and thresholds of the level, from held-out blocks that the scoring model did not see."""
    smooth = [m for block, times in zip(held, times_s, strict=True) for m in filtered(block, times)]
    if model.features != "both":
        return None, FieldUnits(), calibrate([_highest_level(FieldUnits(), maps, model.grid) for maps in smooth])
    units = FieldUnits(*(_high(maps) for maps in zip(*((m.appearance, m.motion) for m in smooth), strict=True)))
    return learn_fusion(smooth), units, calibrate([_highest_level(units, maps, model.grid) for maps in smooth])


def _high(maps: Sequence[Float32Array | None]) -> float:
    """What nearly all frames' maps stay below everywhere; 1 if none says anything."""
    highest = [float(values.max()) for values in maps if values is not None]
    return max(float(np.quantile(highest, START_QUANTILE)), 1e-6) if highest else 1.0


def _highest_level(units: FieldUnits, maps: FieldMaps, grid: tuple[int, int]) -> float:
    return float(units.level(measures_of(maps), grid).max())


def _merged_motion(mine: Motion, theirs: Motion) -> Motion:
    """Both footages' motion, as the model that saw more of it knows it."""
    better = mine if mine.moments.count >= theirs.moments.count else theirs
    mine.moments.merge(theirs.moments)
    return better.relearned(mine.moments)


def _require_enough(frames: int) -> None:
    if frames < MIN_FRAMES:
        raise NotEnoughFrames(
            f"only {frames} frames of normal footage",
            hint=f"at least {MIN_FRAMES} are needed, and some hundreds make a good model",
        )


def score_prequentially(
    learning: Learning, prequential: PrequentialScorer, embeddings: Tensor | None, batch: FrameBatch
) -> None:
    """Score a batch by the model of what came before it."""
    if learning.model is not None and embeddings is not None:
        maps = learning.model.field_maps(embeddings, batch.speed)
        for frame_maps, at_s in zip(maps, batch.time_s.tolist(), strict=True):
            prequential.observe(frame_maps.appearance, at_s, learning.seen)


def embedded(embedder: Callable[[Tensor], Tensor], pixels: Tensor) -> Tensor:
    """(N, H, W, d) of (N, 256, 256, 3) pictures; on a CPU a few at a time: as fast, and a quarter of the memory."""
    parts = torch.split(pixels, TILE_FRAMES if pixels.device.type == "cpu" else len(pixels))
    first: Tensor = embedder(parts[0])
    whole = first.new_empty((len(pixels), *first.shape[1:]))
    for at, part in zip(range(0, len(pixels), len(parts[0])), parts, strict=True):
        whole[at : at + len(part)] = embedder(part) if at else first
    return whole


def accumulate(moments: Moments | None, x: Tensor) -> Moments:
    """Add a (N, P, d) batch to moments, or start them with it."""
    if moments is None:
        return Moments.starting_with(x)
    moments.add(x)
    return moments


def joined_batches(batches: Iterable[FrameBatch], frames: int) -> Iterator[FrameBatch]:
    """Join small batches until they hold at least ``frames``."""
    pending: list[FrameBatch] = []
    for batch in batches:
        pending.append(batch)
        if sum(map(len, pending)) >= frames:
            yield FrameBatch.joined(pending)
            pending = []
    if pending:
        yield FrameBatch.joined(pending)
