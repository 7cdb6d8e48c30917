"""Recorded footage: what to take of which sources, on one time line, and how a moment of it is named."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import PurePath

from streamwatch.clock import Clock
from streamwatch.config.units import parse_duration_s
from streamwatch.errors import StreamwatchError, UsageError
from streamwatch.model.fusion import Features
from streamwatch.model.rehearsal import GAP_S
from streamwatch.records import Frame
from streamwatch.video.opener import Opener
from streamwatch.video.reader import FrameReader, Pace
from streamwatch.video.sources import Source

SOURCE_GAP_S = 2 * GAP_S
"""Between two sources on the time line: enough to begin a new stretch."""
AROUND_S = 1.0
"""Levels rise and fall late: the filter over time is causal, and rises from nothing."""
_RANGE = re.compile(r"^(?:(?P<name>.+)@)?(?P<start>[^@-]+)-(?P<end>[^@-]+)$")


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


@dataclass(frozen=True, slots=True)
class Place:
    """A moment of footage as people name it: a file, folder or camera, and seconds into it."""

    label: str
    time_s: float


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A stretch of footage that is not to be learned; ``name`` is the end of a label, empty for the only one."""

    name: str
    start_s: float
    end_s: float

    def __str__(self) -> str:
        return f"{self.name}{'@' if self.name else ''}{self.start_s:g}s-{self.end_s:g}s"

    def covers(self, place: Place) -> bool:
        """Whether a moment lies in it."""
        return self.names(place.label) and self.start_s <= place.time_s <= self.end_s

    def names(self, label: str) -> bool:
        """Whether it is of this file, folder or camera."""
        mine, its = PurePath(self.name).parts, PurePath(label).parts
        return its[len(its) - len(mine) :] == mine


class Cuts:
    """Where each file or folder begins on the time line.

    Args:
        begins: (seconds, label) in order.
    """

    def __init__(self, begins: Sequence[tuple[float, str]] = ()) -> None:
        self.begins = list(begins)

    def add(self, at_s: float, label: str) -> None:
        """Another one begins."""
        self.begins.append((at_s, label))

    def exclusion_of(self, start_s: float, end_s: float) -> Exclusion:
        """A stretch of the time line as an exclusion, with a second before and after."""
        place = self.place_of(start_s)
        labels = [label for _, label in self.begins]
        short = PurePath(place.label).name
        same = sum(PurePath(label).name == short for label in labels)
        name = "" if len(labels) == 1 else short if same == 1 else place.label
        begin_s = max(place.time_s - AROUND_S, 0.0)
        return Exclusion(name, round(begin_s, 1), round(place.time_s + end_s - start_s + AROUND_S, 1))

    def place_of(self, at_s: float) -> Place:
        """The moment that lies at ``at_s`` on the time line."""
        begin_s, label = self.begins[max(bisect_right(self.begins, at_s, key=lambda cut: cut[0]) - 1, 0)]
        return Place(label, at_s - begin_s)


def parse_exclusion(text: str) -> Exclusion:
    """``190s-220s``, or ``monday.mp4@3m-3.5m`` where there is more than one file.

    Raises:
        UsageError: it is not of this form.
    """
    match = _RANGE.match(text.strip())
    spans = match.group("start", "end") if match else ("", "")
    try:
        start_s, end_s = (parse_duration_s(span.strip()) for span in spans)
    except ValueError:
        raise UsageError(f"cannot exclude {text!r}", hint="write [FILE@]START-END, like monday.mp4@190s-220s") from None
    if end_s < start_s:
        raise UsageError(f"cannot exclude {text!r}: it ends before it begins")
    return Exclusion((match["name"] if match else "") or "", start_s, end_s)


def require_known(exclusions: Sequence[Exclusion], sources: Sequence[Source]) -> None:
    """Check that every exclusion means one file, folder or camera of the footage.

    Raises:
        UsageError: one means none, or more than one.
    """
    labels = [segment.label for source in sources for segment in source.segments]
    for exclusion in exclusions:
        meant = [label for label in labels if exclusion.names(label)]
        if len(meant) != 1:
            raise UsageError(
                f"cannot exclude {exclusion}: it means {len(meant)} of {len(labels)} files",
                hint="name one with FILE@START-END; with more of its path if two have the same name",
            )


def readers_of(footage: Footage, camera: str, opener: Opener, clock: Clock) -> list[FrameReader]:
    """A reader for every source."""
    step_s = None if footage.features == "appearance" else footage.motion_step_s
    return [
        FrameReader(camera, source, opener=opener, clock=clock, pace=Pace(footage.fps), motion_step_s=step_s)
        for source in footage.sources
    ]


def timeline(footage: Footage, readers: Sequence[FrameReader], cuts: Cuts | None = None) -> Generator[Frame]:
    """All frames on one time line that never runs backwards, with a gap and a cut wherever a file or folder begins.

    Args:
        readers: of the footage, in its order.
        cuts: told where they begin.
    """
    begins_s, last_s, count = 0.0, 0.0, -1
    limit_s = footage.limit_s
    for source, reader in zip(footage.sources, readers, strict=True):
        segment: int | None = None
        frames = reader.frames()
        for frame in frames if limit_s is None else takewhile(lambda f: f.time_s < limit_s, frames):
            if frame.segment != segment:
                segment, count = frame.segment, count + 1
                begins_s += SOURCE_GAP_S if count else 0.0
                if cuts is not None:
                    cuts.add(begins_s + frame.time_s, source.segments[segment].label)
            last_s = begins_s + frame.time_s
            yield replace(frame, time_s=last_s, segment=count)
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


def expected_frames(footage: Footage, opener: Opener, excluded: Sequence[Exclusion] = ()) -> int | None:
    """How many frames a fit will see, for a progress bar and its rehearsal; None if the sources do not say."""
    total = 0.0
    for source in footage.sources:
        if source.live:
            return int(footage.limit_s * footage.fps) if footage.limit_s and footage.fps else None
        try:
            extent = probe(source, opener)
        except StreamwatchError:
            return None  # reading it for real says why
        frames = extent.frames if footage.fps is None else min(extent.frames, extent.duration_s * footage.fps)
        total += frames * (1 - _share_excluded(source, extent, excluded))
    return int(total) or None


def _share_excluded(source: Source, extent: Extent, excluded: Sequence[Exclusion]) -> float:
    mine = [e for e in excluded if any(e.names(segment.label) for segment in source.segments)]
    left_out_s = sum(max(min(e.end_s, extent.duration_s) - e.start_s, 0.0) for e in mine)
    return min(left_out_s / extent.duration_s, 1.0) if extent.duration_s > 0 else 0.0
