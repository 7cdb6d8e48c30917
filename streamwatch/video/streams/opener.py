"""Opening a segment and decoding it picture by picture: the seam to FFmpeg."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from streamwatch.clock import Clock, SystemClock
from streamwatch.config.schema import CameraDefaults
from streamwatch.errors import SourceEmpty, SourceError, SourceNotFound, StreamwatchError
from streamwatch.video.sources import Segment
from streamwatch.video.streams.complaints import listen
from streamwatch.video.streams.decoded import Decoded, reason_of
from streamwatch.video.streams.live import LiveStream, open_live
from streamwatch.video.streams.pictures import ImageStream
from streamwatch.video.streams.recording import RecordingStream
from streamwatch.video.streams.refusals import refused


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How a live source is opened."""

    transport: str = "tcp"
    open_timeout_s: float = 10.0
    read_timeout_s: float = 10.0


def stream_options(settings: CameraDefaults) -> StreamOptions:
    """How a camera's settings have it opened."""
    return StreamOptions(settings.transport, settings.open_timeout, settings.read_timeout)


_TEXT_FORMATS = frozenset({"tty", "bin", "adf", "idf", "xbin", "lrc"})
"""FFmpeg animates text as a terminal of old would."""
PacketListener = Callable[["av.Packet[VideoStream]"], None]


def ignore_packet(_packet: av.Packet[VideoStream]) -> None:
    """What a stream does with its packets, beyond decoding them, unless it is told otherwise."""


class Stream(Protocol):
    """An opened segment.

    Attributes:
        decode_errors: packets or pictures that could not be decoded so far.
        on_packet: told of every packet before it is decoded.
    """

    decode_errors: int
    on_packet: PacketListener

    @property
    def coded(self) -> VideoStream | None:
        """What its packets are of; None if it has none."""
        ...

    @property
    def declared_frames(self) -> int:
        """Coded frames that the container declares; 0 if it does not."""
        ...

    @property
    def declared_duration_s(self) -> float:
        """About how long it is, as the container declares; 0 if it does not."""
        ...

    @property
    def starts_s(self) -> float | None:
        """The picture time that a player shows as 0; None if that is the first picture's."""
        ...

    @property
    def cut_short_of_s(self) -> float:
        """How long the video is declared to be, if less of it was there by the end; else 0."""
        ...

    @property
    def remarks(self) -> tuple[str, ...]:
        """What its user should know of how it is read."""
        ...

    def pictures(self) -> Iterator[Decoded]:
        """Every coded frame in presentation order, with strictly increasing times."""
        ...


class Opener(Protocol):
    """Opens segments."""

    def open(self, segment: Segment) -> AbstractContextManager[Stream]:
        """Open ``segment``; raises SourceError or SourceNotFound."""
        ...


class PyAvOpener:
    """Opens segments with FFmpeg through PyAV."""

    def __init__(self, options: StreamOptions | None = None, clock: Clock | None = None) -> None:
        self._options, self._clock = options or StreamOptions(), clock or SystemClock()

    @contextmanager
    def open(self, segment: Segment) -> Iterator[Stream]:
        """Open ``segment``; raises SourceError or SourceNotFound."""
        if segment.kind == "images":
            yield ImageStream(segment)
            return
        container = self._open_container(segment)
        try:
            live = segment.kind in ("live", "device")
            yield LiveStream(container, segment, self._clock) if live else RecordingStream(container, segment)
        finally:
            container.close()

    def _open_container(self, segment: Segment) -> InputContainer:
        with av.logging.Capture(local=True) as said:
            try:
                if segment.kind == "device":
                    return av.open(segment.location, format="v4l2")
                if segment.kind == "live":
                    timeout_s = (self._options.open_timeout_s, self._options.read_timeout_s)
                    return open_live(segment, transport=self._options.transport, timeout_s=timeout_s)
                _require_bytes(segment)
                return _open_file(segment)
            except av.error.FFmpegError as error:
                raise open_error(segment, error, [text for _, _, text in said]) from None


def _open_file(segment: Segment) -> InputContainer:
    """Open a local file, whatever its name looks like: ``cam:1.mp4`` is no protocol."""
    listen()
    container = av.open(f"file:{segment.location}", metadata_errors="replace")
    if container.format.name in _TEXT_FORMATS:
        container.close()
        raise SourceError("not a video, but text", where=segment.label, hint="give a recording or a folder of them")
    return container


def open_error(segment: Segment, error: av.error.FFmpegError, said: Sequence[str] = ()) -> StreamwatchError:
    """FFmpeg's reason for not opening ``segment``, in our words and without credentials; it said so much meanwhile."""
    if segment.kind in ("live", "device"):
        return refused(segment, error, said)
    if isinstance(error, av.error.FileNotFoundError):
        return SourceNotFound("no such file", where=segment.label, hint="check the path")
    return SourceError(
        f"not a readable video ({reason_of(error)})", where=segment.label, hint="check it with `ffprobe`; it may be cut off"
    )


def _require_bytes(segment: Segment) -> None:
    path = Path(segment.location)
    if path.is_file() and path.stat().st_size == 0:
        raise SourceEmpty("the file is empty (0 bytes)", where=segment.label, hint="record it again")
