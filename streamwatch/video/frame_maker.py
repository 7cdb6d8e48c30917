"""From a decoded picture to a frame, at once or when it is sure to be scored."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

from streamwatch.clock import Clock
from streamwatch.errors import UnusablePicture
from streamwatch.records import Frame
from streamwatch.video.motion_gate import MotionGate
from streamwatch.video.optical_flow import DueSpeed, MotionEstimator
from streamwatch.video.scaling import DecodedPicture, InputPicture, Scaler
from streamwatch.video.streams.decoded import Decoded
from streamwatch.video.wall_clock import WallClockMapper


@dataclass(frozen=True)
class Stamp:
    """What all frames of a segment share."""

    camera: str
    segment: int
    wall: WallClockMapper
    clock: Clock


@dataclass(frozen=True, slots=True)
class DeferredFrame:
    """A frame that is due, neither scaled nor measured yet: what is displaced before it is scored cost its decoding alone.

    Attributes:
        input_picture: what ``Frame.pixels`` is made of.
        speed: what ``Frame.speed`` is made of, if it can be.
        gate: tells ``Frame.still``, whose speed is not measured.
        The others are as in ``Frame``.
    """

    camera: str
    index: int
    time_s: float
    wall_s: float
    captured_at_s: float
    segment: int
    input_picture: InputPicture
    speed: DueSpeed | None
    picture: DecodedPicture | None
    gate: MotionGate | None = None

    def captured(self, at_s: float, earlier_s: float = 0.0) -> DeferredFrame:
        """The same, captured at another time, and of a wall time that is so much earlier."""
        return replace(self, captured_at_s=at_s, wall_s=self.wall_s - earlier_s)

    def make(self) -> Frame:
        """The frame; once, and of one camera's frames in their order, by any thread.

        Raises:
            UnusablePicture: swscale refuses a picture of a size and format that it took before.
        """
        pixels = self.input_picture.pixels()
        still = self.gate.holds(self.input_picture.grey(), self.time_s) if self.gate else None
        return Frame(
            self.camera,
            self.index,
            self.time_s,
            self.wall_s,
            self.captured_at_s,
            pixels,
            self.picture,
            self.segment,
            self.speed.measure() if self.speed and not still else None,
            still,
        )


class FrameMaker:
    """Makes the frames of one segment.

    Args:
        motion: measures their speed; None leaves it out.
        gate: tells in which nothing has changed; None does not look.
        keep_pictures: a reference to the decoded picture goes with each.
    """

    def __init__(
        self, stamp: Stamp, motion: MotionEstimator | None, gate: MotionGate | None = None, *, keep_pictures: bool
    ) -> None:
        self._stamp, self._motion, self._gate, self._keep_pictures = stamp, motion, gate, keep_pictures
        self._scaler = Scaler()
        self._scaled: set[tuple[int, int, str]] = set()

    def due(self, decoded: Decoded, index: int, time_s: float) -> DeferredFrame:
        """The frame of a decoded picture.

        Raises:
            UnusablePicture: swscale refuses its size or format. That is known of the first one of each, which is scaled now.
        """
        stamp, picture = self._stamp, self._picture(decoded)
        return DeferredFrame(
            stamp.camera,
            index,
            time_s,
            stamp.wall.at(time_s),
            stamp.clock.monotonic_s(),
            stamp.segment,
            picture,
            self._motion.due(picture, time_s) if self._motion else None,
            DecodedPicture(decoded.frame, decoded.orientation) if self._keep_pictures else None,
            self._gate,
        )

    def pass_over(self, decoded: Decoded, time_s: float) -> None:
        """Note a picture that becomes no frame; one that cannot be scaled is none that a frame could be compared with."""
        if self._motion:
            with suppress(UnusablePicture):
                self._motion.remember(self._picture(decoded), time_s)

    def _picture(self, decoded: Decoded) -> InputPicture:
        frame = decoded.frame
        picture = self._scaler.picture(frame, decoded.orientation)
        if (kind := (frame.width, frame.height, frame.format.name)) not in self._scaled:
            picture.pixels()
            self._scaled.add(kind)
        return picture
