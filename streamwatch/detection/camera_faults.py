"""Cameras whose scoring failed: left alone for a while, so that the others are watched, and then tried again."""

from __future__ import annotations

from streamwatch.clock import Clock
from streamwatch.threads import ThreadGuard


class CameraFaults:
    """Touched by the scoring thread alone.

    Args:
        guard: logs and counts each fault, and says how long to wait.
    """

    def __init__(self, clock: Clock, guard: ThreadGuard) -> None:
        self._clock, self._guard = clock, guard
        self._until_s: dict[str, float] = {}
        """When each is tried again, on the monotonic clock."""

    def record(self, camera: str, failure: Exception) -> None:
        """Scoring the camera failed."""
        now_s = self._clock.monotonic_s()
        lasted_s = now_s - self._until_s.get(camera, now_s)
        wait_s = self._guard.record(f"scoring {camera}", failure, lasted_s=lasted_s)
        self._until_s[camera] = now_s + wait_s

    def paused(self, camera: str) -> bool:
        """Whether the camera is left alone now."""
        return self._clock.monotonic_s() < self._until_s.get(camera, float("-inf"))

    def forget(self, camera: str) -> None:
        """The camera is gone, or has another model."""
        self._until_s.pop(camera, None)
