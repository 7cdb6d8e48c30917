"""Recordings through FFmpeg: every picture judged as a live stream's is, every time as a player has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from streamwatch.errors import SourceError
from streamwatch.video.orientation import TurnedStream
from streamwatch.video.sources import Segment
from streamwatch.video.streams.choice import choose_stream, say_choice
from streamwatch.video.streams.complaints import heard
from streamwatch.video.streams.decoded import Decoded, has_clock, limit_size, reason_of
from streamwatch.video.streams.frame_numbers import numbers_of
from streamwatch.video.streams.integrity import ALONE, BeforeKey, Harm, IntegrityGuard
from streamwatch.video.streams.times import steady

_NOMINAL_STEP_S = 0.1
_ROUNDED_S = 0.001
"""What a container's start may differ from its stream's by being in microseconds."""
_SHORT_BY_S = 0.5
"""A file that ends this much before its declared duration is reported as cut off."""


@dataclass(frozen=True, slots=True)
class _Picture:
    """A decoded picture.

    Attributes:
        damaged: something was lost or undecodable since the one before it.
        restarts: it is coded by itself, and not before what is damaged.
    """

    frame: av.VideoFrame
    damaged: bool
    restarts: bool


class RecordingStream:
    """Decodes one video stream of a file."""

    def __init__(self, container: InputContainer, segment: Segment) -> None:
        self.decode_errors = 0
        self.on_packet: Callable[[av.Packet[VideoStream]], None] = lambda _packet: None
        self._container, self._segment = container, segment
        self._stream = choose_stream(container.streams.video, segment.stream, segment.label, optional=segment.stream_optional)
        self._stream.thread_count = 1
        limit_size(self._stream, segment.label)
        # AVI stores no presentation times, and FFmpeg hands decode times out in their place, which B-frames
        # put out of order; decode times are in order.
        self._use_dts = container.format.name == "avi"
        self._rate_hz = None if has_clock(container) else self._coded_rate_hz_said or segment.frame_rate_hz
        rate = self._stream.average_rate or self._stream.guessed_rate
        self._frame_s = 1.0 / float(rate) if rate else _NOMINAL_STEP_S
        self._latest_s = self._start_s
        self._damaged = False
        self._numbers = numbers_of(self._stream)
        self._harm = Harm()
        self._key_before_start = False
        self._before_key = BeforeKey()
        self._loses = container.format.name == "mpegts"  # a gap in the times of other containers is what was recorded

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
        """See Stream: of the container where the stream's own is not known."""
        return self._own_duration_s or (self._container.duration or 0) / av.time_base

    @property
    def starts_s(self) -> float | None:
        """See Stream: sound may begin before the pictures do."""
        if self._rate_hz is not None:
            return 0.0
        if self._use_dts:  # which may begin before the first picture is shown
            return None
        of_container_s = (self._container.start_time or 0) / av.time_base
        return of_container_s if self._start_s - of_container_s > _ROUNDED_S else self._start_s

    @property
    def cut_short_of_s(self) -> float:
        """See Stream."""
        read_s = self._latest_s + self._frame_s - self._start_s
        return self._own_duration_s if read_s + _SHORT_BY_S < self._own_duration_s else 0.0

    @property
    def _own_duration_s(self) -> float:
        """Of the video; 0 where only the container's is known, which is that of its longest stream: one of sound, say."""
        stream = self._stream
        # Matroska's own word first: where probing met no picture, FFmpeg gives the stream the container's duration.
        if (said_s := _clock_s(stream.metadata.get("DURATION", ""))) is not None:
            return max(said_s - self._start_s, 0.0)
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        alone = len(self._container.streams) == 1
        return (self._container.duration or 0) / av.time_base if alone else 0.0

    @property
    def remarks(self) -> tuple[str, ...]:
        """See Stream."""
        choice = say_choice(self._container.streams.video, self._stream)
        assumed = self._rate_hz is not None and not self._coded_rate_hz_said
        rate = f"holds neither times nor a rate: taken as {self._rate_hz:g} frames/s; `frame_rate` sets it" if assumed else None
        return tuple(remark for remark in (choice, rate) if remark)

    def pictures(self) -> Iterator[Decoded]:
        """See Stream; pictures between damage and the next key frame say so."""
        alone = self._stream.codec_context.name in ALONE
        guard = IntegrityGuard(gaps_tell=self._loses and self._numbers is None and not alone)
        first_s: float | None = None
        turned = TurnedStream()
        for picture, time_s in self._timed():
            first_s = time_s if first_s is None else first_s
            frame = picture.frame
            drop_reason = guard.judge(
                time_s - first_s,
                key=picture.restarts,
                corrupt=frame.is_corrupt or (alone and picture.damaged),
                damaged=picture.damaged,
            )
            yield Decoded(frame, time_s, drop_reason, turned.orientation(frame, Path(self._segment.location)))

    def _timed(self) -> Iterator[tuple[_Picture, float]]:
        if self._rate_hz is not None:
            return ((picture, number / self._rate_hz) for number, picture in enumerate(self._pictures()))
        end_s = self._start_s + self.declared_duration_s if self.declared_duration_s else None
        said = ((picture, self._said_s(picture.frame)) for picture in self._pictures())
        return steady(said, self._frame_s, end_s)

    def _said_s(self, frame: av.VideoFrame) -> float | None:
        ticks = frame.dts if self._use_dts else frame.pts
        if ticks is None or frame.time_base is None:
            return None
        said_s = float(ticks * frame.time_base)
        self._latest_s = max(self._latest_s, said_s)
        return said_s

    def _pictures(self) -> Iterator[_Picture]:
        packets = self._container.demux(self._stream)
        while True:
            frames, damaged = heard(lambda: self._decoded(packets))
            self._damaged |= damaged
            if self._damaged:
                self._harm.note()
                self._key_before_start = False
            if frames is None:
                return
            if damaged and not frames:  # HEVC shows nothing of what it cannot decode
                self.decode_errors += 1
            if frames:
                self._before_key.shown()
            for frame in frames:
                yield _Picture(frame, self._damaged, self._key_before_start or self._harm.restarts(frame))
                self._damaged = self._key_before_start = False

    def _decoded(self, packets: Iterator[av.Packet[VideoStream]]) -> list[av.VideoFrame] | None:
        """The next packet's pictures; None at the end."""
        try:
            packet = next(packets, None)
            if packet is None:
                return None
            self._damaged |= packet.is_corrupt
            self._harm.read(packet)
            self.decode_errors += self._before_key.lost(packet)
            self.on_packet(packet)
            # A film that was cut without being coded anew begins with a key frame that is decoded and not shown (edit list).
            self._key_before_start |= packet.is_discard and packet.is_keyframe
            if self._numbers is not None and packet.size:
                self._damaged |= self._numbers.follows(bytes(packet)) is False
            return packet.decode()
        except av.error.InvalidDataError:
            self.decode_errors += 1
            self._damaged = True
            return []
        except av.error.EOFError:
            return None
        except av.error.FFmpegError as error:
            raise SourceError(f"reading failed ({reason_of(error)})", where=self._segment.label) from None

    @property
    def _start_s(self) -> float:
        start, time_base = self._stream.start_time, self._stream.time_base
        return float(start * time_base) if start is not None and time_base else 0.0

    @property
    def _coded_rate_hz_said(self) -> float | None:
        rate = self._stream.codec_context.framerate
        return float(rate) if rate else None


def _clock_s(text: str) -> float | None:
    """Seconds of ``HH:MM:SS.fraction``, as Matroska's tags have them; None for anything else."""
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None
