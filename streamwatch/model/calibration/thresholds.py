"""From normal footage to thresholds: what a model remembers of it, and the threshold that keeps a false-alarm budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from streamwatch.model.calibration.extremes import INTERVAL, MARGIN, MIN_FOR_TAIL, RateModel, fit_rate, rate_bound_hz

START_QUANTILE = 0.999
END_QUANTILE = 0.99
"""The end threshold: below it are 99 % of the normal frames. At 97 % more event peaks would tell of the tail, but ordinary
life after an event would hold it open: the demo's van and its runner 7 s later became one event."""
END_TO_START = 0.95
DAY_S = 86_400.0
MAX_PEAKS_KEPT = 1000
BUDGETS_TO_SUPPORT = 3.0
"""Footage of T days supports a budget b if b T >= 3: without an alarm in it, the rate is below 3 / T (rule of three)."""


@dataclass(frozen=True, slots=True)
class NormalPeaks:
    """What normal footage showed of one zone, after the temporal filter and the state machine's rules.

    Attributes:
        zone: its name; empty for the picture outside of all zones.
        end_threshold: the level that events were cut at.
        highest: the highest level of all.
        exposure_s: seconds of footage.
        peaks: event peaks, descending, at most the 1,000 highest.
        min_duration_s, closing_s: the rules that they were taken with.
    """

    zone: str
    end_threshold: float
    highest: float
    exposure_s: float
    peaks: tuple[float, ...]
    min_duration_s: float
    closing_s: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds of the level by held-out quantiles, and what the footage showed zone by zone.

    Attributes:
        start_threshold, end_threshold: where no zone's peaks are known; end is always lower.
        frames: number of normal frames scored by a model that had not seen them.
        method: how the two were derived.
        tail: the highest of those frames' levels, ascending.
        zones: event peaks by zone; empty for a model that was learned without them.
        calm_spread: the low of the spread (``records.Spread``) that 99.9 % of normal frames stay below; None if unknown.
        usual_spread: its median over normal frames.
    """

    start_threshold: float
    end_threshold: float
    frames: int
    method: str
    tail: tuple[float, ...]
    zones: tuple[NormalPeaks, ...] = ()
    calm_spread: float | None = None
    usual_spread: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.end_threshold < self.start_threshold:
            raise ValueError(f"thresholds must satisfy 0 < end < start: {self.end_threshold}, {self.start_threshold}")

    def peaks_of(self, zone: str) -> NormalPeaks | None:
        """What is known of a zone."""
        return next((peaks for peaks in self.zones if peaks.zone == zone), None)

    def with_zones(self, zones: tuple[NormalPeaks, ...]) -> Calibration:
        """The same with other zones."""
        return replace(self, zones=zones)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The thresholds that keep a budget, and how sure that is; rates are false alarms per day.

    Attributes:
        expected_per_day: median of what is believed of the rate at ``start``.
        interval_per_day: 95 % interval of it.
        bound_per_day: what the footage supports without any model of the tail (upper 95 %).
        provisional: the footage is too short for the budget: ``start`` is extrapolated.
    """

    start: float
    end: float
    budget_per_day: float
    expected_per_day: float
    interval_per_day: tuple[float, float]
    bound_per_day: float
    method: str
    provisional: bool


def end_threshold_of(levels: Sequence[float]) -> float:
    """The end threshold that normal levels give.

    Raises:
        ValueError: no levels.
    """
    if not len(levels):
        raise ValueError("no normal levels to calibrate on")
    return max(float(np.quantile(levels, END_QUANTILE)), 1e-6)


def calibrate(levels: Sequence[float], zones: tuple[NormalPeaks, ...] = (), lows: Sequence[float] = ()) -> Calibration:
    """Thresholds from levels of normal frames that the model had not seen.

    start is their 99.9 % quantile, end their 99 % quantile, at most 95 % of start. Below 1,000 levels the first is close
    to their maximum.

    Raises:
        ValueError: no levels.
    """
    end = end_threshold_of(levels)
    start = max(float(np.quantile(levels, START_QUANTILE)), end / END_TO_START)
    tail = tuple(sorted(float(s) for s in levels)[-MAX_PEAKS_KEPT:])
    usual, calm = (float(q) for q in np.quantile(lows, (0.5, START_QUANTILE))) if len(lows) else (0.0, 0.0)
    method = f"quantile {START_QUANTILE} of held-out normal levels"
    return Calibration(start, end, len(levels), method, tail, zones, calm or None, usual or None)


def merged(calibrations: Sequence[Calibration]) -> Calibration:
    """Two footages' calibration as one; see ``merge_zones`` for why its thresholds are safe.

    Raises:
        ValueError: no calibrations.
    """
    whole = calibrate([level for c in calibrations for level in c.tail], merge_zones(calibrations))
    calm = [c.calm_spread for c in calibrations if c.calm_spread is not None]
    usual = [c.usual_spread for c in calibrations if c.usual_spread is not None]
    return replace(whole, calm_spread=max(calm, default=None), usual_spread=float(np.mean(usual)) if usual else None)


def merge_zones(calibrations: Sequence[Calibration]) -> tuple[NormalPeaks, ...]:
    """What two footages showed, zone by zone; a zone that only one of them knows is as that one knows it.

    Each model's peaks were scored by that model; the merged one saw more and scores lower, so the thresholds are safe.
    """
    names = dict.fromkeys(zone.zone for calibration in calibrations for zone in calibration.zones)
    return tuple(_merged([z for c in calibrations if (z := c.peaks_of(name))]) for name in names)


def _merged(known: Sequence[NormalPeaks]) -> NormalPeaks:
    longest = max(known, key=lambda zone: zone.exposure_s)
    peaks = sorted((peak for zone in known for peak in zone.peaks), reverse=True)
    return replace(
        longest,
        highest=max(zone.highest for zone in known),
        exposure_s=sum(zone.exposure_s for zone in known),
        peaks=tuple(peaks[:MAX_PEAKS_KEPT]),
    )


def end_threshold_for(start_threshold: float, calibration: Calibration | None) -> float:
    """The end threshold that goes with a start threshold given by hand: in the calibration's proportion."""
    ratio = calibration.end_threshold / calibration.start_threshold if calibration else END_TO_START
    return ratio * start_threshold


def thresholds_for(known: NormalPeaks, budget_per_day: float) -> Thresholds:
    """The lowest start threshold whose expected rate of false alarms keeps the budget.

    Where the footage is long enough to hold the budget's alarms many times over, they are counted; beyond it the tail of
    the event peaks is extrapolated (``extremes``); with fewer than 5 peaks there is no tail, and the threshold is beyond the
    highest level by a quarter of what that is beyond the end threshold.
    """
    floor = known.end_threshold / END_TO_START
    rate_hz = budget_per_day / DAY_S
    if len(known.peaks) < MIN_FOR_TAIL:
        start = max(floor, known.end_threshold + MARGIN * (known.highest - known.end_threshold))
        return _stated(known, budget_per_day, start, None, "highest level with a margin")
    model = fit_rate(known.peaks, known.exposure_s)
    allowed = rate_hz * known.exposure_s
    if allowed >= model.count:
        start = max(floor, known.peaks[min(int(allowed), len(known.peaks) - 1)])
        return _stated(known, budget_per_day, start, None, "counted")
    start = max(floor, model.threshold_for(rate_hz))
    return _stated(known, budget_per_day, start, model, model.method)


def rates_at(known: NormalPeaks, start: float, model: RateModel | None) -> tuple[float, tuple[float, float]]:
    """Median and 95 % interval of the false alarms per day at a start threshold."""
    low, high = INTERVAL
    if model is not None and start >= model.base:
        below, median, above = (DAY_S * model.rate_quantile(start, p) for p in (low, 0.5, high))
        return median, (below, above)
    seen = sum(peak >= start for peak in known.peaks)
    posterior = stats.gamma(seen + 0.5, scale=DAY_S / max(known.exposure_s, 1e-9))
    return float(posterior.median()), (float(posterior.ppf(low)), float(posterior.ppf(high)))


def _stated(known: NormalPeaks, budget_per_day: float, start: float, model: RateModel | None, method: str) -> Thresholds:
    expected, interval = rates_at(known, start, model)
    seen = sum(peak >= start for peak in known.peaks)
    bound = DAY_S * rate_bound_hz(seen, max(known.exposure_s, 1e-9))
    provisional = known.exposure_s / DAY_S * budget_per_day < BUDGETS_TO_SUPPORT
    return Thresholds(start, known.end_threshold, budget_per_day, expected, interval, bound, method, provisional)
