"""Picture files, read one after the other at a stated rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import av
from av.video.stream import VideoStream

from streamwatch.errors import SourceError
from streamwatch.video.folders import say_unreadable
from streamwatch.video.orientation import orientation_of
from streamwatch.video.sources import Segment
from streamwatch.video.streams.complaints import heard, listen
from streamwatch.video.streams.decoded import MAX_STILL_PIXELS, Decoded, limit_size


class ImageStream:
    """Decodes image files one after the other."""

    def __init__(self, segment: Segment) -> None:
        self.decode_errors = 0
        self.on_packet: Callable[[av.Packet[VideoStream]], None] = lambda _packet: None
        self._segment = segment
        self._unreadable: list[Path] = []
        listen()

    @property
    def coded(self) -> VideoStream | None:
        """See Stream: none."""
        return None

    @property
    def declared_frames(self) -> int:
        """See Stream."""
        return len(self._segment.images)

    @property
    def declared_duration_s(self) -> float:
        """See Stream."""
        return self.declared_frames / self._segment.frame_rate_hz

    @property
    def starts_s(self) -> float | None:
        """See Stream: pictures are counted from the first, decodable or not."""
        return 0.0

    @property
    def cut_short_of_s(self) -> float:
        """See Stream: what cannot be read is counted one by one."""
        return 0.0

    @property
    def remarks(self) -> tuple[str, ...]:
        """See Stream: which pictures were left out, as far as they were read."""
        said = say_unreadable(self._unreadable)
        return (said,) if said else ()

    def pictures(self) -> Iterator[Decoded]:
        """See Stream; a picture that cannot be decoded, or not to its end, is counted and left out."""
        for index, path in enumerate(self._segment.images):
            frame, damaged = heard(partial(self._decode, path))
            if frame is None or damaged or frame.is_corrupt:
                self.decode_errors += 1
                self._unreadable.append(path)
            else:
                yield Decoded(frame, index / self._segment.frame_rate_hz, None, orientation_of(frame, path))

    def _decode(self, path: Path) -> av.VideoFrame | None:
        try:
            with av.open(f"file:{path}", metadata_errors="replace") as container:
                limit_size(container.streams.video[0], path.name, MAX_STILL_PIXELS)
                return next(container.decode(video=0), None)
        except (av.error.FFmpegError, SourceError, IndexError):
            return None
