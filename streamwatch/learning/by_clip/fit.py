"""`fit --engine ray`: a scene learned from its clips, wherever those are read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any

from streamwatch.clock import SystemClock
from streamwatch.inference.engine import Engine
from streamwatch.inference.factory import EngineSpec
from streamwatch.learning.by_clip.clip_part import ClipWork
from streamwatch.learning.by_clip.clips import Clip, Selection, clips_of, segments_of
from streamwatch.learning.by_clip.mapper import Mapper
from streamwatch.learning.by_clip.merged_fit import counted, fit_clips
from streamwatch.learning.by_clip.regimes import ClipLook, look_at, taken_by
from streamwatch.learning.fit import FitResult, FrameSelection, Read, concluded, learn_scene, model_to_fit, provenance_of
from streamwatch.learning.footage import Footage, expected_frames
from streamwatch.learning.segment_index import Exclusion
from streamwatch.model.calibration.prequential import PrequentialScorer
from streamwatch.model.fitting import Learning
from streamwatch.model.regime import RegimeSorter
from streamwatch.model.scene import SceneModel
from streamwatch.scenes.calibration_policy import CalibrationPolicy
from streamwatch.video.streams.opener import PyAvOpener

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Workers:
    """Who reads and embeds the clips.

    Attributes:
        engine: what each makes for itself.
    """

    mapper: Mapper
    engine: EngineSpec


@dataclass(frozen=True)
class ClippedFootage:
    """Recordings that workers read and embed, clip by clip; inputs are not kept."""

    footage: Footage
    engine: Engine
    workers: Workers
    opener: PyAvOpener
    excluded: tuple[Exclusion, ...] = ()

    def learn(
        self,
        policy: CalibrationPolicy,
        *,
        base: SceneModel | None = None,
        sorter: RegimeSorter | None = None,
        on_frames: Callable[[int], None] | None = None,
    ) -> FitResult:
        """As ``learning.fit.learn_scene``, with the same model whatever the workers.

        Footage that is mostly one recording is learned here: workers would leave too little to calibrate alarms on.

        Args:
            sorter: picks the frames of one regime, of fresh ones; None learns all.

        Raises: as ``learn_scene``; ClusterError: the workers fail.
        """
        model, seen = model_to_fit(self.footage, self.engine, base)
        work = self._work(seen, model, policy)
        clips = self._sorted(sorter) if sorter else clips_of(seen.sources, self._counts)
        frames = [clip.frames for clip in clips]
        if base is None and not _enough_clips(frames):
            log.info("most of the footage is one recording: it is learned by this process")
            return self._learned_here(policy, sorter, sum(frames), on_frames)
        prequential = PrequentialScorer(policy.zones, None if base else sum(frames))
        read_clips = fit_clips(
            model,
            _learned(base),
            work.of(Selection(sum(frames))),
            clips,
            self.engine,
            mapper=self.workers.mapper,
            prequential=prequential,
            on_frames=on_frames,
        )
        model.regime = sorter.wanted if sorter else model.regime
        summaries = tuple(read_clips.summaries)
        read = Read(read_clips.index, summaries, sum(summary.duration_s for summary in summaries))
        return concluded(model, prequential, policy, read, provenance_of(self.footage, self.excluded, read, SystemClock()))

    def _work(self, seen: Footage, model: SceneModel, policy: CalibrationPolicy | None) -> ClipWork:
        """Args: policy: None where nothing is learned."""
        return ClipWork(
            self.workers.engine,
            self.engine.identity,
            model.unfitted(),
            Footage((), seen.fps, features=seen.features, motion_step_s=seen.motion_step_s),
            Selection(0),
            self.opener,
            self.excluded,
            zones=policy.zones if policy else None,
            one_of_several=len(segments_of(seen.sources)) > 1,
        )

    def _reading(self) -> ClipWork:
        """The work of who only reads."""
        model, seen = model_to_fit(self.footage, self.engine, None)
        return self._work(seen, model, None)

    @cached_property
    def _counts(self) -> list[int]:
        """How many frames each clip has."""
        parts = segments_of(self.footage.sources)
        declared = [expected_frames(Footage((part,), self.footage.fps), self.opener, self.excluded) or 0 for part in parts]
        return counted(self._reading(), self.workers.mapper, clips_of(self.footage.sources, declared))

    @cached_property
    def _looks(self) -> list[ClipLook]:
        """How each clip looks: read once, whatever regimes are learned of it."""
        clips = clips_of(self.footage.sources, [0] * len(segments_of(self.footage.sources)))
        return list(self.workers.mapper.map(look_at, self._reading(), clips))

    def _sorted(self, sorter: RegimeSorter) -> list[Clip]:
        taken = taken_by(sorter, self._looks)
        clips = clips_of(self.footage.sources, [len(numbers) for numbers in taken])
        return [replace(clip, taken=numbers) for clip, numbers in zip(clips, taken, strict=True)]

    def _learned_here(
        self, policy: CalibrationPolicy, sorter: RegimeSorter | None, frames: int, on_frames: Callable[[int], None] | None
    ) -> FitResult:
        again = RegimeSorter(sorter.wanted) if sorter else None  # of the first all frames were asked already
        selection = FrameSelection(again, self.excluded, frames or None)
        more: dict[str, Any] = {"policy": policy, "selection": selection, "on_frames": on_frames}
        return learn_scene(self.footage, self.engine, opener=self.opener, clock=SystemClock(), **more)


def _enough_clips(frames: Sequence[int]) -> bool:
    """Whether half of the footage or more comes after the clips that make a quarter: alarms are calibrated on that."""
    first = next((count for count in accumulate(frames) if count >= sum(frames) / 4), 0)
    return 2 * first <= sum(frames)


def _learned(base: SceneModel | None) -> Learning:
    """What is learned further: nothing yet, or copies of a model's sums."""
    if base is None:
        return Learning()
    appearance = base.require_moments().copy() if base.sees_appearance else None
    return Learning(appearance, base.motion_.moments.copy() if base.motion_ else None, samples=base.samples_)
