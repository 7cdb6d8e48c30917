"""Recorded footage: what to take of which sources, on one time line."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from streamwatch.clock import Clock
from streamwatch.errors import StreamwatchError
from streamwatch.model.fusion import Features
from streamwatch.model.rehearsal import GAP_S
from streamwatch.records import Frame
from streamwatch.video.opener import Opener
from streamwatch.video.reader import FrameReader, Pace
from streamwatch.video.sources import Source

SOURCE_GAP_S = 2 * GAP_S
"""Between two sources on the time line: enough to begin a new stretch."""


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


def readers_of(footage: Footage, camera: str, opener: Opener, clock: Clock) -> list[FrameReader]:
    """A reader for every source."""
    step_s = None if footage.features == "appearance" else footage.motion_step_s
    return [
        FrameReader(camera, source, opener=opener, clock=clock, pace=Pace(footage.fps), motion_step_s=step_s)
        for source in footage.sources
    ]


def timeline(readers: Sequence[FrameReader], limit_s: float | None) -> Generator[Frame]:
    """All frames on one time line that never runs backwards, with a gap and a cut wherever a file or folder begins."""
    begins_s, last_s, cuts = 0.0, 0.0, -1
    for reader in readers:
        segment: int | None = None
        frames = reader.frames()
        for frame in frames if limit_s is None else takewhile(lambda f: f.time_s < limit_s, frames):
            if frame.segment != segment:
                segment, cuts = frame.segment, cuts + 1
                begins_s += SOURCE_GAP_S if cuts else 0.0
            last_s = begins_s + frame.time_s
            yield replace(frame, time_s=last_s, segment=cuts)
        begins_s = last_s


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
