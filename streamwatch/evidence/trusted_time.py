"""What time it is for what deletes: a wall clock that jumped is believed only when it has stayed so for a day."""

from __future__ import annotations

import logging

from streamwatch.clock import Clock

log = logging.getLogger(__name__)
JUMP_S = 60.0
"""More than a clock is slewed in a pass, and less than anything that retention would notice."""
BELIEVED_AFTER_S = 86_400.0


class TrustedTime:
    """Follows the wall clock, and the monotonic clock alone while the two disagree."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_s: float | None = None
        self._other_since_s: float | None = None
        self._other_offset_s = 0.0

    def now_s(self, newest_s: float | None, keep_s: float) -> float:
        """Unix time, as far as it is believed.

        Args:
            newest_s: Unix time of the newest thing that is kept; None if nothing is.
            keep_s: for how long things are kept. At its start a process that would find all of them too old believes that
                they are not, because its clock may be wrong.
        """
        wall_s, monotonic_s = self._clock.wall_s(), self._clock.monotonic_s()
        offset_s = wall_s - monotonic_s
        if self._offset_s is None:
            stale = newest_s is not None and wall_s - newest_s > keep_s
            self._offset_s = newest_s - monotonic_s if stale and newest_s is not None else offset_s
        if abs(offset_s - self._offset_s) <= JUMP_S:
            self._offset_s, self._other_since_s = offset_s, None
        else:
            self._wait_for(offset_s, monotonic_s)
        return monotonic_s + self._offset_s

    def _wait_for(self, offset_s: float, monotonic_s: float) -> None:
        """Believe another clock when it has gone on like that for a day."""
        if self._other_since_s is None or abs(offset_s - self._other_offset_s) > JUMP_S:
            ahead_s = offset_s - (self._offset_s or 0.0)
            log.warning(
                "the clock is %.1f days from where it was: nothing is deleted by it for a day, unless it goes back",
                ahead_s / 86_400,
            )
            self._other_since_s, self._other_offset_s = monotonic_s, offset_s
        elif monotonic_s - self._other_since_s >= BELIEVED_AFTER_S:
            log.warning("the clock has stayed where it is for a day: it is believed")
            self._offset_s, self._other_since_s = offset_s, None
