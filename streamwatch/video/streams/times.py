"""Times of a recording's pictures as seconds that only ever advance, whatever its packets say.

A time that stands alone is an error of its packet. Times that go on from a leap are a gap if the container is that long, and
else a clock that was set: from there on distances count. Which of them it is can only be said by what follows, so that a few
pictures wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

from streamwatch.video.streams.integrity import LEAST_STEP_S

MAX_HELD = 3
"""Pictures that may wait: so many wrong times in a row are told from a leap."""
_LEAP_S, _STEPS = 1.0, 3.0
"""A step that is longer than this, and than so many of those before it, waits for what follows."""
_SLACK_S = 1.0
Item = TypeVar("Item")


def steady(items: Iterable[tuple[Item, float | None]], frame_s: float, end_s: float | None) -> Iterator[tuple[Item, float]]:
    """Pictures in their order with times in seconds that strictly increase.

    Args:
        items: pictures with the times that they say, in seconds; None where they say nothing.
        frame_s: the step to take where no other is known.
        end_s: when the container says that it ends; None if it does not.
    """
    line = _Line(frame_s, end_s)
    held: list[tuple[Item, float]] = []
    for item, said_s in items:
        if said_s is None or line.fits(said_s, len(held)):
            yield from line.settle(held, said_s)
            held = []
            yield item, line.take(said_s)
            continue
        held.append((item, said_s))
        if len(held) > MAX_HELD:
            yield from line.leap(held)
            held = []
    yield from line.leap(held)


class _Line:
    """The last time that was given, and how what is said relates to it."""

    def __init__(self, frame_s: float, end_s: float | None) -> None:
        self._step_s, self._end_s = frame_s, end_s
        self._offset_s = 0.0
        self._last_s: float | None = None

    def fits(self, said_s: float, held: int) -> bool:
        """Whether a time goes on from the last one, with ``held`` pictures between them."""
        if self._last_s is None:
            return True
        time_s = said_s + self._offset_s
        ends = self._end_s is not None and time_s > self._end_s + _SLACK_S
        longest_s = max(_LEAP_S, _STEPS * self._step_s * (held + 1))
        return not ends and LEAST_STEP_S <= time_s - self._last_s <= longest_s

    def take(self, said_s: float | None) -> float:
        """The time of a picture that fits, or that says nothing."""
        if said_s is None:
            time_s = 0.0 if self._last_s is None else self._last_s + self._step_s
        else:
            time_s = said_s + self._offset_s
            self._step_s = self._step_s if self._last_s is None else time_s - self._last_s
        self._last_s = time_s
        return time_s

    def settle(self, held: Sequence[tuple[Item, float]], until_s: float | None = None) -> Iterator[tuple[Item, float]]:
        """Pictures whose times were wrong: evenly before a time that fits, or each a step after the one before it."""
        if held and until_s is not None and self._last_s is not None:
            self._step_s = (until_s + self._offset_s - self._last_s) / (len(held) + 1)
        for item, _ in held:
            yield item, self.take(None)

    def leap(self, held: Sequence[tuple[Item, float]]) -> Iterator[tuple[Item, float]]:
        """Pictures that go on from a leap, each from the one before it; if they do not, they have no times."""
        if not held or self._last_s is None:
            return
        goes_on = all(b - a >= LEAST_STEP_S for (_, a), (_, b) in pairwise(held))
        if not goes_on:
            yield from self.settle(held)
            return
        if not self._is_gap([said_s for _, said_s in held]):
            self._offset_s = self._last_s + self._step_s - held[0][1]
        before_s = self._step_s
        for item, said_s in held:
            yield item, self.take(said_s)
        self._step_s = self._step_s if len(held) > 1 else before_s

    def _is_gap(self, said_s: Sequence[float]) -> bool:
        if self._last_s is None or said_s[0] + self._offset_s <= self._last_s:
            return False
        if self._end_s is None:
            return len(said_s) > MAX_HELD
        return said_s[-1] + self._offset_s <= self._end_s + _SLACK_S
