"""The first picture of a source, for somebody who sets a camera up."""

from __future__ import annotations

from streamwatch.clock import SystemClock
from streamwatch.config.schema import CameraDefaults
from streamwatch.errors import SourceEmpty
from streamwatch.video.overlay import encode_jpeg
from streamwatch.video.reader import FrameReader, ReaderListeners, RetentionOptions
from streamwatch.video.sources import camera_source
from streamwatch.video.streams.opener import PyAvOpener, stream_options

WIDTH_PX = 960
WITHIN_S = 15.0
"""From the first picture that cannot be used to the last that is waited for."""


def first_picture(text: str, settings: CameraDefaults) -> bytes:
    """As JPEG.

    Args:
        text: the source, as in a configuration.

    Raises:
        SourceError: it cannot be opened, or shows nothing; SourceNotFound: there is no such file.
    """
    source, opener = camera_source(text, settings), PyAvOpener(stream_options(settings))
    clock = SystemClock()
    until_s = clock.monotonic_s() + WITHIN_S
    listeners = ReaderListeners(on_picture=lambda _drop: clock.monotonic_s() < until_s)
    reader = FrameReader(
        "probe", source, opener=opener, clock=clock, retention=RetentionOptions(pictures=True), listeners=listeners
    )
    for frame in reader.frames():
        if frame.picture is not None:
            return encode_jpeg(frame.picture.rgb(min(WIDTH_PX, frame.picture.width)))
    raise SourceEmpty("no picture could be decoded", where=source.label)
