"""Learning a scene from sources: what `fit` and the demo share."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import takewhile

from streamwatch.clock import Clock
from streamwatch.errors import StreamwatchError
from streamwatch.model.artifact import Provenance
from streamwatch.model.fusion import Features
from streamwatch.model.scene import SceneModel
from streamwatch.records import Frame, SourceSummary
from streamwatch.runtime.engine import Engine
from streamwatch.runtime.offline import input_batches
from streamwatch.video.opener import Opener
from streamwatch.video.reader import FrameReader
from streamwatch.video.sources import Source


@dataclass(frozen=True)
class Footage:
    """What a scene is learned from.

    Attributes:
        fps: frames per second to take, or None for every frame.
        limit_s: stop each source after this much footage; what ends a live one.
        features: the fields to learn.
        motion_step_s: age of the picture that motion is measured against.
    """

    sources: tuple[Source, ...]
    fps: float | None = None
    limit_s: float | None = None
    features: Features = "appearance"
    motion_step_s: float = 0.2


@dataclass(frozen=True)
class Learned:
    """A model that was learned, and from what."""

    model: SceneModel
    provenance: Provenance
    summaries: tuple[SourceSummary, ...]


def learn_scene(
    footage: Footage,
    engine: Engine,
    *,
    opener: Opener,
    clock: Clock,
    base: SceneModel | None = None,
    on_frames: Callable[[int], None] | None = None,
) -> Learned:
    """Fit a scene model, or update ``base``, on all sources in one pass.

    Raises:
        SourceError: a source cannot be read; NotEnoughFrames: the footage is too short.
        ModelMismatch: ``base`` was learned from other embeddings.
    """
    model = base or SceneModel(engine.identity, features=footage.features, motion_step_s=footage.motion_step_s)
    step_s = model.motion_step_s if model.sees_motion else None
    readers = [
        FrameReader("fit", source, opener=opener, clock=clock, fps=footage.fps, motion_step_s=step_s)
        for source in footage.sources
    ]
    engine.identity.require_same(model.identity, where="model to update")
    learn = model.update if base else model.fit
    with closing(_frames(readers, footage.limit_s)) as frames:
        learn(engine.embedder, input_batches(engine, frames, on_frames))
    summaries = tuple(reader.summary() for reader in readers)
    labels = tuple(source.label for source in footage.sources)
    provenance = Provenance(labels, clock.wall_s(), sum(s.duration_s for s in summaries))
    return Learned(model, provenance, summaries)


def _frames(readers: Sequence[FrameReader], limit_s: float | None) -> Generator[Frame]:
    for reader in readers:
        frames = reader.frames()
        yield from frames if limit_s is None else takewhile(lambda frame: frame.time_s < limit_s, frames)


@dataclass(frozen=True)
class Extent:
    """What a source declares about itself before it is read."""

    frames: int
    duration_s: float


def probe(source: Source, opener: Opener) -> Extent:
    """Open every segment of ``source`` once and add up what they declare.

    Raises:
        SourceError, SourceNotFound: one cannot be opened.
    """
    frames, duration_s = 0, 0.0
    for segment in source.segments:
        with opener.open(segment) as stream:
            frames += stream.declared_frames
            duration_s += stream.declared_duration_s
    return Extent(frames, duration_s)


def expected_frames(footage: Footage, opener: Opener) -> int | None:
    """How many frames a fit will see, for a progress bar; None if the sources do not say."""
    total = 0
    for source in footage.sources:
        if source.live:
            return int(footage.limit_s * footage.fps) if footage.limit_s and footage.fps else None
        try:
            extent = probe(source, opener)
        except StreamwatchError:
            return None  # reading it for real says why
        total += extent.frames if footage.fps is None else int(min(extent.frames, extent.duration_s * footage.fps))
    return total or None
