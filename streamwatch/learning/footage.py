"""Recorded footage: what to take of which sources, on one time line."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import takewhile

from streamwatch.clock import Clock
from streamwatch.errors import SourceError, SourceNotFound, StreamwatchError
from streamwatch.learning.segment_index import Exclusion, SegmentIndex
from streamwatch.model.calibration.prequential import GAP_S
from streamwatch.model.scoring.fusion import Features
from streamwatch.records import Frame
from streamwatch.video.pace import Pace
from streamwatch.video.reader import FrameReader
from streamwatch.video.sources import Source
from streamwatch.video.streams.opener import Opener

SOURCE_GAP_S = 2 * GAP_S
"""Between two sources on the time line: enough to begin a new stretch."""
Progress = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
"""Shows how far work is: given what it is and how many frames it will take, told of frames as they are done."""


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


def timeline(footage: Footage, readers: Sequence[FrameReader], index: SegmentIndex | None = None) -> Generator[Frame]:
    """All frames on one time line that never runs backwards, with a gap and a cut wherever a file or folder begins.

    Args:
        readers: of the footage, in its order.
        index: told where they begin.
    """
    begins_s, last_s, count = 0.0, 0.0, -1
    limit_s = footage.limit_s
    for source, reader in zip(footage.sources, readers, strict=True):
        segment: int | None = None
        frames = reader.frames() if len(readers) == 1 else _if_readable(reader)
        for frame in frames if limit_s is None else takewhile(lambda f: f.time_s < limit_s, frames):
            if frame.segment != segment:
                segment, count = frame.segment, count + 1
                begins_s += SOURCE_GAP_S if count else 0.0
                if index is not None:
                    index.add(begins_s + frame.time_s, source.segments[segment].label)
            last_s = begins_s + frame.time_s
            yield replace(frame, time_s=last_s, segment=count)
        begins_s = last_s


def _if_readable(reader: FrameReader) -> Iterator[Frame]:
    """The frames of one of several sources; one that cannot be read is left out, and its summary says so."""
    try:
        yield from reader.frames()
    except (SourceError, SourceNotFound) as error:
        reader.give_up(error)


@dataclass(frozen=True)
class Extent:
    """What a source declares about itself before it is read, and what its user should know of it."""

    frames: int
    duration_s: float
    remarks: tuple[str, ...] = ()


def probe(source: Source, opener: Opener) -> Extent:
    """Open every segment of ``source`` once and add up what they declare; of several, one that cannot be opened is left out.

    Raises:
        SourceError, SourceNotFound: none can be opened.
    """
    frames, duration_s, remarks = 0, 0.0, source.remarks
    refused: list[StreamwatchError] = []
    for segment in source.segments:
        try:
            with opener.open(segment) as stream:
                frames += stream.declared_frames
                duration_s += stream.declared_duration_s
                remarks += tuple(f"{segment.label}: {remark}" for remark in stream.remarks)
        except (SourceError, SourceNotFound) as error:
            refused.append(error)
            remarks += (f"{segment.label}: left out: {error.what}",)
    if len(refused) == len(source.segments):
        raise refused[0]
    return Extent(frames, duration_s, remarks)


def expected_frames(footage: Footage, opener: Opener, excluded: Sequence[Exclusion] = ()) -> int | None:
    """How many frames a fit will see, for a progress bar and its prequential scoring; None if the sources do not say."""
    total = 0.0
    for source in footage.sources:
        if source.live:
            return int(footage.limit_s * footage.fps) if footage.limit_s and footage.fps else None
        try:
            extent = probe(source, opener)
        except StreamwatchError:
            if len(footage.sources) == 1:
                return None  # reading it for real says why
            continue
        frames = extent.frames if footage.fps is None else min(extent.frames, extent.duration_s * footage.fps)
        total += frames * (1 - _share_excluded(source, extent, excluded))
    return int(total) or None


def _share_excluded(source: Source, extent: Extent, excluded: Sequence[Exclusion]) -> float:
    mine = [e for e in excluded if any(e.names(segment.label) for segment in source.segments)]
    left_out_s = sum(max(min(e.end_s, extent.duration_s) - e.start_s, 0.0) for e in mine)
    return min(left_out_s / extent.duration_s, 1.0) if extent.duration_s > 0 else 0.0
