"""Peaks of a camera that is watched for days: found bit by bit, each once, in memory that does not grow."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwatch.events.held_peaks import HoldRules, held_peaks
from streamwatch.events.live_peaks import LivePeakFinder
from streamwatch.records import Float64Array, ScoreStream

END_TO_START, RATE_HZ, BIT_S = 0.95, 2, 30.0
RULES = HoldRules(END_TO_START)
LINKED = HoldRules(END_TO_START, linked_to_start=0.8)


def bits(levels: Float64Array, start_s: float = 0.0) -> Iterator[ScoreStream]:
    """What a daemon hands over every half minute."""
    size = int(BIT_S * RATE_HZ)
    for at in range(0, len(levels), size):
        part = levels[at : at + size]
        yield ScoreStream(start_s + (at + np.arange(len(part))) / RATE_HZ, part)


def peaks_of(levels: Float64Array, rules: HoldRules) -> list[float]:
    """All peaks, fed bit by bit."""
    finder, settled = LivePeakFinder(rules), list[float]()
    for bit in bits(levels):
        finder.add(bit, goes_on=True)
        settled += [peak.value for peak in finder.settle()]
    return sorted(settled + [peak.value for peak in finder.open()], reverse=True)


def correlated(rng: np.random.Generator, count: int, keep: float = 0.7) -> Float64Array:
    """Noise as a causal filter leaves it, of deviation 1."""
    noise, value = np.empty(count), 0.0
    for index, fresh in enumerate(rng.normal(0, np.sqrt(1 - keep**2), count)):
        value = keep * value + fresh
        noise[index] = value
    return noise


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000))
def test_in_bits_it_is_what_it_is_as_a_whole(seed: int) -> None:
    rng = np.random.default_rng(seed)
    levels = 5 + 0.3 * correlated(rng, 3 * 3600 * RATE_HZ)
    for _ in range(12):  # something happens for a while
        at = int(rng.integers(len(levels) - 400))
        levels[at : at + int(rng.integers(4, 400))] += rng.uniform(2, 20)
    whole = held_peaks([ScoreStream(np.arange(len(levels)) / RATE_HZ, levels)], RULES, at_most=1000)
    found = peaks_of(levels, RULES)
    assert [peak for peak in found if peak > 6.5] == pytest.approx([peak for peak in whole if peak > 6.5])
    assert abs(len(found) - len(whole)) <= 3 * 3600 / 600  # where noise is cut, at most each 10 minutes


def test_a_thing_that_stands_there_for_an_hour_is_one_peak_however_it_trembles() -> None:
    rng = np.random.default_rng(1)
    levels = 2 + 0.1 * correlated(rng, 6 * 3600 * RATE_HZ)
    levels[3600 * RATE_HZ : 4 * 3600 * RATE_HZ] *= 5
    found = peaks_of(levels, LINKED)
    assert sum(peak > 5 for peak in found) == 1


def test_memory_does_not_grow() -> None:
    rng = np.random.default_rng(3)
    finder, kept = LivePeakFinder(LINKED), 0
    for bit in bits(5 + correlated(rng, 6 * 3600 * RATE_HZ)):
        finder.add(bit, goes_on=True)
        finder.settle()
        kept = max(kept, sum(len(stream.at_s) for stream in finder._tail))
    assert kept <= (1200 + BIT_S + 60) * RATE_HZ


@pytest.mark.parametrize("later_s", [-500.0, 10 * 86_400.0, 50 * 365 * 86_400.0])
def test_a_clock_that_jumps_ends_what_goes_on(later_s: float) -> None:
    finder = LivePeakFinder(RULES)
    for start_s in (1e9, 1e9 + later_s):
        for bit in bits(np.full(120, 9.0), start_s):
            finder.add(bit, goes_on=bit.at_s[0] != start_s)
    found = [peak.value for peak in (*finder.settle(), *finder.open())]
    assert found == pytest.approx([9.0, 9.0])
