"""Whether the loops make progress. Cameras that are down are not ill health: restarting would not help them."""

from __future__ import annotations

import threading

from streamwatch.clock import Clock

STALLED_AFTER_S = 30.0


class Health:
    """Heartbeats of the loops that must never stand still."""

    def __init__(self, clock: Clock, *, stalled_after_s: float = STALLED_AFTER_S) -> None:
        self._clock = clock
        self._stalled_after_s = stalled_after_s
        self._beats: dict[str, float] = {}
        self._lock = threading.Lock()

    def beat(self, loop: str) -> None:
        """Note that ``loop`` has come round."""
        with self._lock:
            self._beats[loop] = self._clock.monotonic_s()

    def retire(self, loop: str) -> None:
        """Forget a loop that ended on purpose."""
        with self._lock:
            self._beats.pop(loop, None)

    def stalled(self) -> dict[str, float]:
        """Loops that are overdue, with the seconds since their last beat."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            ages = {loop: now_s - beat_s for loop, beat_s in self._beats.items()}
        return {loop: age for loop, age in ages.items() if age > self._stalled_after_s}
