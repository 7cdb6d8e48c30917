"""What a camera held while it was watched, added to what its normal footage held (docs/decisions/0019)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from streamwatch.model.calibration.thresholds import DAY_S, MAX_PEAKS_KEPT, Calibration, NormalPeaks
from streamwatch.records import LivePeaks

MIN_WINDOW_DAYS = 7.0
"""A week has all kinds of days."""
WINDOW_BUDGETS = 10.0
"""As many false alarms as the budget allows in the window, which counts them to a third: 1 / sqrt(10)."""
MAX_DAYS = 1000
MAX_EPISODES, MIN_EPISODES_OF_DAY = 600, 10
"""Three times what a tail is fitted to (``extremes.MAX_PEAKS``); no day may crowd out the others."""
MAX_EVENTS_OF_DAY = 30
TimedValue = tuple[float, float]
Span = tuple[float, float]
"""Unix times of a beginning and an end, which is infinite for what goes on."""


def window_s(budget_per_day: float) -> float:
    """How many of the latest watched seconds say something of now."""
    return DAY_S * max(MIN_WINDOW_DAYS, WINDOW_BUDGETS / budget_per_day)


def extended(
    live: LivePeaks, episodes: Iterable[TimedValue], events: Iterable[TimedValue], exposure: Mapping[int, float]
) -> LivePeaks:
    """The same with more peaks and more seconds by day; of each day the highest are kept."""
    days = dict(live.exposure)
    for day, seconds in exposure.items():
        days[day] = days.get(day, 0.0) + seconds
    of_day = max(MIN_EPISODES_OF_DAY, MAX_EPISODES // max(len(days), 1))
    return replace(
        live,
        peaks=tuple(_highest_by_day((*live.peaks, *episodes), of_day)),
        events=tuple(_highest_by_day((*live.events, *events), MAX_EVENTS_OF_DAY)),
        exposure=tuple(sorted(days.items())),
    )


def _highest_by_day(values: Iterable[TimedValue], at_most: int) -> Iterator[TimedValue]:
    counts: dict[int, int] = {}
    for value, at_s in sorted(values, reverse=True):
        day = int(at_s // DAY_S)
        counts[day] = counts.get(day, 0) + 1
        if counts[day] <= at_most:
            yield value, at_s


def latest(live: LivePeaks, watched_s: float) -> LivePeaks:
    """What the latest so many watched seconds showed, by whole days: the wall clock plays no role, because clocks jump."""
    kept, total_s = set[int](), 0.0
    for day, seconds in reversed(live.exposure):
        if total_s >= watched_s or len(kept) == MAX_DAYS:
            break
        kept.add(day)
        total_s += seconds
    if len(kept) == len(live.exposure):
        return live
    first_day = min(kept, default=0)
    return replace(
        live,
        peaks=tuple(peak for peak in live.peaks if peak[1] >= first_day * DAY_S),
        events=tuple(event for event in live.events if event[1] >= first_day * DAY_S),
        exposure=tuple((day, seconds) for day, seconds in live.exposure if day in kept),
    )


def without(live: LivePeaks, spans: Sequence[Span], *, watched: bool) -> LivePeaks:
    """Without the peaks of these spans, and unless that was ``watched`` all the same, without their time."""

    def outside(values: Iterable[TimedValue]) -> tuple[TimedValue, ...]:
        return tuple(v for v in values if not any(first <= v[1] <= last for first, last in spans))

    days = dict(live.exposure)
    for first, last in () if watched else spans:
        day = int(first // DAY_S)
        if day in days and np.isfinite(last):
            days[day] = max(days[day] - (last - first), 0.0)
    return replace(live, peaks=outside(live.peaks), events=outside(live.events), exposure=tuple(sorted(days.items())))


def with_live(calibration: Calibration, live: Iterable[LivePeaks], budgets_per_day: Mapping[str, float]) -> Calibration:
    """A calibration that knows what its camera held since; a zone that is new begins as the picture outside of zones is.

    Of what was watched nobody said that it is normal. So as many episodes as the budget allows in that time, and one at least,
    say nothing of how high normal life is: a camera's first event must not make it deaf to the next one like it. Their number
    counts; and of the events that were watched no more may reach the threshold than the budget allows, whatever a model of the
    tail would expect.

    Args:
        budgets_per_day: of each zone.
    """
    watched = [of for of in live if of.zone in budgets_per_day]
    known = {(peaks.zone, peaks.field): peaks for peaks in calibration.zones}
    outside = {field: peaks for (zone, field), peaks in known.items() if not zone}
    new = [of for of in watched if (of.zone, of.field) not in known and of.field in outside]
    whole = calibration.with_zones((*calibration.zones, *(_begun(outside[of.field], of.zone) for of in new)))
    by_field = {(of.zone, of.field): of for of in watched}

    def joined(peaks: NormalPeaks) -> NormalPeaks:
        of = by_field.get((peaks.zone, peaks.field))
        if of is None or not peaks.field:
            return peaks
        return _with(peaks, of, budgets_per_day[peaks.zone] / len(whole.peaks_of(peaks.zone)))

    return whole.with_zones(tuple(joined(peaks) for peaks in whole.zones))


def _begun(outside: NormalPeaks, zone: str) -> NormalPeaks:
    """A zone of which nothing is known yet."""
    return replace(outside, zone=zone, exposure_s=0.0, peaks=())


def _with(known: NormalPeaks, live: LivePeaks, share_per_day: float) -> NormalPeaks:
    episodes, events = ([value for value, _ in values] for values in (live.peaks, live.events))
    allowed = max(1, int(share_per_day * live.exposure_s / DAY_S))
    beyond_budget = max(episodes[allowed : allowed + 1], default=0.0)
    unpaid_event = max(events[allowed : allowed + 1], default=0.0)
    sustained = max(known.sustained, beyond_budget)
    return replace(
        known,
        peaks=tuple(sorted((*known.peaks, *episodes), reverse=True)[:MAX_PEAKS_KEPT]),
        exposure_s=known.exposure_s + live.exposure_s,
        highest=max(known.highest, *episodes[:1], 0.0),
        sustained=sustained,
        at_least=float(np.nextafter(unpaid_event, np.inf)) if unpaid_event else 0.0,
        cap=max(sustained, known.floor),
    )
