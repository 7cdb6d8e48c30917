"""One scene: learn its training videos, score its clips, count; nothing is kept that grows with the footage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from streamwatch.clock import Clock
from streamwatch.evaluation.album import Picture, gallery
from streamwatch.evaluation.clip_run import ClipJob, ClipResult, OnFrames, ScoringWork, score_clip
from streamwatch.evaluation.curves import PixelHistograms
from streamwatch.evaluation.datasets.dataset import SceneData, TestClip, Truth
from streamwatch.evaluation.frame_figures import ClipScores
from streamwatch.evaluation.regions import RegionCounts, TruthRegion
from streamwatch.inference.engine import Engine
from streamwatch.inference.factory import EngineSpec
from streamwatch.inference.offline import input_batches
from streamwatch.learning.by_clip.clip_part import ClipWork, engine_for
from streamwatch.learning.by_clip.clips import Selection, clips_of, segments_of
from streamwatch.learning.by_clip.mapper import Mapper
from streamwatch.learning.by_clip.merged_fit import counted, fit_clips
from streamwatch.learning.footage import Footage, expected_frames
from streamwatch.model.embedding.identity import BackboneSpec
from streamwatch.model.fitting import Learning, fit
from streamwatch.model.scene import SceneModel
from streamwatch.model.scoring.fusion import Features
from streamwatch.records import Frame, SourceSummary
from streamwatch.video.optical_flow import DEFAULT_STEP_S
from streamwatch.video.reader import FrameReader
from streamwatch.video.streams.opener import Opener, PyAvOpener


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
    def engine(self) -> EngineSpec:
        """What makes the engine."""
        return EngineSpec(self.spec, self.device, self.scoring_precision)

    @property
    def motion_step_s(self) -> float | None:
        """What readers measure motion against; None where it is not looked at."""
        return None if self.features == "appearance" else DEFAULT_STEP_S


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


def evaluate_scene(
    scene: SceneData,
    settings: Settings,
    *,
    opener: Opener,
    clock: Clock,
    on_frames: OnFrames,
    mapper: Mapper | None = None,
) -> SceneResult:
    """Learn and score one scene; without training video or labelled clip there is nothing to do.

    Args:
        mapper: has the scene's clips learned and scored by workers; None does it here.

    Raises:
        StreamwatchError: weights or device cannot be had, or the scene has too few training frames; ClusterError: workers fail.
    """
    jobs = [_job(clip, clip.truth, settings) for clip in scene.clips if clip.truth]
    if not scene.training or not jobs:
        return SceneResult(scene.name)
    engine = engine_for(settings.engine)
    result = SceneResult(scene.name)
    if mapper is None:
        readers = [
            FrameReader(scene.name, source, opener=opener, clock=clock, motion_step_s=settings.motion_step_s)
            for source in scene.training
        ]
        model = learn_frames(readers, expected_frames(Footage(scene.training), opener), settings, engine, on_frames)
        summaries = [reader.summary() for reader in readers]
    else:
        model, summaries = _learn_by_clip(scene, settings, engine, mapper, on_frames)
    result.problems += [f"scene {scene.name}: {warning}" for summary in summaries for warning in summary.warnings]
    if model.calibration_ is None:
        raise AssertionError("a fitted model has a calibration")
    result.train_frames, result.weights_sha256 = model.frames, model.identity.weights_sha256
    result.start_threshold = model.calibration_.start_threshold
    model.moments_ = None  # half of what would travel, and nobody learns further
    annotated = settings.annotated is not None
    work = ScoringWork(
        scene.name, model, model.calibration_, settings.engine, settings.every, settings.motion_step_s, annotated, opener
    )
    here = (score_clip(work, job, on_frames) for job in jobs)
    _collect(result, work, here if mapper is None else _told(mapper.map(score_clip, work, jobs), on_frames))
    return result


def _job(clip: TestClip, truth: Truth, settings: Settings) -> ClipJob:
    return ClipJob(clip, truth, settings.annotated.get(clip.name) if settings.annotated else None)


def _told(results: Iterable[ClipResult], on_frames: OnFrames) -> Iterator[ClipResult]:
    for scored in results:
        on_frames(len(scored.scores.scores))
        yield scored


def _collect(result: SceneResult, work: ScoringWork, scored: Iterable[ClipResult]) -> None:
    """Pool clips, in their order."""
    result.regions, pictures = work.new_regions(), list[Picture]()
    for clip in scored:
        result.clips.append(clip.scores)
        result.pixels.merge(clip.pixels)
        result.regions.merge(clip.regions)
        result.problems += clip.problems
        pictures += clip.pictures
    result.gallery = gallery(pictures)


def _learn_by_clip(
    scene: SceneData, settings: Settings, engine: Engine, mapper: Mapper, on_frames: OnFrames
) -> tuple[SceneModel, list[SourceSummary]]:
    """As ``learn_frames``, by workers."""
    model = SceneModel(engine.identity, features=settings.features)
    footage = Footage((), features=settings.features, motion_step_s=settings.motion_step_s or DEFAULT_STEP_S)
    work = ClipWork(settings.engine, engine.identity, model.unfitted(), footage, Selection(0), zones=None)
    declared = [expected_frames(Footage((part,)), PyAvOpener()) or 0 for part in segments_of(scene.training)]
    frames = counted(work, mapper, clips_of(scene.training, declared))
    work = work.of(Selection(sum(frames), settings.train_frames))
    clips = clips_of(scene.training, frames)
    read = fit_clips(model, Learning(), work, clips, engine, mapper=mapper, on_frames=on_frames)
    return model, read.summaries


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
