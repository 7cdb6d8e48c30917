"""Which frames of a stream are wanted: by their times, and of a live one by when they arrive, too."""

from __future__ import annotations

from dataclasses import dataclass

from streamwatch.clock import Clock


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


_STARVED_INTERVALS = 2.0


class ArrivalLimit:
    """Bounds a live stream's frames by when they arrive, above and below: times that the camera gives may be anything."""

    def __init__(self, fps: float, clock: Clock) -> None:
        self._rate_hz, self._most = _ARRIVALS_SPARE * fps, max(_BURST_S * fps, 2.0)
        self._clock, self._left, self._at_s = clock, self._most, clock.monotonic_s()
        self._passed_at_s = self._at_s

    def starved(self) -> bool:
        """Whether frames come and none was passed on for two of their intervals: a clock that stands almost still."""
        return self._clock.monotonic_s() - self._passed_at_s >= _STARVED_INTERVALS * _ARRIVALS_SPARE / self._rate_hz

    def allows(self) -> bool:
        """Whether another frame may be passed on now; if so, it is counted."""
        now_s = self._clock.monotonic_s()
        self._left = min(self._left + (now_s - self._at_s) * self._rate_hz, self._most)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        self._passed_at_s = now_s
        return True


@dataclass(frozen=True, slots=True)
class Pace:
    """Which frames of a stream are wanted.

    Attributes:
        fps: frames per second, or None for every coded frame.
        phase: where on the wall clock slots of 1/fps begin, as a share of one, so that cameras of one rate come one after
            the other and none waits for all the others; None counts slots from the first frame, as a recording wants it.
        gated: frames are told whether anything has changed in them (``Frame.still``).
    """

    fps: float | None = None
    phase: float | None = None
    gated: bool = False

    def start(self, clock: Clock) -> Pacer:
        """A pacer for a stream that begins now."""
        if self.phase is None or self.fps is None:
            return Pacer(self.fps)
        return Pacer(self.fps, (clock.wall_s() * self.fps + self.phase) % 1.0)


EVERY_FRAME = Pace()
