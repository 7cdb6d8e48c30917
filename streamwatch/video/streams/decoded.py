"""A decoded picture on its way from a stream to the reader."""

from __future__ import annotations

from dataclasses import dataclass

import av
from av.video.stream import VideoStream

from streamwatch.enums import DropReason
from streamwatch.errors import SourceError

MAX_PIXELS, MAX_STILL_PIXELS = 63_000_000, 150_000_000
"""Of a video, of which 8K is 33 million, and of a picture file, of which telephones make 108 million."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded frame and its presentation time in seconds on the stream's own clock.

    Attributes:
        drop_reason: why it must not be scored, or None.
    """

    frame: av.VideoFrame
    time_s: float
    drop_reason: DropReason | None = None


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
