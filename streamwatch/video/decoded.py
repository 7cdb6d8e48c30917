"""A decoded picture on its way from a stream to the reader."""

from __future__ import annotations

from dataclasses import dataclass

import av

from streamwatch.enums import DropReason


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded frame and its presentation time in seconds on the stream's own clock.

    Attributes:
        drop_reason: why it must not be scored, or None.
    """

    frame: av.VideoFrame
    time_s: float
    drop_reason: DropReason | None = None
