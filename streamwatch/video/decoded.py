"""A decoded picture on its way from a stream to the reader."""

from __future__ import annotations

from dataclasses import dataclass

import av
from av.video.stream import VideoStream

from streamwatch.enums import DropReason
from streamwatch.errors import SourceError

MAX_PIXELS = 40_000_000
"""8K is 33 million."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded frame and its presentation time in seconds on the stream's own clock.

    Attributes:
        drop_reason: why it must not be scored, or None.
    """

    frame: av.VideoFrame
    time_s: float
    drop_reason: DropReason | None = None


def limit_size(stream: VideoStream, label: str) -> None:
    """Have larger pictures than anybody's camera has refused before they are decoded: they take a gigabyte each.

    Raises:
        SourceError: the stream says that it is of such.
    """
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > MAX_PIXELS:
        raise SourceError(f"pictures of {width}x{height} are larger than 8K", where=label, hint="use a smaller stream")
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}  # a later change of size is damage to the decoder
