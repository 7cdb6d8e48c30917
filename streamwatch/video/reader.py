"""Reading a source as frames: decode once, resize once, true times."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from streamwatch.clock import Clock
from streamwatch.enums import DropReason
from streamwatch.errors import SourceEmpty, SourceError, SourceNotFound, StreamwatchError, UnusablePicture
from streamwatch.records import DueFrame, Frame, SourceSummary
from streamwatch.video.clips.feed import ClipFeed
from streamwatch.video.frame_maker import FrameMaker, Stamp
from streamwatch.video.motion_gate import MotionGate
from streamwatch.video.optical_flow import MotionEstimator
from streamwatch.video.pace import EVERY_FRAME, ArrivalLimit, Pace
from streamwatch.video.sources import Segment, Source
from streamwatch.video.streams.decoded import Decoded
from streamwatch.video.streams.opener import Opener, Stream
from streamwatch.video.wall_clock import WallClockMapper

log = logging.getLogger(__name__)


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


@dataclass(frozen=True, slots=True)
class ReaderListeners:
    """Who is told of a source's pictures, in the reading thread.

    Attributes:
        on_drop: told why a frame that was due is not passed on.
        on_picture: told of every picture that comes, due or not, and why it cannot be used if so; False ends reading.
    """

    on_drop: Callable[[DropReason], None] = lambda _reason: None
    on_picture: Callable[[DropReason | None], bool] = lambda _reason: True


@dataclass
class _Progress:
    """What has been read so far."""

    frames: int = 0
    time_s: float = 0.0
    step_s: float = 0.0
    decode_errors: int = 0
    damaged: int = 0
    passed: int = 0
    ended: bool = False
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
        listeners: told of what comes; nobody by default.
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
        listeners: ReaderListeners | None = None,
    ) -> None:
        self._camera, self._source = camera, source
        self._opener, self._clock = opener, clock
        self._pace, self._retention, self._motion_step_s = pace, retention, motion_step_s
        self._listeners = listeners or ReaderListeners()
        self._wall = WallClockMapper(clock, live=source.live)
        self._progress = _Progress()
        self._connections = 0

    def frames(self) -> Iterator[Frame]:
        """Frames in order, each made as it is read; raises as ``due_frames``."""
        return (due.make() for due in self.due_frames())

    def due_frames(self) -> Iterator[DueFrame]:
        """Frames that are due, in order, across all segments; ``summary`` tells what they came to.

        Of several files one that cannot be read is left out, and ``summary`` says which and why: a recorder is always
        writing one.

        Raises:
            SourceError: a source's only segment, or a live one, cannot be opened or read.
            SourceEmpty: nothing could be decoded.
        """
        self._progress = _Progress(warnings=self._source.remarks)
        self._wall.connect()
        first_number, self._connections = self._connections, self._connections + int(self._source.live)
        for number, segment in enumerate(self._source.segments, first_number):
            try:
                yield from self._segment_frames(segment, number)
            except (SourceError, SourceNotFound) as error:
                if len(self._source.segments) == 1 or self._source.live:
                    raise
                self._leave_out(segment, error)
            if self._progress.ended:
                return
        if not self._progress.frames or (self._progress.damaged and not self._progress.passed):
            raise SourceEmpty("no picture could be decoded", where=self._source.label, hint=self._hint())

    def summary(self) -> SourceSummary:
        """What reading came to, with a warning per segment that was not read whole."""
        p = self._progress
        return SourceSummary(p.decode_errors, p.time_s, p.size_px, p.warnings)

    def give_up(self, error: StreamwatchError) -> None:
        """Write down in ``summary`` that the source as a whole is left out."""
        self._progress.warnings += (f"{self._source.label}: left out: {error.what}",)

    def _leave_out(self, segment: Segment, error: StreamwatchError) -> None:
        self._progress.time_s += self._progress.step_s
        self._progress.warnings += (f"{segment.label}: left out: {error.what}",)

    def _hint(self) -> str:
        refused = [warning for warning in self._progress.warnings if ": left out: " in warning]
        return f"the first of {len(refused)} is {refused[0]}" if refused else "check it with `ffprobe`"

    def _segment_frames(self, segment: Segment, number: int) -> Iterator[DueFrame]:
        progress, pacer = self._progress, self._pace.start(self._clock)
        limit = ArrivalLimit(self._pace.fps, self._clock) if self._source.live and self._pace.fps else None
        maker = self._maker(number)
        starts_at_s, frames_before = progress.time_s, progress.frames
        first_s: float | None = None
        progress.step_s, progress.damaged = 0.0, 0
        with self._opener.open(segment) as stream, self._feeding(stream) as keep:
            if self._source.live:
                self._tell(stream.remarks)
            for decoded in stream.pictures():
                if first_s is None:
                    first_s = decoded.time_s if stream.starts_s is None else min(stream.starts_s, decoded.time_s)
                time_s = starts_at_s + decoded.time_s - first_s
                progress.step_s = time_s - progress.time_s
                index, progress.time_s, progress.frames = progress.frames, time_s, progress.frames + 1
                progress.size_px = decoded.size_px
                if not self._listeners.on_picture(decoded.drop_reason):
                    progress.ended = True
                    return
                due = pacer.passes(time_s - starts_at_s) or (limit is not None and limit.starved())
                if due and limit is not None and not limit.allows():
                    due = False
                    self._listeners.on_drop(DropReason.DISPLACED)
                keep(decoded, time_s, due)
                if decoded.drop_reason is not None:
                    progress.damaged += 1
                    self._drop(decoded.drop_reason, due)
                elif not due:
                    maker.pass_over(decoded, time_s)
                elif (frame := self._due(maker, decoded, index, time_s)) is not None:
                    yield frame
            alone = progress.frames == frames_before + 1  # it says nothing of how long a picture lasts
            progress.time_s += 1.0 / segment.frame_rate_hz if alone else progress.step_s
            self._record_end(segment, stream, progress.frames - frames_before, progress.time_s - starts_at_s)

    def _tell(self, remarks: tuple[str, ...]) -> None:
        for remark in remarks:
            log.info("camera %s: %s", self._camera, remark, extra={"camera": self._camera})

    def _drop(self, reason: DropReason, due: bool) -> None:
        if due:
            self._listeners.on_drop(reason)

    def _due(self, maker: FrameMaker, decoded: Decoded, index: int, time_s: float) -> DueFrame | None:
        """The frame, unless its picture is one that cannot be scaled: then it is as damaged as one that cannot be decoded."""
        try:
            frame = maker.due(decoded, index, time_s)
        except UnusablePicture as error:
            if not self._progress.damaged:
                log.warning("camera %s: %s", self._camera, error, extra={"camera": self._camera})
            self._progress.damaged += 1
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

    def _maker(self, segment: int) -> FrameMaker:
        motion = MotionEstimator(self._motion_step_s) if self._motion_step_s else None
        stamp = Stamp(self._camera, segment, self._wall, self._clock)
        gate = MotionGate(self._motion_step_s) if self._pace.gated else None
        return FrameMaker(stamp, motion, gate, keep_pictures=self._retention.pictures)

    def _record_end(self, segment: Segment, stream: Stream, frames: int, duration_s: float) -> None:
        progress = self._progress
        damaged = stream.decode_errors + progress.damaged
        progress.decode_errors += damaged
        progress.warnings += tuple(f"{segment.label}: {remark}" for remark in stream.remarks)
        if damaged:
            progress.warnings += (f"{segment.label}: {damaged} damaged packets or pictures were left out",)
        if stream.cut_short_of_s:
            read = f"{frames} frames ({duration_s:.1f} s) could be read of {stream.cut_short_of_s:.1f} s"
            progress.warnings += (f"{segment.label}: cut off: {read}",)
