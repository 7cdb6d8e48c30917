"""An event's score over time as a small drawing."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

BEFORE_S = 20.0
MAX_POINTS = 20_000
DRAWN_POINTS = 300
_WIDTH, _HEIGHT, _MARGIN = 320, 64, 4

Points = Sequence[tuple[float, float]]


class Levels:
    """The levels of a zone, of the last while and of as long as an event lasts."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, float]] = deque(maxlen=MAX_POINTS)

    def add(self, time_s: float, level: float, *, keep: bool) -> None:
        """Add one; unless an event is going on (``keep``), what is older than 20 s goes."""
        if self._points and time_s <= self._points[-1][0]:
            self._points.clear()  # the stream's time began anew
        self._points.append((time_s, level))
        while not keep and self._points[0][0] < time_s - BEFORE_S:
            self._points.popleft()

    def points(self) -> Points:
        """(time_s, level), ascending."""
        return tuple(self._points)


def draw_sparkline(points: Points, *, start: float, end: float, event_s: tuple[float, float]) -> str:
    """An SVG of levels over time, with the start and end thresholds and the event's time shaded; 300 points at most.

    Of points that fall together the highest is drawn, so that no peak is lost.

    Raises:
        ValueError: no points.
    """
    if not points:
        raise ValueError("no levels to draw")
    times, levels = (np.array(column) for column in zip(*points, strict=True))
    bins = np.array_split(np.arange(len(times)), min(len(times), DRAWN_POINTS))
    drawn = [int(part[levels[part].argmax()]) for part in bins]
    top, span_s = max(float(levels.max()), start) * 1.05, max(float(times[-1] - times[0]), 1e-6)

    def x(at_s: float) -> float:
        return round(_MARGIN + (_WIDTH - 2 * _MARGIN) * min(max(float(at_s - times[0]) / span_s, 0.0), 1.0), 1)

    def y(level: float) -> float:
        return round(_HEIGHT - _MARGIN - (_HEIGHT - 2 * _MARGIN) * max(level, 0.0) / top, 1)

    line = " ".join(f"{x(times[n])},{y(levels[n])}" for n in drawn)
    rules = "".join(
        f'<path d="M{_MARGIN} {y(level)}H{_WIDTH - _MARGIN}" stroke="#888" stroke-dasharray="{dash}"/>'
        for level, dash in ((start, "none"), (end, "3 3"))
    )
    left, right = (x(at_s) for at_s in event_s)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'role="img"><title>score over {span_s:.0f} s, highest {levels.max():.2f}, start threshold {start:.2f}</title>'
        f'<rect x="{left}" y="0" width="{max(right - left, 1.0):.1f}" height="{_HEIGHT}" fill="#c33" opacity=".15"/>'
        f'{rules}<polyline points="{line}" fill="none" stroke="#c33" stroke-width="1.5"/></svg>\n'
    )
