"""Reading a source as frames: decode once, resize once, true times."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from streamwatch.clock import Clock
from streamwatch.enums import DropReason
from streamwatch.errors import SourceEmpty, UnusablePicture
from streamwatch.records import Frame, SourceSummary
from streamwatch.video.clips.feed import ClipFeed
from streamwatch.video.optical_flow import MotionEstimator
from streamwatch.video.scaling import DecodedPicture, Scaler
from streamwatch.video.sources import Segment, Source
from streamwatch.video.streams.decoded import Decoded
from streamwatch.video.streams.opener import Opener, Stream
from streamwatch.video.wall_clock import WallClockMapper

log = logging.getLogger(__name__)
_SHORT_BY_S = 0.5
"""A file that ends this much before its declared duration is reported as cut off."""


class Pacer:
    """Picks frames by time, so that about ``fps`` pass per second whatever the source's rate.

    A slot of 1/fps seconds passes its first frame. With None every frame passes.

    Args:
        shift: where slots begin, as a share of one.
    """

    def __init__(self, fps: float | None, shift: float = 0.0) -> None:
        self._fps, self._shift = fps, shift
        self._last_slot: int | None = None

    def passes(self, time_s: float) -> bool:
        """Whether the frame at ``time_s`` is wanted; call once per frame, in order."""
        if self._fps is None:
            return True
        # A frame that is a microsecond early for its slot belongs to it: times are rounded to the time base.
        slot = int((time_s + 1e-6) * self._fps + self._shift)
        if slot == self._last_slot:
            return False
        self._last_slot = slot
        return True


_ARRIVALS_SPARE = 1.1
"""A camera's clock may be fast, but not by a tenth."""
_BURST_S = 20.0
"""How much may come at once: after a pause that is no disconnect yet, or as a segment of an HTTP stream."""


class ArrivalLimit:
    """Bounds a live stream's frames by when they arrive: times that the camera gives may be anything."""

    def __init__(self, fps: float, clock: Clock) -> None:
        self._rate_hz, self._most = _ARRIVALS_SPARE * fps, max(_BURST_S * fps, 2.0)
        self._clock, self._left, self._at_s = clock, self._most, clock.monotonic_s()

    def allows(self) -> bool:
        """Whether another frame may be passed on now; if so, it is counted."""
        now_s = self._clock.monotonic_s()
        self._left = min(self._left + (now_s - self._at_s) * self._rate_hz, self._most)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass(frozen=True, slots=True)
class Pace:
    """Which frames of a stream are wanted.

    Attributes:
        fps: frames per second, or None for every coded frame.
        phase: where on the wall clock slots of 1/fps begin, as a share of one, so that cameras of one rate come one after
            the other and none waits for all the others; None counts slots from the first frame, as a recording wants it.
    """

    fps: float | None = None
    phase: float | None = None

    def start(self, clock: Clock) -> Pacer:
        """A pacer for a stream that begins now."""
        if self.phase is None or self.fps is None:
            return Pacer(self.fps)
        return Pacer(self.fps, (clock.wall_s() * self.fps + self.phase) % 1.0)


EVERY_FRAME = Pace()


@dataclass(frozen=True, slots=True)
class RetentionOptions:
    """What is kept of what is read.

    Attributes:
        pictures: a reference to each decoded picture, for overlays and snapshots.
        feed: what clips are cut from; None keeps nothing.
    """

    pictures: bool = False
    feed: ClipFeed | None = None


KEEP_NOTHING = RetentionOptions()


@dataclass
class _Progress:
    """What has been read so far."""

    frames: int = 0
    time_s: float = 0.0
    decode_errors: int = 0
    unusable: int = 0
    unusable_told: int = 0
    passed: int = 0
    size_px: tuple[int, int] = (0, 0)
    warnings: tuple[str, ...] = ()


class FrameReader:
    """Reads one source to its end as Frames.

    Args:
        camera: the name that frames carry.
        source: what to read.
        pace: which frames to pass on; every coded one by default.
        retention: what is kept beside the frames; nothing by default.
        motion_step_s: measure each frame's speed against the picture this much earlier; None leaves it out.
        on_drop: told why a frame that was due is not passed on.
    """

    def __init__(
        self,
        camera: str,
        source: Source,
        *,
        opener: Opener,
        clock: Clock,
        pace: Pace = EVERY_FRAME,
        retention: RetentionOptions = KEEP_NOTHING,
        motion_step_s: float | None = None,
        on_drop: Callable[[DropReason], None] | None = None,
    ) -> None:
        self._camera, self._source = camera, source
        self._opener, self._clock = opener, clock
        self._pace, self._retention, self._motion_step_s = pace, retention, motion_step_s
        self._on_drop = on_drop or (lambda _reason: None)
        self._wall = WallClockMapper(clock, live=source.live)
        self._progress = _Progress()

    def frames(self) -> Iterator[Frame]:
        """Frames in order, across all segments; ``summary`` tells what they came to.

        Raises:
            SourceError: a segment cannot be opened or read; SourceEmpty: nothing could be decoded.
        """
        self._progress = _Progress()
        self._wall.connect()
        for number, segment in enumerate(self._source.segments):
            yield from self._segment_frames(segment, number)
        if not self._progress.frames or (self._progress.unusable and not self._progress.passed):
            raise SourceEmpty("no picture could be decoded", where=self._source.label, hint="check it with `ffprobe`")

    def summary(self) -> SourceSummary:
        """What reading came to, with a warning per segment that was not read whole."""
        p = self._progress
        return SourceSummary(p.decode_errors, p.time_s, p.size_px, p.warnings)

    def _segment_frames(self, segment: Segment, number: int) -> Iterator[Frame]:
        progress, pacer = self._progress, self._pace.start(self._clock)
        limit = ArrivalLimit(self._pace.fps, self._clock) if self._source.live and self._pace.fps else None
        maker = self._maker(number)
        starts_at_s, frames_before = progress.time_s, progress.frames
        first_s: float | None = None
        step_s = 0.0
        with self._opener.open(segment) as stream, self._feeding(stream) as keep:
            for decoded in stream.pictures():
                first_s = decoded.time_s if first_s is None else first_s
                time_s = starts_at_s + decoded.time_s - first_s
                step_s = time_s - progress.time_s
                index, progress.time_s, progress.frames = progress.frames, time_s, progress.frames + 1
                progress.size_px = (decoded.frame.width, decoded.frame.height)
                due = pacer.passes(time_s - starts_at_s)
                if due and limit is not None and not limit.allows():
                    due = False
                    self._on_drop(DropReason.DISPLACED)
                keep(decoded, time_s, due)
                if decoded.drop_reason is not None:
                    self._drop(decoded.drop_reason, due)
                elif not due:
                    maker.pass_over(decoded, time_s)
                elif (frame := self._made(maker, decoded, index, time_s)) is not None:
                    yield frame
            progress.time_s += step_s
            self._record_end(segment, stream, progress.frames - frames_before, progress.time_s - starts_at_s)

    def _drop(self, reason: DropReason, due: bool) -> None:
        if due:
            self._on_drop(reason)

    def _made(self, maker: _FrameMaker, decoded: Decoded, index: int, time_s: float) -> Frame | None:
        """The frame, unless its picture is one that cannot be scaled: then it is as damaged as one that cannot be decoded."""
        try:
            frame = maker.frame(decoded, index, time_s)
        except UnusablePicture as error:
            if not self._progress.unusable:
                log.warning("camera %s: %s", self._camera, error, extra={"camera": self._camera})
            self._progress.unusable += 1
            self._drop(DropReason.CORRUPT, due=True)
            return None
        self._progress.passed += 1
        return frame

    @contextmanager
    def _feeding(self, stream: Stream) -> Iterator[Callable[[Decoded, float, bool], None]]:
        """Feed the stream's packets or pictures to what clips are cut from."""
        feed = self._retention.feed
        if feed is None:
            yield lambda _decoded, _time_s, _due: None
            return
        feed.begin(stream.coded)
        stream.on_packet = feed.packet
        try:
            yield feed.picture
        finally:
            feed.end()

    def _maker(self, segment: int) -> _FrameMaker:
        scaler = Scaler()
        motion = MotionEstimator(scaler, self._motion_step_s) if self._motion_step_s else None
        stamp = _Stamp(self._camera, segment, self._wall, self._clock)
        return _FrameMaker(stamp, scaler, motion, keep_pictures=self._retention.pictures)

    def _record_end(self, segment: Segment, stream: Stream, frames: int, duration_s: float) -> None:
        progress = self._progress
        damaged, progress.unusable_told = stream.decode_errors + progress.unusable - progress.unusable_told, progress.unusable
        progress.decode_errors += damaged
        if damaged:
            progress.warnings += (f"{segment.label}: {damaged} damaged packets or pictures were left out",)
        if segment.kind == "video" and duration_s + _SHORT_BY_S < stream.declared_duration_s:
            read = f"{frames} frames ({duration_s:.1f} s) could be read of {stream.declared_duration_s:.1f} s"
            progress.warnings += (f"{segment.label}: cut off: {read}",)


@dataclass(frozen=True)
class _Stamp:
    """What all frames of a segment share."""

    camera: str
    segment: int
    wall: WallClockMapper
    clock: Clock


class _FrameMaker:
    """Makes the Frames of one segment: resized once, with their speed if that is asked for."""

    def __init__(self, stamp: _Stamp, scaler: Scaler, motion: MotionEstimator | None, *, keep_pictures: bool) -> None:
        self._stamp, self._scaler, self._motion, self._keep_pictures = stamp, scaler, motion, keep_pictures

    def frame(self, decoded: Decoded, index: int, time_s: float) -> Frame:
        """The frame of a decoded picture."""
        stamp, pixels = self._stamp, self._scaler.model_input(decoded.frame)
        return Frame(
            stamp.camera,
            index,
            time_s,
            stamp.wall.at(time_s),
            stamp.clock.monotonic_s(),
            pixels,
            DecodedPicture(decoded.frame) if self._keep_pictures else None,
            stamp.segment,
            self._motion.speed(pixels, time_s) if self._motion else None,
        )

    def pass_over(self, decoded: Decoded, time_s: float) -> None:
        """Note a picture that becomes no frame."""
        if self._motion:
            self._motion.remember(decoded.frame, time_s)
