"""What the simulated camera sends: coded pictures from a file, looped, and the pictures of its faults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.video.codeccontext import VideoCodecContext

from streamwatch.errors import SourceEmpty, SourceError, SourceNotFound

Codec = Literal["H264", "H265"]
_CODECS: dict[str, Codec] = {"h264": "H264", "hevc": "H265"}
_TO_ANNEX_B = {"H264": "h264_mp4toannexb", "H265": "hevc_mp4toannexb"}
_PARAMETER_SETS = {"H264": (7, 8), "H265": (32, 33, 34)}
KEYFRAME_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One coded picture: its NAL units, when it is shown, and whether decoding can start at it."""

    nals: tuple[bytes, ...]
    time_s: float
    key: bool


@dataclass(frozen=True)
class Track:
    """A whole recording, coded.

    Attributes:
        parameter_sets: what a decoder needs before the first picture (SPS and PPS, for H.265 also VPS).
        duration_s: when the next round begins.
        size_px: (width, height).
    """

    codec: Codec
    units: tuple[AccessUnit, ...]
    parameter_sets: tuple[bytes, ...]
    duration_s: float
    size_px: tuple[int, int]

    def looped(self, from_s: float = 0.0) -> Iterator[AccessUnit]:
        """Its pictures over and over from about ``from_s`` on, times going on."""
        rounds = int(from_s // self.duration_s)
        while True:
            start_s = rounds * self.duration_s
            for unit in self.units:
                if start_s + unit.time_s >= from_s:
                    yield AccessUnit(unit.nals, start_s + unit.time_s, unit.key)
            rounds += 1


def nal_type(codec: Codec, nal: bytes) -> int:
    """The type of a NAL unit (H.264: 5 bits of the first byte; H.265: 6 bits)."""
    return nal[0] & 0x1F if codec == "H264" else nal[0] >> 1 & 0x3F


def split_annex_b(data: bytes) -> tuple[bytes, ...]:
    """NAL units of a byte stream with start codes (H.264 annex B)."""
    parts = data.replace(b"\x00\x00\x00\x01", b"\x00\x00\x01").split(b"\x00\x00\x01")
    return tuple(part for part in parts if part)


def load_track(path: Path) -> Track:
    """Read a video file; H.264 and H.265 without reordered pictures are sent as they are, all else is encoded anew.

    Raises:
        SourceNotFound, SourceError, SourceEmpty: it cannot be read, or holds no picture.
    """
    if not path.is_file():
        raise SourceNotFound("no such file", where=path, hint="give a video file")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise SourceEmpty("holds no video stream", where=path)
            stream = container.streams.video[0]
            codec = _CODECS.get(stream.codec_context.name)
            copyable = codec is not None and not stream.codec_context.has_b_frames and container.format.name != "avi"
            if codec is not None and copyable:
                return _copied(container, stream, codec)
            rate = float(stream.average_rate or 25)
            pictures = (np.asarray(f.to_ndarray(format="rgb24"), np.uint8) for f in container.decode(stream))
            return encode_track(pictures, rate)
    except av.error.FFmpegError as error:
        raise SourceError(f"not a readable video ({error.strerror})", where=path, hint="check it with `ffprobe`") from None


def _copied(container: av.container.InputContainer, stream: av.VideoStream, codec: Codec) -> Track:
    to_annex_b = BitStreamFilterContext(_TO_ANNEX_B[codec], stream)
    packets = [p for packet in container.demux(stream) for p in to_annex_b.filter(packet if packet.size else None)]
    rate = float(stream.average_rate or 25)
    times_s = [float(p.pts * p.time_base) if p.pts is not None else n / rate for n, p in enumerate(packets)]
    units = [AccessUnit(split_annex_b(bytes(p)), t - times_s[0], p.is_keyframe) for p, t in zip(packets, times_s, strict=True)]
    return _track(codec, units, (stream.width, stream.height), 1 / rate)


def _track(codec: Codec, units: list[AccessUnit], size_px: tuple[int, int], frame_s: float) -> Track:
    if not units:
        raise SourceEmpty("holds no picture")
    sets: dict[int, bytes] = {}
    for nal in (nal for unit in units for nal in unit.nals):
        if nal_type(codec, nal) in _PARAMETER_SETS[codec]:
            sets.setdefault(nal_type(codec, nal), nal)
    return Track(codec, tuple(units), tuple(sets[kind] for kind in sorted(sets)), units[-1].time_s + frame_s, size_px)


def encode_track(
    pictures: Iterable[np.ndarray], rate_hz: float, *, keyframe_every_s: float = KEYFRAME_EVERY_S, lossless: bool = False
) -> Track:
    """Encode (H, W, 3) RGB pictures as H.264 for live sending: no reordering, headers at every key frame.

    Args:
        lossless: equal pictures are equal when decoded; else an encoder refines them from one to the next.
    """
    encoder = av.CodecContext.create("libx264", "w")
    if not isinstance(encoder, VideoCodecContext):
        raise SourceError("FFmpeg was built without libx264", hint="give a file in H.264 or H.265")
    units: list[AccessUnit] = []
    size_px = (0, 0)
    for number, whole in enumerate(pictures):
        picture = np.ascontiguousarray(whole[: whole.shape[0] // 2 * 2, : whole.shape[1] // 2 * 2])
        if not number:
            size_px = (picture.shape[1], picture.shape[0])
            _configure(encoder, size_px, rate_hz, keyframe_every_s)
            if lossless:
                encoder.options = {**encoder.options, "qp": "0"}
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = number, 1 / Fraction(rate_hz).limit_denominator(1001)
        units += _coded(encoder.encode(frame), rate_hz)
    if size_px != (0, 0):
        units += _coded(encoder.encode(None), rate_hz)
    return _track("H264", units, size_px, 1 / rate_hz)


def _configure(encoder: VideoCodecContext, size_px: tuple[int, int], rate_hz: float, keyframe_every_s: float) -> None:
    rate = Fraction(rate_hz).limit_denominator(1001)
    encoder.width, encoder.height, encoder.pix_fmt = *size_px, "yuv420p"
    encoder.framerate, encoder.time_base = rate, 1 / rate
    every = max(1, round(rate_hz * keyframe_every_s))
    params = f"keyint={every}:min-keyint={every}:scenecut=0:repeat-headers=1:bframes=0:threads=1"
    encoder.options = {"preset": "veryfast", "tune": "zerolatency", "x264-params": params}


def _coded(packets: list[av.Packet[av.VideoStream]], rate_hz: float) -> list[AccessUnit]:
    return [AccessUnit(split_annex_b(bytes(p)), (p.pts or 0) / rate_hz, p.is_keyframe) for p in packets]


def decode_pictures(track: Track) -> Iterator[np.ndarray]:
    """A track's pictures as (H, W, 3) RGB."""
    decoder = av.CodecContext.create({"H264": "h264", "H265": "hevc"}[track.codec], "r")
    if not isinstance(decoder, VideoCodecContext):
        raise SourceError("no video decoder for it")
    prefix = b"".join(b"\x00\x00\x00\x01" + nal for nal in track.parameter_sets)
    for unit in track.units:
        data = prefix + b"".join(b"\x00\x00\x00\x01" + nal for nal in unit.nals)
        for frame in decoder.decode(av.Packet(data)):
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    for frame in decoder.decode(None):
        yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
