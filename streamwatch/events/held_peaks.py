"""Event peaks of one field, whose end threshold follows its start threshold: what is *held*, not what is touched.

At a start threshold s an event opens where a sample reaches s and all that follow for ``min_duration`` stay over ``h s``. So a
sample's *critical level*, the highest s at which it opens an event, is min(x_t, min over [t, t + min_duration] of x / h): a
spike of a tenth of a second, however high, is worth no more than what holds after it.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from streamwatch.records import Float64Array, ScoreStream

_FIRST_CHUNK = 64
"""Most events are short; of longer ones each look is twice as far as the one before."""
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class HoldRules:
    """When an event opens and which of its samples are one event; seconds, and the end threshold as a share of the start's.

    Attributes:
        linked_to_start: peaks are one episode between which values never stayed below this share of the lower one for
            ``closing_s``. None counts as events do: below the end threshold for ``end_delay_s``.
    """

    end_to_start: float
    min_duration_s: float = 1.0
    end_delay_s: float = 2.0
    closing_s: float = 30.0
    linked_to_start: float | None = None

    def linked_by(self, start: float) -> tuple[float, float]:
        """Over which value samples belong to the event that a start threshold opens, and dips of which length, in seconds."""
        if self.linked_to_start is None:
            return self.end_to_start * start, self.end_delay_s
        return self.linked_to_start * start, self.closing_s


@dataclass(frozen=True, slots=True)
class HeldPeak:
    """One event's critical level, when it came, and the span over which it is the same event; seconds."""

    value: float
    at_s: float
    first_s: float
    last_s: float


def held_levels(stream: ScoreStream, min_duration_s: float) -> Float64Array:
    """(N,) the lowest value from each sample to the first one ``min_duration_s`` later; 0 where the stream ends before."""
    at_s, levels = stream.at_s, stream.levels
    last = np.searchsorted(at_s, at_s + (min_duration_s - 1e-9), side="left")
    whole = last < len(at_s)
    lowest = _lowest_between(levels, np.flatnonzero(whole), last[whole])
    held = np.zeros(len(levels))
    held[whole] = lowest
    return held


def _lowest_between(values: Float64Array, first: Indices, last: Indices) -> Float64Array:
    """(M,) minima of values[first..last], both inclusive: the lower of two overlapping spans of a power of two."""
    spans = [values]
    while len(first) and 2 ** len(spans) <= int((last - first).max()) + 1:
        half = 2 ** (len(spans) - 1)
        spans.append(np.minimum(spans[-1][:-half], spans[-1][half:]))
    power = np.frexp(last - first + 1)[1] - 1
    found = np.empty(len(first))
    for k, of_span in enumerate(spans):
        rows = power == k
        found[rows] = np.minimum(of_span[first[rows]], of_span[last[rows] - 2**k + 1])
    return found


def critical_levels(stream: ScoreStream, rules: HoldRules) -> Float64Array:
    """(N,) the highest start threshold at which each sample opens an event; 0 where none does."""
    return np.minimum(stream.levels, held_levels(stream, rules.min_duration_s) / rules.end_to_start)


def held_peaks(streams: Sequence[ScoreStream], rules: HoldRules, *, at_most: int) -> list[float]:
    """Critical levels of the events of a time line, descending, the highest ``at_most``; see ``find_held_peaks``."""
    return [peak.value for peak in find_held_peaks(streams, rules, at_most=at_most)]


def find_held_peaks(streams: Sequence[ScoreStream], rules: HoldRules, *, at_most: int) -> list[HeldPeak]:
    """The events of a time line, that of the highest critical level first, at most ``at_most``.

    At every start threshold from the last of them on, at least as many reach it as the state machine raises alarms, unless
    the rules link more. A thing that stands there for an hour is one event: between two of its peaks the field never fell
    below the end threshold.

    Args:
        streams: in their order; an event goes on from one to the next if no more time passes than a cooldown.
    """
    parts = [(s.at_s, s.levels, critical_levels(s, rules)) for s in streams if len(s.at_s)]
    if not parts:
        return []
    at_s, levels, critical = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    line = _TimeLine(at_s, levels, critical, rules)
    free = bytearray(line.critical > 0)
    kept: dict[int, HeldPeak] = {}
    places: list[int] = []
    opening = np.flatnonzero(line.critical > 0)
    for index in opening[np.argsort(-line.critical[opening], kind="stable")].tolist():
        if not free[index]:
            continue
        first, last = line.run(index, line.critical[index])
        if not line.goes_on(index, last, places):
            bisect.insort(places, index)
            values = line.critical[index], line.at_s[index], line.at_s[first], line.at_s[last]
            kept[index] = HeldPeak(*map(float, values))
            if len(kept) == at_most:
                break
        until = int(np.searchsorted(line.at_s, line.at_s[last] + rules.closing_s))
        free[first:until] = bytes(until - first)
    return sorted(kept.values(), key=lambda peak: -peak.value)


@dataclass(frozen=True)
class _TimeLine:
    """All samples of a time line, (N,) each."""

    at_s: Float64Array
    levels: Float64Array
    critical: Float64Array
    rules: HoldRules

    def run(self, index: int, start: float) -> tuple[int, int]:
        """First and last sample of what is linked to a sample, short dips bridged."""
        back = len(self.at_s) - 1 - index
        at_s, levels = self._backwards
        return index - self._reach(at_s[back:], levels[back:], *self.rules.linked_by(start)), self.run_end(index, start)

    def run_end(self, index: int, start: float) -> int:
        """The last sample of it."""
        return index + self._reach(self.at_s[index:], self.levels[index:], *self.rules.linked_by(start))

    @cached_property
    def _backwards(self) -> tuple[Float64Array, Float64Array]:
        return -self.at_s[::-1], self.levels[::-1]

    def _reach(self, at_s: Float64Array, levels: Float64Array, end: float, dip_s: float) -> int:
        """How many samples a run goes on, whose first is the first sample."""
        reached, chunk = 0, _FIRST_CHUNK
        while True:
            over = reached + (levels[reached : reached + chunk] >= end).nonzero()[0]
            times = at_s[over]
            breaks = (times[1:] - times[:-1] >= dip_s).nonzero()[0]
            if len(breaks):
                return int(over[breaks[0]])
            if len(over) < 2 and reached + chunk < len(levels) and at_s[reached + chunk] - at_s[reached] < dip_s:
                chunk *= 2  # the dip is not over
                continue
            if len(over) < 2:
                return reached
            reached, chunk = int(over[-1]), 2 * chunk

    def goes_on(self, index: int, last: int, kept: Sequence[int]) -> bool:
        """Whether an event that is kept is the same as a sample's, whose run ends at ``last``, at the sample's own level.

        Another run is the same event if it crosses the start threshold before the cooldown after the first one is over.
        """
        place = bisect.bisect(kept, index)
        if place < len(kept) and self.at_s[kept[place]] - self.at_s[last] < self.rules.closing_s:
            return True
        if place == 0:
            return False
        ended = self.run_end(kept[place - 1], self.critical[index])
        return bool(self.at_s[index] - self.at_s[ended] < self.rules.closing_s)
