"""`fit --engine ray`: a scene learned from its clips, wherever those are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streamwatch.clock import SystemClock
from streamwatch.inference.engine import Engine
from streamwatch.inference.factory import EngineSpec
from streamwatch.learning.by_clip.clip_part import ClipWork
from streamwatch.learning.by_clip.clips import Selection, clips_of, segments_of
from streamwatch.learning.by_clip.mapper import Mapper
from streamwatch.learning.by_clip.merged_fit import counted, fit_clips
from streamwatch.learning.fit import FitResult, Read, concluded, model_to_fit, provenance_of
from streamwatch.learning.footage import Footage, expected_frames
from streamwatch.learning.segment_index import Exclusion
from streamwatch.model.calibration.prequential import PrequentialScorer
from streamwatch.model.fitting import Learning
from streamwatch.model.scene import SceneModel
from streamwatch.scenes.calibration_policy import CalibrationPolicy
from streamwatch.video.streams.opener import PyAvOpener


@dataclass(frozen=True)
class Workers:
    """Who reads and embeds the clips.

    Attributes:
        engine: what each makes for itself.
    """

    mapper: Mapper
    engine: EngineSpec


def learn_scene_by_clip(
    footage: Footage,
    engine: Engine,
    workers: Workers,
    opener: PyAvOpener,
    *,
    base: SceneModel | None = None,
    policy: CalibrationPolicy,
    excluded: tuple[Exclusion, ...] = (),
    on_frames: Callable[[int], None] | None = None,
) -> FitResult:
    """As ``learning.fit.learn_scene``, of recordings and of one regime; inputs are not kept.

    Raises: as ``learn_scene``; ClusterError: the workers fail.
    """
    model, seen = model_to_fit(footage, engine, base)
    declared = [expected_frames(Footage((part,), seen.fps), opener, excluded) or 0 for part in segments_of(seen.sources)]
    clips = clips_of(seen.sources, declared)
    work = ClipWork(
        workers.engine,
        engine.identity,
        model.unfitted(),
        Footage((), seen.fps, features=seen.features, motion_step_s=seen.motion_step_s),
        Selection(0),
        opener,
        excluded,
        zones=policy.zones,
        one_of_several=len(clips) > 1,
    )
    frames = counted(work, workers.mapper, clips)
    clips, work = clips_of(seen.sources, frames), work.of(Selection(sum(frames)))
    prequential = PrequentialScorer(policy.zones, None if base else sum(frames))
    read_clips = fit_clips(
        model, _learned(base), work, clips, engine, mapper=workers.mapper, prequential=prequential, on_frames=on_frames
    )
    summaries = tuple(read_clips.summaries)
    read = Read(read_clips.index, summaries, sum(summary.duration_s for summary in summaries))
    return concluded(model, prequential, policy, read, provenance_of(footage, excluded, read, SystemClock()))


def _learned(base: SceneModel | None) -> Learning:
    """What is learned further: nothing yet, or copies of a model's sums."""
    if base is None:
        return Learning()
    appearance = base.require_moments().copy() if base.sees_appearance else None
    return Learning(appearance, base.motion_.moments.copy() if base.motion_ else None, samples=base.samples_)
