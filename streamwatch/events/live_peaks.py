"""Held peaks of values that come bit by bit, for as long as a camera is watched, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from streamwatch.events.held_peaks import HeldPeak, HoldRules, find_held_peaks
from streamwatch.records import Float64Array, ScoreStream

TAIL_S = 1200.0
"""Of so long a time the values themselves are kept, because what comes next may belong to the same event."""
MAX_OPEN = 1000
"""Events of a tail: one each 30 s of cooldown would be 40."""


@dataclass
class LivePeakFinder:
    """Finds the peaks of one field of one zone.

    The latest 10 to 20 minutes stay open. What is older is cut off at the quietest moment and its peaks are settled; an event
    that lasts over the cut goes on, however long it takes, and is one.
    """

    rules: HoldRules
    tail_s: float = TAIL_S
    _tail: list[ScoreStream] = field(default_factory=list)
    _cut_s: float = float("-inf")
    _ongoing: list[HeldPeak] = field(default_factory=list)
    _settled: list[HeldPeak] = field(default_factory=list)

    def add(self, stream: ScoreStream, *, goes_on: bool) -> None:
        """Take what came since; ``goes_on`` if nothing lies between it and what was taken before.

        After a long silence, or where the clock was set back, nothing of before goes on.
        """
        if not len(stream.at_s):
            return
        if self._tail and not 0 < stream.at_s[0] - self._tail[-1].at_s[-1] < self.tail_s:
            self._settle_all()
        if goes_on and self._tail:
            stream = _joined(self._tail.pop(), stream)
        self._tail.append(stream)

    def open(self) -> list[HeldPeak]:
        """The peaks that are not settled, as far as they are known."""
        ongoing, new = self._found()
        return ongoing + new

    def settle(self) -> list[HeldPeak]:
        """The peaks that nothing to come can change, each once."""
        if self._tail and self._tail[-1].at_s[-1] - self._tail[0].at_s[0] >= self.tail_s:
            self._cut()
        settled, self._settled = self._settled, []
        return settled

    def _cut(self) -> None:
        ongoing, new = self._found()
        self._cut_s = _quietest_s(self._tail, self.rules.closing_s)
        over = [peak for peak in ongoing + new if peak.last_s + self.rules.closing_s < self._cut_s]
        self._settled += over
        self._ongoing = [peak for peak in ongoing + new if peak not in over and peak.first_s < self._cut_s]
        kept = [_from(stream, self._cut_s - self.rules.closing_s) for stream in self._tail]
        self._tail = [stream for stream in kept if len(stream.at_s)]

    def _settle_all(self) -> None:
        self._settled += self.open()
        self._tail, self._ongoing, self._cut_s = [], [], float("-inf")

    def _found(self) -> tuple[list[HeldPeak], list[HeldPeak]]:
        """Those that began before the cut, each as high as it has become; and those that began after it."""
        found = find_held_peaks(self._tail, self.rules, at_most=MAX_OPEN)
        began = sorted([*self._ongoing, *(p for p in found if p.first_s < self._cut_s)], key=lambda peak: -peak.value)
        last_s = max((peak.last_s for peak in began), default=0.0)
        ongoing = [HeldPeak(p.value, p.at_s, p.first_s, last_s) for p in began[: len(self._ongoing)]]
        return ongoing, [peak for peak in found if peak.first_s >= self._cut_s]


def _joined(first: ScoreStream, then: ScoreStream) -> ScoreStream:
    return ScoreStream(np.concatenate([first.at_s, then.at_s]), np.concatenate([first.levels, then.levels]))


def _from(stream: ScoreStream, at_s: float) -> ScoreStream:
    index = int(np.searchsorted(stream.at_s, at_s))
    return ScoreStream(stream.at_s[index:], stream.levels[index:])


def _quietest_s(tail: Sequence[ScoreStream], closing_s: float) -> float:
    """When, in the second half of a tail, the least had been going on for a cooldown."""
    at_s = np.concatenate([stream.at_s for stream in tail])
    levels = np.concatenate([stream.levels for stream in tail])
    middle = int(np.searchsorted(at_s, (at_s[0] + at_s[-1]) / 2))
    loudest = _highest_within(at_s, levels, closing_s)[middle:]
    return float(at_s[middle + int(np.argmin(loudest))])


def _highest_within(at_s: Float64Array, levels: Float64Array, span_s: float) -> Float64Array:
    """(N,) the highest value of the ``span_s`` up to each sample, by the second."""
    seconds = np.floor(at_s - at_s[0]).astype(np.intp)
    by_second = np.full(seconds[-1] + 1, -np.inf)
    np.maximum.at(by_second, seconds, levels)
    padded = np.concatenate([np.full(int(np.ceil(span_s)), -np.inf), by_second])
    windows = np.lib.stride_tricks.sliding_window_view(padded, int(np.ceil(span_s)) + 1)
    highest: Float64Array = windows.max(axis=1)[seconds]
    return highest
