"""How busy the device was lately, and what that leaves room for."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from streamwatch.clock import Clock

OVER_S = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """Of the last minute.

    Attributes:
        frames_per_s: that were scored.
        busy_share: of the time, in which the device was at work, 0 to 1.
        frames_per_busy_s: how fast it is while it works, in batches as they came; None before it worked.
        batch_frames: of a batch, the mean.
    """

    frames_per_s: float
    busy_share: float
    frames_per_busy_s: float | None
    batch_frames: float


class EngineLoad:
    """Told of each batch, asked from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock, self._began_s = clock, threading.Lock(), clock.monotonic_s()
        self._batches: deque[tuple[float, int, float]] = deque()

    def record(self, frames: int, duration_s: float) -> None:
        """A batch of so many frames took so long on the device."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            self._batches.append((now_s, frames, duration_s))
            self._forget(now_s)

    def now(self) -> Load:
        """Of the last minute, or of the time since the start."""
        with self._lock:
            now_s = self._clock.monotonic_s()
            self._forget(now_s)
            frames = sum(frames for _, frames, _ in self._batches)
            busy_s = sum(duration_s for _, _, duration_s in self._batches)
            over_s = max(min(now_s - self._began_s, OVER_S), 1e-3)
            batches = len(self._batches)
        speed = frames / busy_s if busy_s > 0 else None
        return Load(frames / over_s, min(busy_s / over_s, 1.0), speed, frames / batches if batches else 0.0)

    def _forget(self, now_s: float) -> None:
        while self._batches and now_s - self._batches[0][0] > OVER_S:
            self._batches.popleft()
