"""Fits one model from what workers learned of its clips, in the order of the footage.

A model that scores prequentially is made as in a single process, when a quarter and half of the footage are learned; here at
the next clip's beginning. So clips go out in stages, each stage's all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from streamwatch.errors import NotEnoughFrames
from streamwatch.inference.engine import Engine
from streamwatch.learning.by_clip.clip_part import ClipPart, ClipWork, HeldFrames, count_frames, learn_clip, shift_of
from streamwatch.learning.by_clip.clips import Clip
from streamwatch.learning.by_clip.mapper import Mapper
from streamwatch.learning.footage import SOURCE_GAP_S
from streamwatch.learning.segment_index import SegmentIndex
from streamwatch.model.batches import FrameBatch
from streamwatch.model.calibration.prequential import PrequentialScorer
from streamwatch.model.fitting import Learning, add_batch, finish, renew_scoring_model
from streamwatch.model.holdout import BLOCK_FRAMES
from streamwatch.model.scene import SceneModel
from streamwatch.records import SourceSummary


@dataclass
class ReadClips:
    """What was read of all clips.

    Attributes:
        index: where they begin on the time line.
    """

    index: SegmentIndex = field(default_factory=SegmentIndex)
    summaries: list[SourceSummary] = field(default_factory=list)


def counted(work: ClipWork, mapper: Mapper, clips: Sequence[Clip]) -> list[int]:
    """How many frames each clip has; those that do not say it are read for it."""
    silent = [clip for clip in clips if not clip.frames]
    found = dict(zip(silent, mapper.map(count_frames, work, silent), strict=True)) if silent else {}
    return [clip.frames or found[clip] for clip in clips]


def fit_clips(
    model: SceneModel,
    learning: Learning,
    work: ClipWork,
    clips: Sequence[Clip],
    engine: Engine,
    *,
    mapper: Mapper,
    prequential: PrequentialScorer | None = None,
    on_frames: Callable[[int], None] | None = None,
) -> ReadClips:
    """Learn all clips on top of ``learning`` and finish ``model``; the same, whatever the mapper and its workers.

    Raises:
        NotEnoughFrames: see ``fitting.fit``; and as ``learn_clip`` and ``Mapper.map``.
    """
    with torch.no_grad():
        merging = _Merging(model, learning, replace(work, shift=_shift(learning, work, clips, engine)), prequential)
        for stage in merging.stages(clips):
            for part in mapper.map(learn_clip, merging.work, stage):
                merging.add(part)
                if on_frames:
                    on_frames(part.frames)
        merging.finish()
    return merging.read


def _shift(learning: Learning, work: ClipWork, clips: Sequence[Clip], engine: Engine) -> Tensor | None:
    """What sums are about: of an update the same as before, so that they merge exactly."""
    if not work.model.sees_appearance:
        return None
    if learning.appearance:
        return learning.appearance.shift
    for clip in clips:
        if (shift := shift_of(work, clip, engine)) is not None:
            return shift
    raise NotEnoughFrames("no frame of normal footage", hint="check that its files can be read")


class _Merging:
    """A fit under way, which takes clips in their order."""

    def __init__(self, model: SceneModel, learning: Learning, work: ClipWork, prequential: PrequentialScorer | None) -> None:
        self.work, self.read = work, ReadClips()
        self._model, self._learning, self._prequential = model, learning, prequential
        self._known_before = learning.known
        self._held: dict[int, list[HeldFrames]] = {}
        self._last_s: float | None = None

    def stages(self, clips: Sequence[Clip]) -> Iterator[Sequence[Clip]]:
        """Clips that one model scores prequentially; the next ones when those have been added."""
        self._renew()  # an update has a model to begin with
        while clips:
            ends = len(clips)
            if self._prequential is not None:
                due = self._prequential.next_model_at(self._learning.seen)
                known = (self._known_before + self.work.selection.known_after(clip) for clip in clips)
                ends = next((n for n, count in enumerate(known, 1) if due is not None and count >= due), ends)
            yield clips[:ends]
            clips = clips[ends:]
            if clips:
                self._renew()

    def _renew(self) -> None:
        """Have the next clips scored by a new model, where that is due."""
        if self._prequential is not None:
            renew_scoring_model(self._model, self._learning, self._prequential, self._held_speeds)
            self.work = replace(self.work, scoring=self._learning.model, seen=self._learning.seen)

    def add(self, part: ClipPart) -> None:
        """What was learned of the next clip."""
        self.read.summaries.append(part.summary)
        self._learning.merge(part.learning)
        if part.last_s is None:
            return
        begins_s = 0.0 if self._last_s is None else self._last_s + SOURCE_GAP_S
        self.read.index.add(begins_s, part.label)
        self._last_s = begins_s + part.last_s
        if self._prequential is not None:
            self._prequential.extend(part.prequential, begins_s)
        for block, frames in part.held.items():
            self._held.setdefault(block, []).extend(held.moved(begins_s) for held in frames)

    def finish(self) -> None:
        """Set thresholds on the blocks that are held out, and finalise."""
        whole: list[HeldFrames] = []
        for block in (_joined(self._held[number]) for number in sorted(self._held)):
            if len(block.batch) == BLOCK_FRAMES:
                whole.append(block)
            else:  # a file that ends before it said it would
                add_batch(self._model, self._learning, block.embeddings, block.batch)
        if not whole:
            raise NotEnoughFrames(
                f"only {self._learning.frames} frames of normal footage, or files that say they hold more",
                hint="learn them in one process: leave out --engine ray",
            )
        of_held = [block.embeddings for block in whole]
        finish(self._model, self._learning, [block.batch for block in whole], of_held, self._prequential)

    def _held_speeds(self) -> list[Tensor]:
        return [_joined(frames).batch.speed for frames in self._held.values()]


def _joined(parts: Sequence[HeldFrames]) -> HeldFrames:
    embeddings = [part.embeddings for part in parts if part.embeddings is not None]
    return HeldFrames(FrameBatch.joined([part.batch for part in parts]), torch.cat(embeddings) if embeddings else None)
