"""What a reader puts into a clip ring: the source's own packets, or pictures that are encoded here."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from streamwatch.records import UInt8Array
from streamwatch.video.clips.ring import ClipRing
from streamwatch.video.scaling import DecodedPicture
from streamwatch.video.streams.decoded import Decoded

COPYABLE = frozenset({"h264", "hevc", "mpeg4", "av1", "vp9"})
"""Codecs whose packets an MP4 file takes as they are, and that players play."""
ENCODED_TIME_BASE = Fraction(1, 90_000)
KEY_FRAME_EVERY_S = 2.0
_NOMINAL_RATE_HZ = 25

_REFUSED = (av.error.FFmpegError, ValueError, OSError)
"""What a codec or a container says to what it does not take."""
log = logging.getLogger(__name__)

Cover = Callable[[UInt8Array], UInt8Array]
"""What is done to an RGB picture before it may be kept."""


class ClipFeed:
    """Fills a camera's ring.

    Args:
        cover: if given, packets are never kept; pictures are covered by it and encoded.
    """

    def __init__(self, ring: ClipRing, cover: Cover | None = None) -> None:
        self._ring, self._cover = ring, cover
        self._encoder: _Encoder | None = None
        self._source: VideoStream | None = None
        self._use_dts = self._given_up = False

    def begin(self, source: VideoStream | None) -> None:
        """A stream begins; None for one without packets."""
        self._source = self._encoder = None
        self._given_up = False
        if source is None or self._cover or source.time_base is None or not _is_described(source):
            return
        try:
            self._ring.begin(_template_of(source), source.time_base, copied=True)
        except _REFUSED as error:
            log.info("video of %s cannot be copied (%s): it is encoded", source.codec_context.name, error)
            return
        self._source, self._use_dts = source, source.container.format.name == "avi"

    def packet(self, packet: av.Packet[VideoStream]) -> None:
        """A packet of the source."""
        if self._source is not None and packet.size:
            times = (packet.pts, packet.dts)
            pts, dts = (None, times[1]) if self._use_dts else times
            self._ring.add(bytes(packet), pts=pts, dts=dts, duration=packet.duration or 0, key=packet.is_keyframe)

    def picture(self, decoded: Decoded, time_s: float, due: bool) -> None:
        """A picture with its time on the frames' time line; of a stream that is not copied, those that are due are encoded."""
        if self._source is not None:
            ticks = decoded.frame.dts if self._use_dts or decoded.frame.pts is None else decoded.frame.pts
            if ticks is not None:
                self._ring.align(ticks, time_s)
            return
        if due and decoded.drop_reason is None and not self._given_up:
            try:
                self._encode(DecodedPicture(decoded.frame, decoded.orientation).rgb(), time_s)
            except _REFUSED as error:  # evidence must never stop detection
                log.warning("clips are not kept of a camera whose pictures cannot be encoded: %s", error)
                self._given_up, self._encoder = True, None
                self._ring.end()

    def end(self) -> None:
        """The stream has ended."""
        if self._encoder is not None:
            with suppress(*_REFUSED):
                self._encoder.finish()
        self._encoder = self._source = None
        self._ring.end()

    def _encode(self, picture: UInt8Array, time_s: float) -> None:
        covered = self._cover(picture) if self._cover else picture
        if self._encoder is None or not self._encoder.takes(covered):
            self._encoder = _Encoder(self._ring, covered)
        self._encoder.add(covered, time_s)


class _Encoder:
    """Encodes pictures of one size as H.264 without delay, into a ring."""

    def __init__(self, ring: ClipRing, first: UInt8Array) -> None:
        self._ring = ring
        self._size = _even(first).shape
        self._container = _nowhere()
        options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "24"}
        stream = self._container.add_stream("libx264", rate=_NOMINAL_RATE_HZ, options=options)
        stream.height, stream.width = self._size[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = ENCODED_TIME_BASE
        stream.codec_context.thread_count = 1
        self._container.start_encoding()
        self._stream = stream
        self._key_at_s: float | None = None
        ring.begin(stream, ENCODED_TIME_BASE, copied=False)

    def takes(self, picture: UInt8Array) -> bool:
        return _even(picture).shape == self._size

    def add(self, picture: UInt8Array, time_s: float) -> None:
        frame = av.VideoFrame.from_ndarray(_even(picture), format="rgb24")
        frame.time_base, frame.pts = ENCODED_TIME_BASE, round(time_s / ENCODED_TIME_BASE)
        if self._key_at_s is None or time_s - self._key_at_s >= KEY_FRAME_EVERY_S:
            frame.pict_type = av.video.frame.PictureType.I
            self._key_at_s = time_s
        self._put(self._stream.encode(frame))
        self._ring.align(frame.pts, time_s)

    def finish(self) -> None:
        self._put(self._stream.encode(None))

    def _put(self, packets: list[av.Packet[VideoStream]]) -> None:
        for packet in packets:
            self._ring.add(bytes(packet), pts=packet.pts, dts=packet.dts, duration=packet.duration or 0, key=packet.is_keyframe)


def _nowhere() -> OutputContainer:
    """A container that goes nowhere: it owns a stream's description."""
    return av.open(io.BytesIO(), "w", format="mp4", options={"movflags": "empty_moov+frag_keyframe"})


def _is_described(source: VideoStream) -> bool:
    """Whether an MP4 file's head can be written: a stream that was joined in its middle may not say its sizes yet."""
    coded = source.codec_context
    name = coded.codec.canonical_name  # `name` is the decoder's: libdav1d, say
    headers = bool(coded.extradata) or name in ("vp9", "mpeg4")
    return name in COPYABLE and bool(coded.width and coded.height) and headers


def _template_of(source: VideoStream) -> VideoStream:
    """The description of a stream, which stays when the source's container is closed."""
    return _nowhere().add_stream_from_template(source, opaque=True)


def _even(picture: UInt8Array) -> UInt8Array:
    """H.264 in 4:2:0 has even sizes."""
    height, width = picture.shape[:2]
    return picture[: height // 2 * 2, : width // 2 * 2].copy()
