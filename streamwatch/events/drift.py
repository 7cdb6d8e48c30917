"""Whether a scene slowly becomes another one: dust, seasons, a lens that loosens, a lamp that ages.

The measure is the low of the spread (``records.Spread``): how far from normal three quarters of the picture are. A thing in
the scene does not raise it, and what raises it at once is tampering (``tamper``). Its slow mean is compared with what was
usual when the scene was learned. A scene has drifted when its *mean* frame is as far out as one in a thousand was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

TREND_S = 3600.0
"""Time constant of the slow mean."""
GAP_S = 60.0
"""A longer gap counts as this much: after a night offline the first frame must not be the whole trend."""
OVER_AT = 0.5
"""Drift is over below this share of the way from usual to the limit."""


@dataclass(frozen=True, slots=True)
class DriftChange:
    """A scene has drifted, or is back; ``ratio`` is its mean spread over the usual one, ``limit`` where drift begins."""

    active: bool
    ratio: float
    limit: float


class DriftMonitor:
    """Follows one camera's frames that are neither in an event nor tampered with.

    Args:
        usual: median of the low of the spread on normal footage.
        calm: what 99.9 % of normal frames stay below.

    Raises:
        ValueError: not 0 < usual <= calm.
    """

    def __init__(self, usual: float, calm: float) -> None:
        if not 0 < usual <= calm:
            raise ValueError(f"a usual spread lies above 0 and not above the calm one: {usual}, {calm}")
        self._usual, self._limit = usual, calm / usual
        self._ratio = 1.0
        self._last_wall_s: float | None = None
        self._active = False

    @property
    def ratio(self) -> float:
        """Slow mean of the spread over the usual one; 1 is as learned."""
        return self._ratio

    @property
    def limit(self) -> float:
        """The ratio from which the scene has drifted."""
        return self._limit

    def observe(self, low: float, wall_s: float) -> DriftChange | None:
        """Take the low of one frame's spread; what has changed, if anything."""
        step_s = 0.0 if self._last_wall_s is None else min(max(wall_s - self._last_wall_s, 0.0), GAP_S)
        self._last_wall_s = wall_s
        self._ratio += (1 - math.exp(-step_s / TREND_S)) * (low / self._usual - self._ratio)
        over_at = 1 + OVER_AT * (self._limit - 1)
        if self._active == (self._ratio > (over_at if self._active else self._limit)):
            return None
        self._active = not self._active
        return DriftChange(self._active, self._ratio, self._limit)
