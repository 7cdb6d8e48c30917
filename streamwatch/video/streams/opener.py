"""Opening a segment and decoding it picture by picture: the seam to FFmpeg."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from streamwatch.clock import Clock, SystemClock
from streamwatch.config.schema import CameraDefaults
from streamwatch.enums import DisconnectKind
from streamwatch.errors import SourceDisconnected, SourceEmpty, SourceError, SourceNotFound, StreamwatchError
from streamwatch.video.sources import Segment
from streamwatch.video.streams.decoded import MAX_STILL_PIXELS, Decoded, limit_size
from streamwatch.video.streams.live import TIMEOUT_ERRORS, LiveStream, disconnect_kind, open_live


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How a live source is opened."""

    transport: str = "tcp"
    open_timeout_s: float = 10.0
    read_timeout_s: float = 10.0


def stream_options(settings: CameraDefaults) -> StreamOptions:
    """How a camera's settings have it opened."""
    return StreamOptions(settings.transport, settings.open_timeout, settings.read_timeout)


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
        """Duration that the container declares; 0 if it does not."""
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
            yield LiveStream(container, segment, self._clock) if live else VideoFileStream(container, segment)
        finally:
            container.close()

    def _open_container(self, segment: Segment) -> InputContainer:
        try:
            if segment.kind == "device":
                return av.open(segment.location, format="v4l2")
            if segment.kind == "live":
                timeout_s = (self._options.open_timeout_s, self._options.read_timeout_s)
                return open_live(segment, transport=self._options.transport, timeout_s=timeout_s)
            _require_bytes(segment)
            return av.open(segment.location)
        except av.error.FFmpegError as error:
            raise open_error(segment, error) from None


def open_error(segment: Segment, error: av.error.FFmpegError) -> StreamwatchError:
    """FFmpeg's reason for not opening ``segment``, in our words and without credentials."""
    if segment.kind in ("live", "device"):
        return _connect_error(segment, error)
    if isinstance(error, av.error.FileNotFoundError):
        return SourceNotFound("no such file", where=segment.label, hint="check the path")
    return SourceError(
        f"not a readable video ({_reason(error)})", where=segment.label, hint="check it with `ffprobe`; it may be cut off"
    )


def _connect_error(segment: Segment, error: av.error.FFmpegError) -> SourceDisconnected:
    kind = disconnect_kind(error, opening=True)
    if kind == DisconnectKind.AUTH:
        return SourceDisconnected(
            "the camera refuses the user or password", where=segment.label, hint="correct them", kind=kind, retry="slowly"
        )
    hint = "check address and power"
    return SourceDisconnected(f"cannot connect ({_reason(error)})", where=segment.label, hint=hint, kind=kind)


def _reason(error: av.error.FFmpegError) -> str:
    if isinstance(error, TIMEOUT_ERRORS):
        return "timed out"
    return error.strerror or os.strerror(error.errno or errno.EIO)


def _require_bytes(segment: Segment) -> None:
    path = Path(segment.location)
    if path.is_file() and path.stat().st_size == 0:
        raise SourceEmpty("the file is empty (0 bytes)", where=segment.label, hint="record it again")


class VideoFileStream:
    """Decodes the first video stream of a container."""

    def __init__(self, container: InputContainer, segment: Segment) -> None:
        if not container.streams.video:
            raise SourceEmpty("holds no video stream", where=segment.label, hint="give a file with video in it")
        self.decode_errors = 0
        self.on_packet: PacketListener = ignore_packet
        self._container, self._segment = container, segment
        self._stream: VideoStream = container.streams.video[0]
        self._stream.thread_count = 1
        limit_size(self._stream, segment.label)
        rate = self._stream.average_rate or self._stream.guessed_rate
        self._frame_s = 1.0 / float(rate) if rate else 0.1
        # AVI stores no presentation times, and FFmpeg hands decode times out in their place, which B-frames
        # put out of order; decode times are in order.
        self._use_dts = container.format.name == "avi"

    @property
    def coded(self) -> VideoStream | None:
        """See Stream."""
        return self._stream

    @property
    def declared_frames(self) -> int:
        """See Stream."""
        return int(self._stream.frames or 0)

    @property
    def declared_duration_s(self) -> float:
        """See Stream."""
        return (self._container.duration or 0) / av.time_base

    def pictures(self) -> Iterator[Decoded]:
        """See Stream."""
        last_s: float | None = None
        step_s = self._frame_s
        for frame in self._frames():
            time_s = self._time_of(frame)
            if time_s is None or (last_s is not None and time_s <= last_s):
                time_s = 0.0 if last_s is None else last_s + step_s
            elif last_s is not None:
                step_s = time_s - last_s  # a nominal rate may count fields: some AVIs say 50 and hold 25 pictures a second
            last_s = time_s
            yield Decoded(frame, time_s)

    def _time_of(self, frame: av.VideoFrame) -> float | None:
        ticks = frame.dts if self._use_dts else frame.pts
        if ticks is None or frame.time_base is None:
            return None
        return float(ticks * frame.time_base)

    def _frames(self) -> Iterator[av.VideoFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                self.on_packet(packet)
                yield from packet.decode()
            except av.error.InvalidDataError:
                self.decode_errors += 1
            except av.error.EOFError:
                return
            except av.error.FFmpegError as error:
                raise SourceError(f"reading failed ({_reason(error)})", where=self._segment.label) from None


class ImageStream:
    """Decodes image files one after the other at a stated rate."""

    def __init__(self, segment: Segment) -> None:
        self.decode_errors = 0
        self.on_packet: PacketListener = ignore_packet
        self._segment = segment

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

    def pictures(self) -> Iterator[Decoded]:
        """See Stream; a picture that cannot be decoded is counted and left out."""
        for index, path in enumerate(self._segment.images):
            frame = self._decode(path)
            if frame is not None:
                yield Decoded(frame, index / self._segment.frame_rate_hz)

    def _decode(self, path: Path) -> av.VideoFrame | None:
        try:
            with av.open(str(path)) as container:
                limit_size(container.streams.video[0], path.name, MAX_STILL_PIXELS)
                return next(container.decode(video=0), None)
        except (av.error.FFmpegError, SourceError, IndexError):
            self.decode_errors += 1
            return None
