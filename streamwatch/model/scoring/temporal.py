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


class CausalFilter:
    """y_t = y_{t-1} + (1 - exp(-dt / tau)) (x_t - y_{t-1}), starting at the first map.

    The weight follows from the time that has passed and not from the number of frames, so that 5 and 25 frames per
    second see the same filter. A map that is None leaves nothing behind: evidence starts anew after it.
    """

    def __init__(self, time_constant_s: float = TIME_CONSTANT_S) -> None:
        self._time_constant_s = time_constant_s
        self._last: Float32Array | None = None
        self._last_s = 0.0

    def hold(self, time_s: float) -> None:
        """The filtered map is the same at ``time_s``, as if it had been seen until then."""
        self._last_s = max(self._last_s, time_s)

    def apply(self, grid: Float32Array | None, time_s: float) -> Float32Array | None:
        """The filtered map at ``time_s``; time that does not advance, or a missing map, starts anew."""
        elapsed_s = time_s - self._last_s
        if grid is None or self._last is None or elapsed_s <= 0:
            self._last, self._last_s = grid, time_s
            return grid
        share = 1.0 - math.exp(-elapsed_s / self._time_constant_s)
        self._last, self._last_s = (self._last + share * (grid - self._last)).astype(grid.dtype), time_s
        return self._last
