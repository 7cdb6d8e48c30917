"""What a camera held while it was watched, added to what its normal footage held (docs/decisions/0019)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from streamwatch.model.calibration.thresholds import DAY_S, MAX_PEAKS_KEPT, Calibration, NormalPeaks
from streamwatch.records import LivePeaks

MIN_WINDOW_DAYS = 7.0
"""A week has all kinds of days."""
WINDOW_BUDGETS = 10.0
"""As many false alarms as the budget allows in the window, which counts them to a third: 1 / sqrt(10)."""
MAX_LIVE_PEAKS = 400
"""Twice of what a tail is fitted to (``extremes.MAX_PEAKS``), because some may turn out to be anomalies."""
Span = tuple[float, float]
"""Unix times of a beginning and an end."""


def window_days(budget_per_day: float) -> float:
    """For how long what was watched says something of now."""
    return max(MIN_WINDOW_DAYS, WINDOW_BUDGETS / budget_per_day)


def extended(live: LivePeaks, peaks: Iterable[tuple[float, float]], exposure: Mapping[int, float]) -> LivePeaks:
    """The same with more peaks, (value, Unix time), and more seconds by day; the highest are kept."""
    days = dict(live.exposure)
    for day, seconds in exposure.items():
        days[day] = days.get(day, 0.0) + seconds
    kept = sorted((*live.peaks, *peaks), reverse=True)[:MAX_LIVE_PEAKS]
    return replace(live, peaks=tuple(kept), exposure=tuple(sorted(days.items())))


def since(live: LivePeaks, at_wall_s: float) -> LivePeaks:
    """What is not older than a Unix time, by whole days."""
    first_day = int(at_wall_s // DAY_S)
    return replace(
        live,
        peaks=tuple(peak for peak in live.peaks if peak[1] >= first_day * DAY_S),
        exposure=tuple((day, seconds) for day, seconds in live.exposure if day >= first_day),
    )


def without(live: LivePeaks, spans: Sequence[Span], *, watched: bool) -> LivePeaks:
    """Without the peaks of these spans, and unless that was ``watched`` all the same, without their time."""
    kept = tuple(peak for peak in live.peaks if not any(first <= peak[1] <= last for first, last in spans))
    days = dict(live.exposure)
    for first, last in () if watched else spans:
        day = int(first // DAY_S)
        if day in days:
            days[day] = max(days[day] - (last - first), 0.0)
    return replace(live, peaks=kept, exposure=tuple(sorted(days.items())))


def with_live(calibration: Calibration, live: Iterable[LivePeaks], budgets_per_day: Mapping[str, float]) -> Calibration:
    """A calibration that knows what its camera held since; of zones and fields that it knows itself.

    Of what was watched nobody said that it is normal. So as many peaks as the budget allows in that time, and one at least,
    say nothing of what is: a camera's first event must not make it deaf to the next one like it. Their number counts, and of
    what was watched itself no more may reach the threshold than the budget allows, whatever a model of the tail would expect.

    Args:
        budgets_per_day: of each zone.
    """
    watched = {(of.zone, of.field): of for of in live}
    zones = tuple(
        _with(known, watched.get((known.zone, known.field)), calibration, budgets_per_day) for known in calibration.zones
    )
    return calibration.with_zones(zones)


def _with(
    known: NormalPeaks, live: LivePeaks | None, calibration: Calibration, budgets_per_day: Mapping[str, float]
) -> NormalPeaks:
    if live is None or not known.field or known.zone not in budgets_per_day:
        return known
    values = [value for value, _ in live.peaks]
    share_per_day = budgets_per_day[known.zone] / len(calibration.peaks_of(known.zone))
    allowed = max(1, int(share_per_day * live.exposure_s / DAY_S))
    beyond_budget = max(values[allowed : allowed + 1], default=0.0)
    return replace(
        known,
        peaks=tuple(sorted((*known.peaks, *values), reverse=True)[:MAX_PEAKS_KEPT]),
        exposure_s=known.exposure_s + live.exposure_s,
        highest=max(known.highest, *values[:1], 0.0),
        sustained=max(known.sustained, beyond_budget),
        at_least=float(np.nextafter(beyond_budget, np.inf)),
    )
