"""Live streams through FFmpeg: every way in which they fail, told apart; every picture judged."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from streamwatch.clock import Clock
from streamwatch.enums import DisconnectKind
from streamwatch.errors import SourceDisconnected, SourceEmpty
from streamwatch.video.sources import Segment
from streamwatch.video.streams.decoded import Decoded, limit_size
from streamwatch.video.streams.integrity import IntegrityGuard, Timeline

# PyAV reports FFmpeg's EXIT when its interrupt callback, i.e. our timeout, ended a call (docs/decisions/0012-live-streams.md).
TIMEOUT_ERRORS = (av.error.ExitError, av.error.TimeoutError)
_AUTH_ERRORS = (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)
PICTURE_WITHIN_S = 45.0
"""A stream that sends, and of which nothing can be decoded for so long, is begun again: twice what cameras with rare key frames
need, and less than the watchdog waits before it leaves a thread behind."""
_RESIZED = "the picture's size changed"
_HARMLESS = (
    "deprecated pixel format",
    "co located POCs unavailable",
    "non-existing PPS",
    "no frame!",
    "Could not find codec parameters",
)


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
    """
    av.logging.set_level(av.logging.WARNING)  # off by default; what FFmpeg complains of is how lost packets show
    # Not fflags=nobuffer: it throws away what probing read, and with it the first key frame (FFmpeg 8.1). Short probing
    # keeps the delay low as well, and what it read is decoded at once.
    options = {"analyzeduration": "500000", "fpsprobesize": "0"}
    if segment.location.startswith("rtsp"):
        options |= {"rtsp_transport": transport}
    if transport == "udp":  # over TCP nothing is reordered, and a queue would hold back what follows a gap
        options |= {"reorder_queue_size": "64", "max_delay": "300000"}
    return av.open(segment.location, options=options, timeout=timeout_s)


class LiveStream:
    """Decodes a live stream; it never ends by itself, so that its end is a disconnect."""

    def __init__(self, container: InputContainer, segment: Segment, clock: Clock) -> None:
        if not container.streams.video:
            raise SourceEmpty("holds no video stream", where=segment.label, hint="check the stream's path")
        self.decode_errors = 0
        self.on_packet: Callable[[av.Packet[VideoStream]], None] = lambda _: None
        self._container, self._segment, self._clock = container, segment, clock
        self._stream: VideoStream = container.streams.video[0]
        self._stream.thread_count = 1
        limit_size(self._stream, segment.label)
        rate = self._stream.average_rate or self._stream.guessed_rate
        self._timeline = Timeline(1.0 / float(rate) if rate else 0.1)
        self._guard = IntegrityGuard()
        self._size: tuple[int, int] | None = None
        self._damaged = False

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
        with av.logging.Capture(local=True) as complaints:
            frames = self._decoded(packets)
        self._damaged |= any(_means_damage(level, text) for level, _, text in complaints)
        return frames

    def _decoded(self, packets: Iterator[av.Packet[VideoStream]]) -> list[av.VideoFrame]:
        try:
            packet = next(packets, None)
            if packet is None:
                raise self._lost("the stream ended", DisconnectKind.EOF)
            self._damaged |= packet.is_corrupt
            self.on_packet(packet)
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
        size = (frame.width, frame.height)
        if self._size not in (None, size):
            raise self._lost(f"{_RESIZED} to {size[0]}x{size[1]}", DisconnectKind.INVALID_DATA, at_once=True)
        self._size = size
        raw_s = None if frame.pts is None or frame.time_base is None else float(frame.pts * frame.time_base)
        time_s, jumped = self._timeline.advance(raw_s)
        damaged, self._damaged = self._damaged or jumped, False
        drop_reason = self._guard.judge(time_s, key=bool(frame.key_frame), corrupt=frame.is_corrupt, damaged=damaged)
        return Decoded(frame, time_s, drop_reason)

    def _lost(self, what: str, kind: DisconnectKind, *, at_once: bool = False) -> SourceDisconnected:
        return SourceDisconnected(what, where=self._segment.label, kind=kind, retry="at_once" if at_once else "backoff")


def _means_damage(level: int, text: str) -> bool:
    """Whether a line of FFmpeg's log tells of lost or undecodable data ("RTP: missed 3 packets", "concealing 40 DC")."""
    if any(harmless in text for harmless in _HARMLESS):
        return False
    return level <= av.logging.ERROR or "missed" in text or "conceal" in text or "corrupt" in text.lower()
