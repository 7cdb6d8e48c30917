"""One scene: learn its training videos, score its clips, count; nothing is kept that grows with the footage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain

import cv2
import numpy as np
import torch

from streamwatch.clock import Clock
from streamwatch.evaluation.curves import Mask, PixelHistograms
from streamwatch.evaluation.datasets.dataset import SceneData, TestClip, Truth
from streamwatch.evaluation.frame_figures import ClipScores
from streamwatch.evaluation.regions import RegionCounts, TruthRegion, link_tracks, threshold_ladder
from streamwatch.inference.engine import Engine, WatchedScene
from streamwatch.inference.factory import build_engine
from streamwatch.inference.offline import input_batches, score_frames
from streamwatch.learning.footage import Footage, expected_frames
from streamwatch.model.calibration.thresholds import Calibration
from streamwatch.model.embedding.identity import BackboneSpec
from streamwatch.model.fitting import fit
from streamwatch.model.scene import SceneModel
from streamwatch.model.scoring.anomaly_map import upsample
from streamwatch.model.scoring.fusion import Features
from streamwatch.records import Frame
from streamwatch.scores import FrameScore
from streamwatch.video.optical_flow import DEFAULT_STEP_S
from streamwatch.video.overlay import heat_overlay
from streamwatch.video.reader import FrameReader, RetentionOptions
from streamwatch.video.sources import Source
from streamwatch.video.streams.opener import Opener

GALLERY_OF_EACH = 2
_LADDER_START = 0.25
"""The region ladder starts at this share of sqrt(d), the distance that a normal patch has."""

OnFrames = Callable[[int], None]


@dataclass(frozen=True)
class Settings:
    """What determines a scene's result, besides its data.

    Attributes:
        train_frames: training frames at most, taken evenly over the scene's videos; None for all.
        every: score every n-th test frame.
        features: the fields to learn and score; appearance alone is the paper's method.
        annotated: tracks per clip and frame, where the user has them; else they come from the masks.
    """

    spec: BackboneSpec
    device: str = "auto"
    precision: str = "auto"
    train_frames: int | None = 5000
    every: int = 1
    features: Features = "appearance"
    annotated: dict[str, list[list[TruthRegion]]] | None = None

    @property
    def scoring_precision(self) -> str:
        """What all is scored in: published figures follow from one precision, and not from what a machine is quick at."""
        return "float32" if self.precision == "auto" else self.precision

    @property
    def motion_step_s(self) -> float | None:
        """What readers measure motion against; None where it is not looked at."""
        return None if self.features == "appearance" else DEFAULT_STEP_S


@dataclass(frozen=True)
class Picture:
    """A frame worth looking at: its overlay with the mask outlined, as JPEG."""

    kind: str
    clip: str
    frame: int
    ratio: float
    jpeg: bytes


@dataclass
class SceneResult:
    """What a scene came to."""

    name: str
    train_frames: int = 0
    start_threshold: float = 1.0
    clips: list[ClipScores] = field(default_factory=list)
    pixels: PixelHistograms = field(default_factory=PixelHistograms)
    regions: RegionCounts | None = None
    gallery: list[Picture] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    weights_sha256: str = ""

    @property
    def frames(self) -> int:
        """Test frames that count."""
        return sum(len(clip.scores) for clip in self.clips)


def evaluate_scene(scene: SceneData, settings: Settings, *, opener: Opener, clock: Clock, on_frames: OnFrames) -> SceneResult:
    """Learn and score one scene; without training video or labelled clip there is nothing to do.

    Raises:
        StreamwatchError: weights or device cannot be had, or the scene has too few training frames.
    """
    if not scene.training or not any(clip.truth for clip in scene.clips):
        return SceneResult(scene.name)
    engine = build_engine(settings.spec, device=settings.device, precision=settings.scoring_precision)
    return _SceneEvaluation(scene, settings, engine, opener=opener, clock=clock, on_frames=on_frames).run()


def thinned(frames: Iterator[Frame], total: int | None, wanted: int | None) -> Iterator[Frame]:
    """``wanted`` of ``total`` frames, evenly: frame i passes where floor(i * wanted / total) steps up."""
    if wanted is None or total is None or total <= wanted:
        yield from frames
        return
    for index, frame in enumerate(frames):
        if index == 0 or index * wanted // total != (index - 1) * wanted // total:
            yield frame


def learn_frames(
    readers: Sequence[FrameReader], total: int | None, settings: Settings, engine: Engine, on_frames: OnFrames
) -> SceneModel:
    """Fit a scene model on the frames of all readers, at most ``settings.train_frames`` of them.

    Raises:
        NotEnoughFrames: see ``fitting.fit``.
    """
    frames = chain.from_iterable(reader.frames() for reader in readers)
    chosen = thinned(frames, total, settings.train_frames)
    model = SceneModel(engine.identity, features=settings.features)
    return fit(model, engine.embedder, input_batches(engine, chosen, on_frames))


class _SceneEvaluation:
    """One scene's evaluation under way."""

    def __init__(
        self, scene: SceneData, settings: Settings, engine: Engine, *, opener: Opener, clock: Clock, on_frames: OnFrames
    ) -> None:
        self._scene, self._settings, self._engine = scene, settings, engine
        self._opener, self._clock, self._on_frames = opener, clock, on_frames
        self._result = SceneResult(scene.name)
        self._regions = RegionCounts(threshold_ladder(_LADDER_START * engine.identity.dims**0.5))

    def run(self) -> SceneResult:
        """Learn the training videos, then score every labelled clip."""
        model, calibration = self._learn()
        self._engine.watch(self._scene.name, WatchedScene(model))
        result, album = self._result, _Album(calibration)
        result.train_frames, result.weights_sha256 = model.frames, model.identity.weights_sha256
        result.start_threshold, result.regions = calibration.start_threshold, self._regions
        for clip in self._scene.clips:
            if clip.truth is not None:
                self._score(clip, clip.truth, album)
        result.gallery = album.pictures()
        return result

    def _learn(self) -> tuple[SceneModel, Calibration]:
        scene = self._scene
        readers = [self._reader(source) for source in scene.training]
        total = expected_frames(Footage(scene.training), self._opener)
        model = learn_frames(readers, total, self._settings, self._engine, self._on_frames)
        self._record_reading(f"scene {scene.name}", readers)
        if model.calibration_ is None:
            raise AssertionError("a fitted model has a calibration")
        return model, model.calibration_

    def _score(self, clip: TestClip, truth: Truth, album: _Album) -> None:
        reader = self._reader(clip.source, keep_pictures=True)
        frames = (frame for frame in reader.frames() if frame.index % self._settings.every == 0)
        regions = self._truth_regions(clip, truth)
        rows: list[tuple[int, float, float, float]] = []
        with closing(score_frames(self._engine, frames)) as scores:
            for scored in scores:
                number = scored.frame.index
                rows.append((number, scored.frame.time_s, scored.score, scored.level))
                mask = truth.masks[number] if truth.masks else None
                self._count(scored, mask, regions[number] if regions else None)
                album.on_score(scored, clip.name, bool(truth.labels[number]), mask)
                self._on_frames(1)
        self._record_reading(f"clip {clip.name}", [reader])
        self._record_size(clip, truth, reader)
        index, time_s, score, level = (np.array(column) for column in zip(*rows, strict=True))
        labels, threshold = truth.labels[index], self._result.start_threshold
        self._result.clips.append(ClipScores(clip.name, score, level, labels, time_s, threshold))

    def _count(self, scored: FrameScore, mask: Mask | None, regions: list[TruthRegion] | None) -> None:
        if mask is not None:
            height, width = mask.shape
            self._result.pixels.add(upsample(torch.from_numpy(scored.grid)[None], height, width)[0].numpy(), mask)
        if regions is not None:
            self._regions.add(scored.grid, regions)

    def _truth_regions(self, clip: TestClip, truth: Truth) -> list[list[TruthRegion]] | None:
        """The clip's regions, frame by frame, their tracks named apart from other clips'."""
        if self._settings.annotated is not None:
            frames = self._settings.annotated.get(clip.name)
        else:
            frames = link_tracks(truth.masks[i] for i in range(len(truth.masks))) if truth.masks else None
        if frames is None:
            return None
        return [[TruthRegion(f"{clip.name}/{r.track}", r.box) for r in regions] for regions in frames]

    def _reader(self, source: Source, *, keep_pictures: bool = False) -> FrameReader:
        return FrameReader(
            self._scene.name,
            source,
            opener=self._opener,
            clock=self._clock,
            retention=RetentionOptions(pictures=keep_pictures),
            motion_step_s=self._settings.motion_step_s,
        )

    def _record_reading(self, where: str, readers: list[FrameReader]) -> None:
        self._result.problems += [f"{where}: {warning}" for r in readers for warning in r.summary().warnings]

    def _record_size(self, clip: TestClip, truth: Truth, reader: FrameReader) -> None:
        if truth.masks is None:
            return
        height, width = truth.masks[0].shape
        own = reader.summary().size_px
        if (width, height) != own:
            sizes = f"frames are {own[0]}x{own[1]}, masks {width}x{height}"
            self._result.problems.append(f"clip {clip.name}: {sizes}: pixel figures are at the masks' size")


@dataclass(frozen=True)
class _Candidate:
    """A frame that may be worth showing; it is drawn only if it stays one to the end."""

    rank: float
    scored: FrameScore
    clip: str
    mask: Mask | None


class _Album:
    """The frames most worth looking at: a few of each kind, of different clips."""

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration
        self._kinds: dict[str, dict[str, _Candidate]] = {"found": {}, "missed": {}, "false": {}}

    def on_score(self, scored: FrameScore, clip: str, anomalous: bool, mask: Mask | None) -> None:
        """Keep the frame if it is among the best found, the worst missed, or the worst false alarms."""
        ratio = scored.level / self._calibration.start_threshold
        for kind, rank in (("found", ratio), ("missed", -ratio)) if anomalous else (("false", ratio),):
            self._offer(self._kinds[kind], _Candidate(rank, scored, clip, mask))

    @staticmethod
    def _offer(kept: dict[str, _Candidate], candidate: _Candidate) -> None:
        """One frame per clip, because neighbours look alike; the weakest clip gives way."""
        before = kept.get(candidate.clip)
        if before is None or before.rank < candidate.rank:
            kept[candidate.clip] = candidate
        if len(kept) > GALLERY_OF_EACH:
            del kept[min(kept, key=lambda clip: kept[clip].rank)]

    def pictures(self) -> list[Picture]:
        """What was kept, strongest first within its kind."""
        return [
            Picture(kind, c.clip, c.scored.frame.index, abs(c.rank), self._draw(c.scored, c.mask))
            for kind, kept in self._kinds.items()
            for c in sorted(kept.values(), key=lambda c: -c.rank)
        ]

    def _draw(self, scored: FrameScore, mask: Mask | None) -> bytes:
        picture = scored.frame.picture
        rgb = picture.rgb() if picture else scored.frame.pixels
        low, high = 0.75 * self._calibration.end_threshold, max(1.5 * self._calibration.start_threshold, scored.level)
        overlay = heat_overlay(rgb, scored.level_grid, low=low, high=high)
        if mask is not None:
            scaled = cv2.resize(mask.astype(np.uint8), overlay.shape[1::-1], interpolation=cv2.INTER_NEAREST)
            outlines, _ = cv2.findContours(scaled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            cv2.drawContours(overlay, outlines, -1, (255, 255, 255), 2)
        _, encoded = cv2.imencode(".jpg", cv2.cvtColor(overlay, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])
        return bytes(encoded)
