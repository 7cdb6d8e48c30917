"""Wall time of a stream: one reading at connect, presentation time afterwards, slewed slowly towards the wall clock."""

from __future__ import annotations

from streamwatch.clock import Clock

SLEW_PER_S = 0.001
"""A camera's clock drifts by seconds a day (4 s measured: docs/decisions/0012-live-streams.md), i.e. 0.00005; this follows
it 20 times over."""
STEP_BEYOND_S = 30.0
"""A stream that was held back on its way shows what was; by more than this it is a clock that is wrong."""
MAX_AHEAD_S = 1.0
"""No picture shows what is yet to come: a camera whose clock is fast, or that sends more than it says, is held here."""


class WallClockMapper:
    """Wall times of one camera's frames; they never run backwards, not even over a reconnect.

    Args:
        live: follow the wall clock. A recording keeps the distances of its own times.
    """

    def __init__(self, clock: Clock, *, live: bool) -> None:
        self._clock, self._live = clock, live
        self._base_s = 0.0
        self._last_time_s = 0.0
        self._last_wall_s = 0.0

    def connect(self) -> None:
        """Take the one reading; times begin at 0 again."""
        self._base_s = max(self._clock.wall_s(), self._last_wall_s)
        self._last_time_s = 0.0

    def at(self, time_s: float) -> float:
        """Wall time of the picture at ``time_s``; call in order."""
        if self._live:
            self._base_s += self._correction_s(time_s)
        self._last_time_s = time_s
        self._last_wall_s = max(self._last_wall_s, self._base_s + time_s)
        return self._last_wall_s

    def _correction_s(self, time_s: float) -> float:
        """Towards the wall clock, by at most a thousandth of the time that passed; far behind it or ahead of it, at once."""
        behind_s = self._clock.wall_s() - (self._base_s + time_s)
        if behind_s > STEP_BEYOND_S:
            return behind_s
        if behind_s < -MAX_AHEAD_S:
            return behind_s + MAX_AHEAD_S
        most_s = SLEW_PER_S * max(time_s - self._last_time_s, 0.0)
        return max(-most_s, min(most_s, behind_s))
