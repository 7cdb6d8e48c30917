"""Live streams through FFmpeg: every way in which they fail, told apart; every picture judged."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from streamwatch.clock import Clock
from streamwatch.enums import DisconnectKind
from streamwatch.errors import SourceDisconnected
from streamwatch.video.orientation import Orientation, TurnedStream
from streamwatch.video.sources import Segment
from streamwatch.video.streams.choice import choose_stream, say_choice
from streamwatch.video.streams.complaints import heard, listen
from streamwatch.video.streams.decoded import TIMEOUT_ERRORS, Decoded, has_clock, limit_size
from streamwatch.video.streams.frame_numbers import numbers_of
from streamwatch.video.streams.integrity import ALONE, Harm, IntegrityGuard, Timeline

_AUTH_ERRORS = (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)
PICTURE_WITHIN_S = 45.0
"""A stream that sends, and of which nothing can be decoded for so long, is begun again: twice what cameras with rare key frames
need, and less than the watchdog waits before it leaves a thread behind."""
_RESIZED = "the picture's size changed"


def disconnect_kind(error: av.error.FFmpegError, *, opening: bool) -> DisconnectKind:
    """What FFmpeg says of a lost source."""
    if isinstance(error, TIMEOUT_ERRORS) or error.errno == errno.EIO:  # what an interrupted RTSP read ends in
        return DisconnectKind.TIMEOUT if opening else DisconnectKind.STALL
    if isinstance(error, _AUTH_ERRORS):
        return DisconnectKind.AUTH
    if isinstance(error, av.error.ConnectionRefusedError):
        return DisconnectKind.REFUSED
    if isinstance(error, av.error.InvalidDataError):
        return DisconnectKind.INVALID_DATA
    return DisconnectKind.EOF


def open_live(segment: Segment, *, transport: str, timeout_s: tuple[float, float]) -> InputContainer:
    """Connect to a live URL with low delay.

    Raises:
        av.error.FFmpegError: it cannot be connected to; see ``disconnect_kind``.
        SourceDisconnected: it is the URL of a snapshot.
    """
    listen()  # what FFmpeg complains of is how lost packets show
    # Not fflags=nobuffer: it throws away what probing read, and with it the first key frame (FFmpeg 8.1). Short probing
    # keeps the delay low as well, and what it read is decoded at once.
    options = {"analyzeduration": "500000", "fpsprobesize": "0"}
    if segment.location.startswith("rtsp"):
        options |= {"rtsp_transport": transport}
    if transport == "udp":  # over TCP nothing is reordered, and a queue would hold back what follows a gap
        options |= {"reorder_queue_size": "64", "max_delay": "300000"}
    container = av.open(segment.location, options=options, timeout=timeout_s, metadata_errors="replace")
    if container.format.name.endswith("_pipe"):
        container.close()
        what, hint = "answers with one picture, and no stream", "give the URL of its MJPEG or RTSP stream"
        raise SourceDisconnected(what, where=segment.label, hint=hint, kind=DisconnectKind.INVALID_DATA, retry="slowly")
    return container


class LiveStream:
    """Decodes a live stream; it never ends by itself, so that its end is a disconnect."""

    def __init__(self, container: InputContainer, segment: Segment, clock: Clock) -> None:
        self.decode_errors = 0
        self.on_packet: Callable[[av.Packet[VideoStream]], None] = lambda _: None
        self._container, self._segment, self._clock = container, segment, clock
        self._stream = choose_stream(container.streams.video, segment.stream, segment.label)
        self._stream.thread_count = 1
        limit_size(self._stream, segment.label)
        rate = self._stream.average_rate or self._stream.guessed_rate
        self._timeline = Timeline(1.0 / float(rate) if rate else 0.1)
        self._began_s = None if has_clock(container) else clock.monotonic_s()
        codec = self._stream.codec_context.name
        self._guard = IntegrityGuard(gaps_tell=codec not in ALONE)
        self._numbers = numbers_of(self._stream)
        self._follows: bool | None = None
        self._shape: tuple[int, int, Orientation] | None = None
        self._turned = TurnedStream()
        self._damaged = False
        self._harm = Harm()
        self._coded_alone = codec == "mjpeg"
        self._coded: bytes | None = None

    @property
    def coded(self) -> VideoStream | None:
        """See Stream."""
        return self._stream

    @property
    def declared_frames(self) -> int:
        """See Stream: none."""
        return 0

    @property
    def declared_duration_s(self) -> float:
        """See Stream: none."""
        return 0.0

    @property
    def starts_s(self) -> float | None:
        """See Stream: with its first picture."""
        return None

    @property
    def cut_short_of_s(self) -> float:
        """See Stream: it has no end."""
        return 0.0

    @property
    def remarks(self) -> tuple[str, ...]:
        """See Stream."""
        choice = say_choice(self._container.streams.video, self._stream)
        return (choice,) if choice else ()

    def pictures(self) -> Iterator[Decoded]:
        """Every picture with its judgement; see Stream.

        Raises:
            SourceDisconnected: always, in the end.
        """
        packets = self._container.demux(self._stream)
        pictured_s = self._clock.monotonic_s()
        while True:
            frames = self._next_frames(packets)
            now_s = self._clock.monotonic_s()
            if not frames and now_s - pictured_s > PICTURE_WITHIN_S:
                raise self._lost(f"nothing of it could be decoded for {PICTURE_WITHIN_S:g} s", DisconnectKind.INVALID_DATA)
            for frame in frames:
                yield self._judged(frame)
            pictured_s = self._clock.monotonic_s() if frames else pictured_s

    def _next_frames(self, packets: Iterator[av.Packet[VideoStream]]) -> list[av.VideoFrame]:
        """The next packet's pictures; damage on the way is noted."""
        frames, damaged = heard(lambda: self._decoded(packets))
        self._damaged |= damaged
        if self._damaged:
            self._harm.note()
        return frames

    def _decoded(self, packets: Iterator[av.Packet[VideoStream]]) -> list[av.VideoFrame]:
        try:
            packet = next(packets, None)
            if packet is None:
                raise self._lost("the stream ended", DisconnectKind.EOF)
            self._damaged |= packet.is_corrupt
            self._harm.read(packet)
            self.on_packet(packet)
            self._coded = bytes(packet) if self._coded_alone else None
            if self._numbers is not None and packet.size:
                self._follows = self._numbers.follows(bytes(packet))
                self._damaged |= self._follows is False
            return packet.decode()
        except av.error.InvalidDataError:
            self.decode_errors += 1
            self._damaged = True
            return []
        except av.error.EOFError:
            raise self._lost("the stream ended", DisconnectKind.EOF) from None
        except av.error.FFmpegError as error:
            kind = disconnect_kind(error, opening=False)
            what = "no data in time" if kind == DisconnectKind.STALL else f"reading failed ({error.strerror})"
            raise self._lost(what, kind) from None

    def _judged(self, frame: av.VideoFrame) -> Decoded:
        orientation = self._turned.orientation(frame, self._coded)
        shape = (frame.width, frame.height, orientation)
        if self._shape not in (None, shape):
            raise self._lost(f"{_RESIZED} to {shape[0]}x{shape[1]}", DisconnectKind.INVALID_DATA, at_once=True)
        self._shape = shape
        time_s, jumped = self._time_of(frame)
        known = bool(self._follows)  # then a clock that stands still, or goes back, is all that is wrong
        damaged, self._damaged = self._damaged or (jumped and not known), False
        drop_reason = self._guard.judge(
            time_s,
            key=self._harm.restarts(frame),
            corrupt=frame.is_corrupt or (self._coded_alone and damaged),
            damaged=damaged,
            unbroken=known,
        )
        return Decoded(frame, time_s, drop_reason, orientation)

    def _time_of(self, frame: av.VideoFrame) -> tuple[float, bool]:
        """Its time, and whether the camera's clock jumped there; of a stream that has no clock, when the picture arrived."""
        if self._began_s is not None:
            return self._timeline.advance(self._clock.monotonic_s() - self._began_s)[0], False
        raw_s = None if frame.pts is None or frame.time_base is None else float(frame.pts * frame.time_base)
        return self._timeline.advance(raw_s)

    def _lost(self, what: str, kind: DisconnectKind, *, at_once: bool = False) -> SourceDisconnected:
        return SourceDisconnected(what, where=self._segment.label, kind=kind, retry="at_once" if at_once else "backoff")
