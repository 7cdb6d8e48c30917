"""The causal temporal filter of the maps: an exponential average of the past, with its time constant in seconds."""

from __future__ import annotations

import math

from streamwatch.records import Float32Array

TIME_CONSTANT_S = 0.3
"""A step reaches 63 % after this long: that is the delay that the filter costs. It halves the noise of a single frame."""


def remaining_noise(interval_s: float, time_constant_s: float = TIME_CONSTANT_S) -> float:
    """Deviation that the filter leaves of noise that is independent from frame to frame, 1 for none filtered.

    sqrt(a / (2 - a)) with a = 1 - exp(-dt / tau): the variance of an exponential average of independent values.
    """
    share = 1.0 - math.exp(-interval_s / time_constant_s)
    return math.sqrt(share / (2.0 - share))


class FilterClock:
    """What weight the next map of one stream's field has in its causal filter: y_t = y_{t-1} + w_t (x_t - y_{t-1}).

    w_t = 1 - exp(-dt / tau) follows from the time that has passed and not from the number of frames, so that 5 and 25 frames
    per second see the same filter; it is 1 where the filter starts anew: at the first map, after one that says nothing, and
    where time does not advance.
    """

    def __init__(self, time_constant_s: float = TIME_CONSTANT_S) -> None:
        self._time_constant_s = time_constant_s
        self._last_s: float | None = None

    @property
    def last_s(self) -> float | None:
        """When the last map was; None before the first, or after one that says nothing."""
        return self._last_s

    def restart(self, last_s: float | None = None) -> None:
        """The next map is the first; or the first after one at ``last_s``."""
        self._last_s = last_s

    def hold(self, time_s: float) -> None:
        """The filtered map is the same at ``time_s``, as if it had been seen until then."""
        if self._last_s is not None:
            self._last_s = max(self._last_s, time_s)

    def weight(self, time_s: float, *, speaks: bool = True) -> float:
        """Of the map at ``time_s``; 0 if it says nothing."""
        before_s, self._last_s = self._last_s, time_s if speaks else None
        if not speaks:
            return 0.0
        if before_s is None or time_s <= before_s:
            return 1.0
        return -math.expm1((before_s - time_s) / self._time_constant_s)


class CausalFilter:
    """An exponential average of the maps of one field of one stream, starting at the first (``FilterClock``)."""

    def __init__(self, time_constant_s: float = TIME_CONSTANT_S) -> None:
        self._clock = FilterClock(time_constant_s)
        self._last: Float32Array | None = None

    def hold(self, time_s: float) -> None:
        """As ``FilterClock.hold``."""
        self._clock.hold(time_s)

    def apply(self, grid: Float32Array | None, time_s: float) -> Float32Array | None:
        """The filtered map at ``time_s``; after a missing one it starts anew."""
        weight = self._clock.weight(time_s, speaks=grid is not None)
        if grid is None or self._last is None or weight == 1.0:
            self._last = grid
        else:
            self._last = (self._last + weight * (grid - self._last)).astype(grid.dtype)
        return self._last
