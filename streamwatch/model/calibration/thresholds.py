"""From normal footage to thresholds: what a model remembers of it, and the threshold that keeps a false-alarm budget.

Why each field has its own, and why of what is held: docs/decisions/0018-each-field-by-itself.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from streamwatch.model.calibration.extremes import (
    INTERVAL,
    MARGIN,
    MIN_FOR_TAIL,
    RateModel,
    fit_rate,
    poisson_mean_quantile,
    rate_bound_hz,
)

START_QUANTILE = 0.999
END_QUANTILE = 0.99
"""The end threshold: below it are 99 % of the normal frames. At 97 % more event peaks would tell of the tail, but ordinary
life after an event would hold it open: the demo's van and what came 7 s later became one event."""
END_TO_START = 0.95
"""End threshold over start threshold. An event opens where a value crosses the start threshold and *holds* above the end
threshold for min_duration, so that the two must be near: at 0.8, a spike of 1.25 times what is normally held would make an
event of normal life after it."""
DAY_S = 86_400.0
MAX_PEAKS_KEPT = 1000
TOLD_UP_TO = 10.0
"""Lengths of the footage up to which a rarity is said in days."""
BUDGETS_TO_SUPPORT = 3.0
"""Footage of T days supports a budget b if b T >= 3: without an alarm in it, the rate is below 3 / T (rule of three)."""


@dataclass(frozen=True, slots=True)
class NormalPeaks:
    """What normal footage showed of one zone, after the temporal filter and the state machine's rules.

    Attributes:
        zone: its name; empty for the picture outside of all zones.
        end_threshold: what 99 % of the frames stay below; models whose fields are judged together cut events there.
        highest: the highest value of any frame.
        exposure_s: seconds of footage.
        peaks: event peaks, descending, at most the 1,000 highest.
        min_duration_s, closing_s: the rules that they were taken with.
        field: what was measured; empty for the level of a model whose fields are judged together.
        sustained: the highest value that was held for ``min_duration``.
        floor: what the field may read where nothing is; ``sustained`` counts as at least that.
        error: what a reading may be wrong by.
        at_least: no start threshold is below it, whatever is modelled; see ``live_footage``.
        cap: of higher peaks only the number counts when the tail is modelled; None caps none.
    """

    zone: str
    end_threshold: float
    highest: float
    exposure_s: float
    peaks: tuple[float, ...]
    min_duration_s: float
    closing_s: float
    field: str = ""
    sustained: float = 0.0
    floor: float = 0.0
    error: float = 0.0
    at_least: float = 0.0
    cap: float | None = None

    @property
    def beyond_normal(self) -> float:
        """A quarter more than normal footage ever held, and what a reading may be wrong by: plainly out."""
        return MARGIN * max(self.sustained, self.floor) + self.error


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds of the level by held-out quantiles, and what the footage showed zone by zone.

    Attributes:
        start_threshold, end_threshold: where no zone's peaks are known; end is always lower.
        frames: number of normal frames scored by a model that had not seen them.
        method: how the two were derived.
        tail: the highest of those frames' levels, ascending.
        zones: event peaks by zone and field; empty for a model that was learned without them.
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

    def peaks_of(self, zone: str) -> tuple[NormalPeaks, ...]:
        """What is known of a zone, field by field."""
        return tuple(peaks for peaks in self.zones if peaks.zone == zone)

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
        provisional: the footage is too short for the budget: ``start`` is what it does support.
        needed_s: seconds of footage that the budget needs.
    """

    start: float
    end: float
    budget_per_day: float
    expected_per_day: float
    interval_per_day: tuple[float, float]
    bound_per_day: float
    method: str
    provisional: bool
    needed_s: float


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
    tail = tuple(np.sort(np.asarray(levels, dtype=np.float64))[-MAX_PEAKS_KEPT:].tolist())
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
    known = [zone for calibration in calibrations for zone in calibration.zones]
    names = dict.fromkeys((zone.zone, zone.field) for zone in known)
    return tuple(_merged([zone for zone in known if (zone.zone, zone.field) == name]) for name in names)


def _merged(known: Sequence[NormalPeaks]) -> NormalPeaks:
    longest = max(known, key=lambda zone: zone.exposure_s)
    peaks = sorted((peak for zone in known for peak in zone.peaks), reverse=True)
    return replace(
        longest,
        highest=max(zone.highest for zone in known),
        sustained=max(zone.sustained for zone in known),
        exposure_s=sum(zone.exposure_s for zone in known),
        peaks=tuple(peaks[:MAX_PEAKS_KEPT]),
    )


def end_threshold_for(start_threshold: float, calibration: Calibration | None) -> float:
    """The end threshold that goes with a start threshold given by hand: in the calibration's proportion."""
    ratio = calibration.end_threshold / calibration.start_threshold if calibration else END_TO_START
    return ratio * start_threshold


def thresholds_for(known: NormalPeaks, budget_per_day: float, fields: int = 1) -> Thresholds:
    """The start threshold that keeps a budget, or the one that the footage supports, where that is less.

    Where the footage holds the budget's alarms many times over, they are counted; beyond it the tail of the event peaks is
    extrapolated (``extremes``). Where it is too short for the budget, or holds fewer than 5 peaks, the threshold is
    ``NormalPeaks.beyond_normal``: an extrapolation over decades of days says more about the tail's model than about the
    scene, and has no upper end.

    Args:
        budget_per_day: of the field.
        fields: how many share their zone's budget in equal parts: the footage supports a field's part if it supports the
            whole, because it shows all fields at once (no alarm of any in 3/b days: fewer than b a day of all together).
    """
    if not known.field:
        return _thresholds_together(known, budget_per_day)
    supported = _supports(known, budget_per_day * fields)
    enough = supported and len(known.peaks) >= MIN_FOR_TAIL
    lowest = max(known.floor, known.at_least, 1e-6)
    stated = _from_peaks(known, budget_per_day, lowest) if enough else _beyond_normal(known, budget_per_day)
    return replace(stated, provisional=not supported, needed_s=stated.needed_s / fields)


def _thresholds_together(known: NormalPeaks, budget_per_day: float) -> Thresholds:
    """Of a model whose fields are judged together, always extrapolated, as it was when such models were learned."""
    floor = known.end_threshold / END_TO_START
    if len(known.peaks) < MIN_FOR_TAIL:
        start = max(floor, known.end_threshold + MARGIN * (known.highest - known.end_threshold))
        return _stated(known, budget_per_day, start, None, "highest level with a margin")
    return _from_peaks(known, budget_per_day, floor)


def _from_peaks(known: NormalPeaks, budget_per_day: float, floor: float) -> Thresholds:
    """The lowest threshold from ``floor`` on whose expected rate of false alarms keeps the budget."""
    model = _tail_of(known)
    allowed = budget_per_day / DAY_S * known.exposure_s
    if allowed >= model.count:
        start = max(floor, known.peaks[min(int(allowed), len(known.peaks) - 1)])
        return _stated(known, budget_per_day, start, None, "counted")
    start = max(floor, model.threshold_for(budget_per_day / DAY_S))
    return _stated(known, budget_per_day, start, model, model.method)


def _beyond_normal(known: NormalPeaks, budget_per_day: float) -> Thresholds:
    """What little footage supports. Its rate has no lower bound: nothing of the footage was ever so high."""
    start = max(known.beyond_normal, known.at_least)
    stated = _stated(known, budget_per_day, start, None, "a quarter beyond all that normal footage held")
    return replace(stated, interval_per_day=(0.0, max(stated.interval_per_day[1], stated.bound_per_day)))


def _supports(known: NormalPeaks, budget_per_day: float) -> bool:
    return known.exposure_s / DAY_S * budget_per_day >= BUDGETS_TO_SUPPORT


def rates_at(known: NormalPeaks, start: float, model: RateModel | None) -> tuple[float, tuple[float, float]]:
    """Median and 95 % interval of the false alarms per day at a start threshold."""
    low, high = INTERVAL
    if model is not None and start >= model.base:
        # beyond the base the tail is modelled, below it peaks are counted
        below, median, above = (DAY_S * model.rate_quantile(start, p) for p in (low, 0.5, high))
        return median, (below, above)
    seen = sum(peak >= start for peak in known.peaks)
    below, median, above = (
        DAY_S / max(known.exposure_s, 1e-9) * poisson_mean_quantile(p, seen + 0.5) for p in (low, 0.5, high)
    )
    return median, (below, above)


def days_between(known: NormalPeaks, value: float) -> float | None:
    """How many days pass, on average, until normal footage holds a value again that is as high.

    None where the footage does not tell: beyond its highest peak without a tail, and beyond ten times its length, where the
    answer would be the tail's model's and not the scene's.
    """
    model = _rate_model_of(known)
    if model is None and value > max(known.peaks, default=0.0):
        return None
    days = 1.0 / max(rates_at(known, value, model)[0], 1e-300)
    return days if days * DAY_S <= TOLD_UP_TO * known.exposure_s else None


@lru_cache(maxsize=256)
def _rate_model_of(known: NormalPeaks) -> RateModel | None:
    return _tail_of(known) if len(known.peaks) >= MIN_FOR_TAIL else None


def _tail_of(known: NormalPeaks) -> RateModel:
    cap = float("inf") if known.cap is None else known.cap
    return fit_rate([min(peak, cap) for peak in known.peaks], known.exposure_s)


def _stated(known: NormalPeaks, budget_per_day: float, start: float, model: RateModel | None, method: str) -> Thresholds:
    expected, interval = rates_at(known, start, model)
    seen = sum(peak >= start for peak in known.peaks)
    bound = DAY_S * rate_bound_hz(seen, max(known.exposure_s, 1e-9))
    provisional = not _supports(known, budget_per_day)
    end = END_TO_START * start if known.field else known.end_threshold
    needed_s = BUDGETS_TO_SUPPORT / budget_per_day * DAY_S
    return Thresholds(start, end, budget_per_day, expected, interval, bound, method, provisional, needed_s)
