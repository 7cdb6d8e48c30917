"""Whether the loops make progress. Cameras that are down are not ill health: restarting would not help them."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from streamwatch.clock import Clock

STALLED_AFTER_S = 30.0


@dataclass(frozen=True, slots=True)
class _Beat:
    """When a loop last came round, and within what time it must come again."""

    at_s: float
    within_s: float


class Health:
    """Heartbeats of the loops that must never stand still."""

    def __init__(self, clock: Clock, *, stalled_after_s: float = STALLED_AFTER_S) -> None:
        self._clock = clock
        self._stalled_after_s = stalled_after_s
        self._beats: dict[str, _Beat] = {}
        self._lock = threading.Lock()

    def beat(self, loop: str, *, within_s: float | None = None) -> None:
        """Note that ``loop`` has come round, and will again within ``within_s``."""
        with self._lock:
            self._beats[loop] = _Beat(self._clock.monotonic_s(), within_s or self._stalled_after_s)

    def retire(self, loop: str) -> None:
        """Forget a loop that ended, or waits, on purpose."""
        with self._lock:
            self._beats.pop(loop, None)

    def stalled(self) -> dict[str, float]:
        """Loops that are overdue, with the seconds since their last beat."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            beats = dict(self._beats)
        return {loop: now_s - beat.at_s for loop, beat in beats.items() if now_s - beat.at_s > beat.within_s}
