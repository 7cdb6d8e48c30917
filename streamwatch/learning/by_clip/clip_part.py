"""What a worker does with one clip: reads it, embeds it, and brings back sums and a few numbers per frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache

import torch
from torch import Tensor

from streamwatch.clock import SystemClock
from streamwatch.errors import SourceError, SourceNotFound
from streamwatch.inference.engine import Engine
from streamwatch.inference.factory import EngineSpec
from streamwatch.inference.offline import batched
from streamwatch.learning.by_clip.clips import Clip, Selection
from streamwatch.learning.footage import Footage, readers_of
from streamwatch.learning.segment_index import Exclusion, SourcePosition
from streamwatch.model.batches import FrameBatch
from streamwatch.model.calibration.prequential import WHOLE_PICTURE, PrequentialScorer
from streamwatch.model.embedding.identity import EmbeddingIdentity
from streamwatch.model.fitting import Learning, add_batch, embedded, score_prequentially
from streamwatch.model.normality.moments import Moments
from streamwatch.model.scene import LEARN_BATCH_FRAMES, SceneModel
from streamwatch.records import BoolGrid, Frame, SourceSummary
from streamwatch.video.reader import FrameReader
from streamwatch.video.streams.opener import PyAvOpener


@dataclass(frozen=True)
class ClipWork:
    """What all clips of a scene have in common.

    Attributes:
        identity: what a worker's embeddings must be.
        footage: how it is read; its sources are the clips'.
        scoring: the model of what came before, which scores prequentially; None for none yet.
        seen: how many frames it had seen.
        shift: (P, d) what all sums of appearance are about; None for a model of motion.
        zones: as ``PrequentialScorer`` has them; None scores nothing prequentially.
        one_of_several: a clip that cannot be read is left out.
    """

    engine: EngineSpec
    identity: EmbeddingIdentity
    model: SceneModel
    footage: Footage
    selection: Selection
    opener: PyAvOpener = field(default_factory=PyAvOpener)
    excluded: tuple[Exclusion, ...] = ()
    scoring: SceneModel | None = None
    seen: int = 0
    shift: Tensor | None = None
    zones: Mapping[str, BoolGrid | None] | None = field(default_factory=lambda: dict(WHOLE_PICTURE))
    one_of_several: bool = False

    def on(self, engine: Engine) -> ClipWork:
        """The same on a worker's device."""
        shift = self.shift.to(engine.device) if self.shift is not None else None
        return replace(self, shift=shift, scoring=self.scoring.to(engine.device) if self.scoring else None)

    def of(self, selection: Selection) -> ClipWork:
        """The same, of another choice of frames."""
        return replace(self, selection=selection)

    def leaves_out(self, clip: Clip, at_s: float) -> bool:
        """Whether a moment of a clip is excluded."""
        position = SourcePosition(clip.source.label, at_s)
        return any(exclusion.covers(position) for exclusion in self.excluded)

    def reader(self, clip: Clip) -> FrameReader:
        """Of one clip."""
        footage = replace(self.footage, sources=(clip.source,))
        return readers_of(footage, "fit", self.opener, SystemClock())[0]


@dataclass(frozen=True)
class HeldFrames:
    """Frames of a block that is held out: all, or those that are this clip's."""

    batch: FrameBatch
    embeddings: Tensor | None

    def moved(self, by_s: float) -> HeldFrames:
        """A copy, later: what comes from a worker lies in one piece of memory with its sums, and would hold all of it."""
        pixels, speed, time_s = self.batch.tensors
        batch = FrameBatch(pixels.clone(), speed.clone(), time_s + by_s)
        return HeldFrames(batch, None if self.embeddings is None else self.embeddings.clone())


@dataclass
class ClipPart:
    """What of one clip was learned; its times are its own.

    Attributes:
        held: by number of their block.
        last_s: when its last frame was; None for a clip without.
    """

    label: str
    learning: Learning
    prequential: PrequentialScorer
    summary: SourceSummary
    held: dict[int, list[HeldFrames]] = field(default_factory=dict)
    frames: int = 0
    last_s: float | None = None


@lru_cache(maxsize=1)
def engine_for(spec: EngineSpec) -> Engine:
    """The engine of a worker's process, made once; raises as ``build_engine``."""
    return spec.build()


def learn_clip(work: ClipWork, clip: Clip) -> ClipPart:
    """Learn one clip.

    Raises:
        SourceError, SourceNotFound: it cannot be read, and is the only one; ModelMismatch: this worker's weights are others.
    """
    engine, reader = engine_for(work.engine), work.reader(clip)
    engine.identity.require_same(work.identity, where="this worker")
    work = work.on(engine)
    part = ClipPart(clip.source.label, _beginning(work), PrequentialScorer(work.zones or {}), reader.summary())
    part.learning.model, part.learning.seen = work.scoring, work.seen
    numbered = _Numbered(work, clip, part)
    try:
        with torch.no_grad():
            for batch, blocks in numbered.batches(engine, reader):
                _learn_batch(work, engine, part, batch, blocks)
    except (SourceError, SourceNotFound) as error:
        if not work.one_of_several:
            raise
        reader.give_up(error)
    part.learning.model, part.summary = None, reader.summary()
    return part


def _beginning(work: ClipWork) -> Learning:
    if work.shift is None:
        return Learning()
    positions, dims = work.shift.shape
    empty = Moments(0, work.shift, torch.zeros_like(work.shift), work.shift.new_zeros((positions, dims, dims)))
    return Learning(appearance=empty)


def _learn_batch(work: ClipWork, engine: Engine, part: ClipPart, batch: FrameBatch, blocks: list[int | None]) -> None:
    embeddings = embedded(engine.embedder, batch.pixels) if work.model.sees_appearance else None
    if work.zones is not None and work.model.sees_motion:
        batch = next(iter(part.prequential.watching([batch])))
    for block in sorted({number for number in blocks if number is not None}):
        rows = [row for row, number in enumerate(blocks) if number == block]
        held = HeldFrames(_rows(batch, rows), None if embeddings is None else embeddings[rows])
        part.held.setdefault(block, []).append(held)
    rows = [row for row, number in enumerate(blocks) if number is None]
    if rows:
        learned, of_learned = _rows(batch, rows), None if embeddings is None else embeddings[rows]
        if work.zones is not None:
            score_prequentially(part.learning, part.prequential, of_learned, learned)
        add_batch(work.model, part.learning, of_learned, learned)


def _rows(batch: FrameBatch, rows: list[int]) -> FrameBatch:
    return FrameBatch(*(tensor[rows] for tensor in batch.tensors))


class _Numbered:
    """Picks a clip's frames, each with the held-out block that it is of.

    Nothing is read ahead: a worker has one thread, and there are as many workers as processors.
    """

    def __init__(self, work: ClipWork, clip: Clip, part: ClipPart) -> None:
        self._work, self._clip, self._part = work, clip, part

    def batches(self, engine: Engine, reader: FrameReader) -> Iterator[tuple[FrameBatch, list[int | None]]]:
        """Frames that are learned or held out, and the block of each that is held out."""
        for batch in batched(self._frames(reader), LEARN_BATCH_FRAMES):
            frames, blocks = zip(*batch, strict=True)
            yield engine.batch_of(frames), list(blocks)

    def _frames(self, reader: FrameReader) -> Iterator[tuple[Frame, int | None]]:
        selection = self._work.selection
        for number, frame in enumerate(self._taken(reader.frames())):
            place = selection.place_of(self._clip.first + number)
            if place is not None:
                self._part.frames += 1
                yield frame, selection.held_block(place) if number < self._clip.frames else None

    def _taken(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        taken = self._clip.taken
        for number, frame in enumerate(self._included(frames)):
            if taken is None or number in taken:
                yield frame

    def _included(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        for frame in frames:
            self._part.last_s = frame.time_s
            if not self._work.leaves_out(self._clip, frame.time_s):
                yield frame


def count_frames(work: ClipWork, clip: Clip) -> int:
    """How many frames a clip has, which does not say it; 0 for one that cannot be read."""
    count = 0
    with suppress(SourceError, SourceNotFound):
        for due in work.reader(clip).due_frames():
            count += not work.leaves_out(clip, due.time_s)
    return count


def shift_of(work: ClipWork, clip: Clip, engine: Engine) -> Tensor | None:
    """(P, d) mean of a clip's first frames; None for a clip that cannot be read, or of which nothing is learned."""
    numbered = _Numbered(work, clip, ClipPart("", Learning(), PrequentialScorer(), SourceSummary(0, 0.0)))
    unreadable = (SourceError, SourceNotFound) if work.one_of_several else ()
    with suppress(*unreadable), torch.no_grad():
        for first, _blocks in numbered.batches(engine, work.reader(clip)):
            return embedded(engine.embedder, first.pixels).flatten(1, 2).mean(dim=0)
    return None
