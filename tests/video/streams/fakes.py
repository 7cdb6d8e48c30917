"""A stream that sends what a test has it send, and the opener of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from streamwatch.video.sources import Segment
from streamwatch.video.streams.decoded import Decoded
from streamwatch.video.streams.opener import ignore_packet


class FakeStream:
    """Declares nothing; what it sends is a subclass's."""

    decode_errors, declared_frames = 0, 0
    declared_duration_s, cut_short_of_s = 0.0, 0.0
    starts_s, remarks, coded = None, (), None
    on_packet = staticmethod(ignore_packet)

    def pictures(self) -> Iterator[Decoded]:
        """See Stream."""
        raise NotImplementedError

    @contextmanager
    def open(self, _segment: Segment) -> Iterator[Any]:
        """It opens itself."""
        yield self
