"""How each camera's level and fields went lately, for charts."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import takewhile

from streamwatch.clock import Clock
from streamwatch.scores import FrameScore

KEPT_POINTS = 750
"""Of one camera: two and a half minutes at five frames a second, of which pages show two; 0.3 MB."""
RATE_OVER_S = 5.0


@dataclass(frozen=True, slots=True)
class Point:
    """One scored frame.

    Attributes:
        at_s: monotonic, when it was scored.
        latency_s: from the decoder to its score.
        fields: the highest of each field in the picture, in its own unit.
    """

    wall_s: float
    at_s: float
    level: float
    latency_s: float
    fields: tuple[tuple[str, float], ...]


class LevelHistory:
    """Filled by the scoring thread, asked from any."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._points: dict[str, deque[Point]] = {}

    def record(self, scored: FrameScore, _counts: bool) -> None:
        """A frame was scored."""
        frame, now_s = scored.frame, self._clock.monotonic_s()
        fields = next((highest.measures for highest in scored.highest if highest.cells is None), ())
        point = Point(frame.wall_s, now_s, scored.level, now_s - frame.captured_at_s, fields)
        known = self._points.get(frame.camera)
        if known is None:
            known = self._points.setdefault(frame.camera, deque(maxlen=KEPT_POINTS))
        known.append(point)

    def points(self, camera: str, since_wall_s: float = float("-inf")) -> list[Point]:
        """A camera's, the oldest first."""
        return [point for point in self._copy(camera) if point.wall_s > since_wall_s]

    def newest(self, camera: str) -> Point | None:
        """Of the frame that was scored last."""
        known = self._points.get(camera)
        return known[-1] if known else None

    def rate_per_s(self, camera: str) -> float:
        """Frames scored a second, over the last five seconds."""
        since_s = self._clock.monotonic_s() - RATE_OVER_S
        recent = takewhile(lambda point: point.at_s >= since_s, reversed(self._copy(camera)))
        return sum(1 for _ in recent) / RATE_OVER_S

    def forget(self, camera: str) -> None:
        """The camera is watched no more."""
        self._points.pop(camera, None)

    def _copy(self, camera: str) -> list[Point]:
        """While the scoring thread goes on adding to it."""
        known = self._points.get(camera)
        while known is not None:
            try:
                return list(known)
            except RuntimeError:  # it was added to meanwhile
                continue
        return []
