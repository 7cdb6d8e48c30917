"""Which frames of clips are of one regime: that follows from those before them, and so is decided in one place.

Workers only say how each frame looks; the sorter that a single process asks, frame by frame, is asked the same here.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from streamwatch.errors import SourceError, SourceNotFound
from streamwatch.learning.by_clip.clip_part import ClipWork
from streamwatch.learning.by_clip.clips import Clip
from streamwatch.learning.footage import SOURCE_GAP_S
from streamwatch.model.regime import ImageStatistics, RegimeSorter, image_statistics


@dataclass(frozen=True, slots=True)
class ClipLook:
    """How the frames of a clip look that are not excluded.

    Attributes:
        frames: of each its time in the clip, and how it looks.
        last_s: when the clip's last frame is, excluded or not; None for a clip without.
    """

    frames: tuple[tuple[float, ImageStatistics], ...]
    last_s: float | None


def look_at(work: ClipWork, clip: Clip) -> ClipLook:
    """How one clip looks; nothing of it is embedded, and no speed is measured.

    Raises:
        SourceError, SourceNotFound: it cannot be read, and is the only one.
    """
    unreadable = (SourceError, SourceNotFound) if work.one_of_several else ()
    seen, last_s = list[tuple[float, ImageStatistics]](), None
    with suppress(*unreadable):
        for frame in replace(work, footage=replace(work.footage, features="appearance")).reader(clip).frames():
            last_s = frame.time_s
            if not work.leaves_out(clip, frame.time_s):
                seen.append((frame.time_s, image_statistics(frame.pixels)))
    return ClipLook(tuple(seen), last_s)


def taken_by(sorter: RegimeSorter, looks: Sequence[ClipLook]) -> list[frozenset[int]]:
    """Of each clip, in the order of the footage, the numbers of the frames that the sorter takes."""
    taken, begins_s = list[frozenset[int]](), 0.0
    for look in looks:
        taken.append(frozenset(n for n, (time_s, of) in enumerate(look.frames) if sorter.sorts(of, begins_s + time_s)))
        if look.last_s is not None:
            begins_s += look.last_s + SOURCE_GAP_S
    return taken
