"""A decoded picture on its way from a stream to the reader."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from streamwatch.enums import DropReason
from streamwatch.errors import SourceError
from streamwatch.video.orientation import UPRIGHT, Orientation

MAX_PIXELS, MAX_STILL_PIXELS = 63_000_000, 150_000_000
"""Of a video, of which 8K is 33 million, and of a picture file, of which telephones make 108 million."""

# PyAV reports FFmpeg's EXIT when its interrupt callback, i.e. our timeout, ended a call (docs/decisions/0012-live-streams.md).
TIMEOUT_ERRORS = (av.error.ExitError, av.error.TimeoutError)
_NO_TIMESTAMPS = 0x0080
"""AVFMT_NOTIMESTAMPS of FFmpeg's avformat.h: raw H.264 and HEVC, MJPEG in a file or over HTTP."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded frame and its presentation time in seconds on the stream's own clock.

    Attributes:
        drop_reason: why it must not be scored, or None.
        orientation: how it is to be turned.
    """

    frame: av.VideoFrame
    time_s: float
    drop_reason: DropReason | None = None
    orientation: Orientation = UPRIGHT

    @property
    def size_px(self) -> tuple[int, int]:
        """(width, height) as shown."""
        return self.orientation.size(self.frame.width, self.frame.height)


def limit_size(stream: VideoStream, label: str, most: int = MAX_PIXELS) -> None:
    """Have larger pictures than anybody's camera has refused before they are decoded: they take a gigabyte each.

    Raises:
        SourceError: the stream says that it is of such.
    """
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > most:
        what = f"pictures of {width}x{height} are larger than {most // 1_000_000} megapixels"
        raise SourceError(what, where=label, hint="use a smaller stream")
    stream.codec_context.options = {"max_pixels": str(most)}  # a later change of size is damage to the decoder


def has_clock(container: InputContainer) -> bool:
    """Whether a container's packets have times; FFmpeg counts up some of 25 frames a second for those that have none."""
    return not container.format.flags & _NO_TIMESTAMPS


def reason_of(error: av.error.FFmpegError) -> str:
    """FFmpeg's reason in a few words."""
    if isinstance(error, TIMEOUT_ERRORS):
        return "timed out"
    return error.strerror or os.strerror(error.errno or errno.EIO)
