"""`fit --engine ray`: a scene learned from its clips, wherever those are read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from streamwatch.clock import SystemClock
from streamwatch.inference.engine import Engine
from streamwatch.inference.factory import EngineSpec
from streamwatch.learning.by_clip.clip_part import ClipWork
from streamwatch.learning.by_clip.clips import Selection, clips_of, segments_of
from streamwatch.learning.by_clip.mapper import Mapper
from streamwatch.learning.by_clip.merged_fit import counted, fit_clips
from streamwatch.learning.fit import FitResult, FrameSelection, Read, concluded, learn_scene, model_to_fit, provenance_of
from streamwatch.learning.footage import Footage, expected_frames
from streamwatch.learning.segment_index import Exclusion
from streamwatch.model.calibration.prequential import PrequentialScorer
from streamwatch.model.fitting import Learning
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

    Footage that is mostly one recording is learned here: workers would leave too little to calibrate alarms on.

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
    if base is None and not _enough_clips(frames):
        log.info("most of the footage is one recording: it is learned by this process")
        selection = FrameSelection(excluded=excluded)
        more: dict[str, Any] = {"policy": policy, "selection": selection, "on_frames": on_frames}
        return learn_scene(footage, engine, opener=opener, clock=SystemClock(), **more)
    clips, work = clips_of(seen.sources, frames), work.of(Selection(sum(frames)))
    prequential = PrequentialScorer(policy.zones, None if base else sum(frames))
    read_clips = fit_clips(
        model, _learned(base), work, clips, engine, mapper=workers.mapper, prequential=prequential, on_frames=on_frames
    )
    summaries = tuple(read_clips.summaries)
    read = Read(read_clips.index, summaries, sum(summary.duration_s for summary in summaries))
    return concluded(model, prequential, policy, read, provenance_of(footage, excluded, read, SystemClock()))


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
