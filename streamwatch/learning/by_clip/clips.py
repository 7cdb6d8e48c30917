"""Footage as clips, and of each clip's frames which are learned, and which are held out, known before any is decoded.

Which blocks ``model.holdout`` ends up with follows from the number of frames alone; here that number is what the files
declare. So workers need not know of each other, and the model is the one that a single process learns of the same footage,
but for the order of sums. Where a file declares too few frames its further ones are learned and none of them is held out;
where it declares too many a block may come short, and is learned instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from streamwatch.model.holdout import BLOCK_FRAMES, FIRST_PERIOD, MAX_BLOCKS
from streamwatch.video.sources import Segment, Source


@dataclass(frozen=True, slots=True)
class Clip:
    """One file, or folder of pictures.

    Attributes:
        source: of one segment.
        first: how many frames of all come before it.
        frames: how many it declares.
        taken: the numbers of those that count, where not all do; the others are as if they were not there.
    """

    source: Source
    first: int
    frames: int
    taken: frozenset[int] | None = None


def clips_of(sources: Sequence[Source], frames: Sequence[int]) -> list[Clip]:
    """Clips in the order of the footage, given what each of ``segments_of`` declares."""
    firsts = accumulate(frames, initial=0)
    return [Clip(part, first, count) for part, first, count in zip(segments_of(sources), firsts, frames, strict=False)]


def segments_of(sources: Sequence[Source]) -> list[Source]:
    """Every segment as a source of its own, by a path that any worker finds; a source's remarks go with its first one."""
    return [
        replace(source, label=segment.label, segments=(_absolute(segment),), remarks=source.remarks if number == 0 else ())
        for source in sources
        for number, segment in enumerate(source.segments)
    ]


def _absolute(segment: Segment) -> Segment:
    location = segment.location if segment.kind == "live" else str(Path(segment.location).absolute())
    return replace(segment, location=location, images=tuple(image.absolute() for image in segment.images))


@dataclass(frozen=True, slots=True)
class Selection:
    """Which frames are learned, by their number among all, and which of them are held out.

    Attributes:
        frames: of all clips together.
        wanted: learn so many of them at most, evenly; None learns all.
    """

    frames: int
    wanted: int | None = None

    @property
    def learned(self) -> int:
        """How many frames that makes, held out or not."""
        return min(self.frames, self.wanted or self.frames)

    @property
    def period(self) -> int:
        """Every so many blocks one is held out: the fewest that leave at most 16, doubled from 5 as ``HoldOut`` does."""
        blocks, period = self.learned // BLOCK_FRAMES, FIRST_PERIOD
        while len(range(1, blocks, period)) > MAX_BLOCKS:
            period *= 2
        return period

    def place_of(self, number: int) -> int | None:
        """Where frame ``number`` of all comes among those that are learned; None if it is not."""
        if self.learned == self.frames:
            return number
        place = number * self.learned // self.frames
        return place if number == 0 or place != (number - 1) * self.learned // self.frames else None

    def held_block(self, place: int) -> int | None:
        """The block that is held out and that the frame at ``place`` is of; None for one that is not."""
        block = place // BLOCK_FRAMES
        return block if block % self.period == 1 and block < self.learned // BLOCK_FRAMES else None

    def known_after(self, clip: Clip) -> int:
        """How many frames are learned and not held out when ``clip`` is done."""
        places = (clip.first + clip.frames) * self.learned // max(self.frames, 1)
        blocks = min(places // BLOCK_FRAMES, self.learned // BLOCK_FRAMES)
        return places - BLOCK_FRAMES * len(range(1, blocks, self.period))
