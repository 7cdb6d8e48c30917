"""One labelled clip: scored and counted, here or by a worker; nothing is kept that grows with it but a row per frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
import torch

from streamwatch.clock import SystemClock
from streamwatch.evaluation.album import Album, Picture
from streamwatch.evaluation.curves import Mask, PixelHistograms
from streamwatch.evaluation.datasets.dataset import TestClip, Truth
from streamwatch.evaluation.frame_figures import ClipScores
from streamwatch.evaluation.regions import RegionCounts, TruthRegion, link_tracks, threshold_ladder
from streamwatch.inference.engine import WatchedScene
from streamwatch.inference.factory import EngineSpec
from streamwatch.inference.offline import score_frames
from streamwatch.learning.by_clip.clip_part import engine_for
from streamwatch.model.calibration.thresholds import Calibration
from streamwatch.model.scene import SceneModel
from streamwatch.model.scoring.anomaly_map import upsample
from streamwatch.scores import FrameScore
from streamwatch.video.reader import FrameReader, RetentionOptions
from streamwatch.video.streams.opener import Opener, PyAvOpener

_LADDER_START = 0.25
"""The region ladder starts at this share of sqrt(d), the distance that a normal patch has."""
OnFrames = Callable[[int], None]


def no_frames(_count: int) -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class ClipJob:
    """A clip with its truth.

    Attributes:
        annotated: regions frame by frame, where the user has them; None takes them from the masks.
    """

    clip: TestClip
    truth: Truth
    annotated: Sequence[Sequence[TruthRegion]] | None = None


@dataclass(frozen=True)
class ScoringWork:
    """What all clips of a scene have in common.

    Attributes:
        model: fitted; its moments are not needed.
        annotated: whether the user has tracks: a clip without has none then.
    """

    scene: str
    model: SceneModel
    calibration: Calibration
    engine: EngineSpec
    every: int
    motion_step_s: float | None
    annotated: bool = False
    opener: Opener = field(default_factory=PyAvOpener)

    def new_regions(self) -> RegionCounts:
        """Counts of no frame yet."""
        return RegionCounts(threshold_ladder(_LADDER_START * self.model.identity.dims**0.5))


@dataclass
class ClipResult:
    """What a clip came to."""

    scores: ClipScores
    pixels: PixelHistograms
    regions: RegionCounts
    pictures: list[Picture]
    problems: list[str]


def score_clip(work: ScoringWork, job: ClipJob, on_frames: OnFrames = no_frames) -> ClipResult:
    """Score one clip.

    Raises:
        SourceError: it cannot be read.
    """
    engine = engine_for(work.engine)
    engine.watch(work.scene, WatchedScene(work.model))
    clip, truth = job.clip, job.truth
    reader = _reader(work, clip)
    frames = (frame for frame in reader.frames() if frame.index % work.every == 0)
    tally = _Tally(work, job)
    try:
        with closing(score_frames(engine, frames)) as scores:
            for scored in scores:
                tally.add(scored)
                on_frames(1)
    finally:
        engine.unwatch(work.scene)  # the engine outlives the scene, whose model is large
    problems = [f"clip {clip.name}: {warning}" for warning in reader.summary().warnings] + _size_problem(clip, truth, reader)
    return tally.result(problems)


class _Tally:
    """A clip's figures under way."""

    def __init__(self, work: ScoringWork, job: ClipJob) -> None:
        self._job, self._threshold = job, work.calibration.start_threshold
        self._truth_regions = _truth_regions(work, job)
        self._pixels, self._regions = PixelHistograms(), work.new_regions()
        self._album = Album(work.calibration)
        self._rows: list[tuple[int, float, float, float]] = []

    def add(self, scored: FrameScore) -> None:
        """Count one frame."""
        number, truth = scored.frame.index, self._job.truth
        self._rows.append((number, scored.frame.time_s, scored.score, scored.level))
        mask = truth.masks[number] if truth.masks else None
        self._count(scored, mask, self._truth_regions[number] if self._truth_regions else None)
        self._album.on_score(scored, self._job.clip.name, bool(truth.labels[number]), mask)

    def _count(self, scored: FrameScore, mask: Mask | None, regions: list[TruthRegion] | None) -> None:
        if mask is not None:
            height, width = mask.shape
            self._pixels.add(upsample(torch.from_numpy(scored.grid)[None], height, width)[0].numpy(), mask)
        if regions is not None:
            self._regions.add(scored.grid, regions)

    def result(self, problems: list[str]) -> ClipResult:
        """At the end of the clip."""
        index, time_s, score, level = (np.array(column) for column in zip(*self._rows, strict=True))
        name, labels = self._job.clip.name, self._job.truth.labels[index]
        scores = ClipScores(name, score, level, labels, time_s, self._threshold)
        return ClipResult(scores, self._pixels, self._regions, self._album.pictures(), problems)


def _truth_regions(work: ScoringWork, job: ClipJob) -> list[list[TruthRegion]] | None:
    """The clip's regions, frame by frame, their tracks named apart from other clips'."""
    masks = job.truth.masks
    linked = link_tracks(masks[i] for i in range(len(masks))) if masks and not work.annotated else None
    frames = job.annotated if work.annotated else linked
    if frames is None:
        return None
    return [[TruthRegion(f"{job.clip.name}/{r.track}", r.box) for r in regions] for regions in frames]


def _reader(work: ScoringWork, clip: TestClip) -> FrameReader:
    return FrameReader(
        work.scene,
        clip.source,
        opener=work.opener,
        clock=SystemClock(),
        retention=RetentionOptions(pictures=True),
        motion_step_s=work.motion_step_s,
    )


def _size_problem(clip: TestClip, truth: Truth, reader: FrameReader) -> list[str]:
    if truth.masks is None:
        return []
    height, width = truth.masks[0].shape
    own = reader.summary().size_px
    if (width, height) == own:
        return []
    sizes = f"frames are {own[0]}x{own[1]}, masks {width}x{height}"
    return [f"clip {clip.name}: {sizes}: pixel figures are at the masks' size"]
