"""Fitting cameras, or a model file: from a configuration to tasks, and each regime's model put where it belongs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from streamwatch.clock import SystemClock
from streamwatch.config.schema import Config
from streamwatch.errors import NotEnoughFrames, UsageError
from streamwatch.inference.engine import Engine
from streamwatch.learning.by_clip.fit import ClippedFootage, Workers
from streamwatch.learning.feedback import FeedbackJournal
from streamwatch.learning.fit import FitResult, FrameSelection, learn_scene
from streamwatch.learning.footage import Footage, Progress, expected_frames
from streamwatch.learning.frame_cache import frame_cache_folder
from streamwatch.learning.publish_model import publish_model
from streamwatch.learning.segment_index import Exclusion, require_known
from streamwatch.model.artifact.serialization import load_model, read_metadata
from streamwatch.model.embedding.identity import BackboneSpec
from streamwatch.model.regime import RegimeSorter
from streamwatch.model.scene import SceneModel
from streamwatch.model.scoring.fusion import Features
from streamwatch.records import SPEED_GRID
from streamwatch.scenes.calibration_policy import CalibrationPolicy, calibration_policy_of
from streamwatch.scenes.model_files import path_for
from streamwatch.scenes.policy import budgets_of
from streamwatch.video.sources import parse_source
from streamwatch.video.streams.opener import PyAvOpener, StreamOptions, stream_options

GRID = (SPEED_GRID, SPEED_GRID)
MIN_OF_REGIME = 200
"""A regime of fewer frames gets no model: some hundreds make a good one."""


@dataclass(frozen=True)
class FitTask:
    """One camera, or model file, to learn.

    Attributes:
        by_regime: with a model each for day, infrared and dark footage.
        excluded: stretches of the footage that are left out.
        cache_folder: where the footage's inputs are kept; None keeps none.
        private: parts of its pictures must not be stored, and in a model's inputs nothing is blacked out.
    """

    label: str
    path: Path
    footage: Footage
    stream: StreamOptions
    by_regime: bool = False
    excluded: tuple[Exclusion, ...] = ()
    cache_folder: Path | None = None
    private: bool = False
    policy: CalibrationPolicy = field(default_factory=CalibrationPolicy)
    budgets_per_day: Mapping[str, float] = field(default_factory=lambda: {"": 1.0})


@dataclass(frozen=True)
class FootageOptions:
    """What of the footage is left out, and whether its inputs are kept; None is as the task has it."""

    excluded: tuple[Exclusion, ...]
    keep_inputs: bool | None

    def applied(self, task: FitTask) -> FitTask:
        """The task with it; raises as ``require_known``."""
        require_known(self.excluded, task.footage.sources)
        if task.private and self.keep_inputs:
            raise UsageError(
                f"camera {task.label} has `privacy` polygons: its inputs are not kept", hint="leave out --keep-inputs"
            )
        if self.keep_inputs is None:
            return replace(task, excluded=self.excluded)
        cache_folder = (task.cache_folder or frame_cache_folder(task.path)) if self.keep_inputs else None
        return replace(task, excluded=self.excluded, cache_folder=cache_folder)


@dataclass(frozen=True)
class Fitted:
    """A model that was written.

    Attributes:
        taught_again: how many events that were called normal are taught to it again.
    """

    task: FitTask
    path: Path
    result: FitResult
    taught_again: int


@dataclass(frozen=True)
class RegimeLeftOut:
    """A regime of which the footage showed too little, or that a live source showed only once."""

    regime: str
    frames: int


def camera_task(config: Config, name: str, sources: tuple[str, ...], live_s: float | None) -> FitTask:
    """What `fit` does for a camera.

    Raises:
        UsageError: there is no footage; SourceNotFound: it is not there.
    """
    settings, camera = config.settings(name), config.cameras[name]
    texts = sources or ((camera.source.get_secret_value(),) if live_s else camera.normal)
    if not texts:
        raise UsageError(f"camera {name}: no footage to learn from", hint="give a SOURCE, set `normal`, or use --live 20m")
    footage = replace(
        _footage(texts, live_s, settings.frame_rate, settings.stream),
        fps=None if settings.fps == "native" else settings.fps,
        features=settings.features,
        motion_step_s=settings.motion_step,
    )
    stream = stream_options(settings)
    policy, budgets, by_regime = calibration_policy_of(config, name, GRID), budgets_of(config, name), settings.regimes == "auto"
    path, private = config.model_path(name), bool(camera.privacy)
    cache_folder = None if private else frame_cache_folder(path)
    return FitTask(name, path, footage, stream, by_regime, (), cache_folder, private, policy, budgets)


def model_task(path: Path, sources: tuple[str, ...], live_s: float | None, frame_rate: float, features: Features) -> FitTask:
    """What `fit --model` does; raises as ``camera_task``."""
    if not sources:
        raise UsageError("no footage to learn from", hint="give at least one SOURCE")
    footage = replace(_footage(sources, live_s, frame_rate), features=features)
    return FitTask(path.stem, path, footage, StreamOptions())


def _footage(texts: tuple[str, ...], live_s: float | None, frame_rate: float, stream: int | None = None) -> Footage:
    sources = tuple(parse_source(text, frame_rate_hz=frame_rate, stream=stream, stream_optional=True) for text in texts)
    if any(source.live for source in sources) and live_s is None:
        raise UsageError("a live source never ends", hint="say how long to learn with --live 20m")
    return Footage(sources, limit_s=live_s)


def backbone_of(path: Path) -> BackboneSpec:
    """The backbone of a model file."""
    identity = load_model(path)[0].identity
    return BackboneSpec(identity.backbone, identity.weights, identity.dims, identity.seed)


def require_clips(task: FitTask) -> None:
    """Check that a task can be learned clip by clip.

    Raises:
        UsageError: it is of a live camera.
    """
    if task.footage.limit_s is not None or any(source.live for source in task.footage.sources):
        raise UsageError(f"{task.label}: a live source is learned by one process", hint="leave out --engine ray")


def fit_task(
    task: FitTask, engine: Engine, *, update: bool, progress: Progress, workers: Workers | None = None
) -> Iterator[Fitted | RegimeLeftOut]:
    """Learn a task's models, one for each regime of its footage, and write each.

    Args:
        update: add to the models that are there instead of starting anew.
        workers: read and embed its clips (``require_clips``); None does it here.

    Raises: as ``learn_scene``; ModelFileError: a model cannot be written.
    """
    learner = _Learner(task, engine, update, progress, workers)
    if not task.by_regime:
        yield learner.write(learner.learn(None))
        return
    first, sorter = learner.learn_first_regime()
    yield learner.write(first)
    for regime, frames in sorter.others().items():
        if frames < MIN_OF_REGIME or task.footage.limit_s is not None:
            yield RegimeLeftOut(regime, frames)
        else:
            yield learner.write(learner.learn(RegimeSorter(regime), frames))


@dataclass(frozen=True)
class _Learner:
    """Learns the models of one task."""

    task: FitTask
    engine: Engine
    update: bool
    progress: Progress
    workers: Workers | None = None

    def learn_first_regime(self) -> tuple[FitResult, RegimeSorter]:
        """The regime that the footage begins with, or that a model to update is of; another if that has too little.

        Raises: as ``learn_scene``.
        """
        sorter = RegimeSorter(_regime_at(self.task.path) if self.update else None)
        try:
            result = self.learn(sorter)
            if self.update or not sorter.others() or _sound(result, sorter):
                return result, sorter
        except NotEnoughFrames:
            if self.update or not sorter.others():
                raise
        again = RegimeSorter(sorter.usual)
        return self.learn(again, sorter.counts[str(sorter.usual)]), again

    def learn(self, sorter: RegimeSorter | None, expected: int | None = None) -> FitResult:
        """Learn one model; raises as ``learn_scene``."""
        task, opener = self.task, PyAvOpener(self.task.stream)
        base = self._base(sorter) if self.update else None
        seen = expected or expected_frames(task.footage, opener, task.excluded)
        with self.progress(f"fit {task.label}", seen) as advance:
            if self._clips:
                return self._clips.learn(task.policy, base=base, sorter=sorter, on_frames=advance)
            return learn_scene(
                task.footage,
                self.engine,
                opener=opener,
                clock=SystemClock(),
                base=base,
                policy=task.policy,
                selection=FrameSelection(sorter, task.excluded, expected, task.cache_folder),
                on_frames=advance,
            )

    @cached_property
    def _clips(self) -> ClippedFootage | None:
        """The footage as workers have it; None where this process reads it."""
        task = self.task
        if self.workers is None:
            return None
        return ClippedFootage(task.footage, self.engine, self.workers, PyAvOpener(task.stream), task.excluded)

    def write(self, result: FitResult) -> Fitted:
        """Put a model where the regime of what it saw belongs."""
        path = path_for(self.task.path, result.model.regime)
        again = publish_model(result.model, path, result.provenance, self._journal(path))
        return Fitted(self.task, path, result, again)

    def _journal(self, path: Path) -> FeedbackJournal:
        return FeedbackJournal(path, lambda: self.engine, lambda _: self.task.policy)

    def _base(self, sorter: RegimeSorter | None) -> SceneModel | None:
        """The model to update; None for a regime that has none yet."""
        path = path_for(self.task.path, sorter.wanted) if sorter else self.task.path
        if path != self.task.path and not path.is_file():
            return None
        return load_model(self._journal(path).base_path(), with_moments=True)[0]


def _sound(result: FitResult, sorter: RegimeSorter) -> bool:
    """Whether the regime was more than a beginning, and its prequential scores, planned for all, came to something."""
    calibration = result.model.calibration_
    large = sorter.wanted == sorter.usual or sorter.counts[str(sorter.wanted)] >= MIN_OF_REGIME
    return large and calibration is not None and bool(calibration.zones)


def _regime_at(path: Path) -> str | None:
    regime: str | None = read_metadata(path).get("regime")
    return regime
