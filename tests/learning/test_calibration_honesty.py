"""Does the promised false-alarm rate come true? On score streams whose true rate is known, autocorrelated like real ones.

A stream is an Ornstein-Uhlenbeck process (2 s) through the detector's own causal filter (0.3 s), five samples a second,
its values mapped to a known tail. The true rate of alarms at a threshold is counted on 1,000 hours more of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy import signal, stats

from streamwatch.events.peaks import alarms
from streamwatch.learning.derive_calibration import calibration_of
from streamwatch.model.calibration.thresholds import END_QUANTILE, Calibration, Thresholds, thresholds_for
from streamwatch.model.scoring.temporal import TIME_CONSTANT_S
from streamwatch.records import ScoreStream
from streamwatch.scenes.calibration_policy import CalibrationPolicy

pytestmark = pytest.mark.slow(75)

RATE_HZ, MEMORY_S = 5.0, 2.0
TERMS = CalibrationPolicy()
TRUTH_HOURS, FOOTAGE_HOURS, TRIALS, INSIDE_AT_LEAST = 1000, 8.0, 100, 90
PER_HOUR, PER_DAY = 24.0, 1.0
TAILS = {
    "exponential": stats.expon(loc=1, scale=2),
    "heavy (xi = 0.2)": stats.genpareto(0.2, loc=1),
    "bounded (xi = -0.2)": stats.genpareto(-0.2, loc=1),
}
Values = npt.NDArray[np.float64]


def process(hours: float, seed: int) -> Values:
    """A Gaussian process of variance 1."""
    noise = np.random.default_rng(seed).standard_normal(int(hours * 3600 * RATE_HZ))
    keep, share = np.exp(-1 / RATE_HZ / MEMORY_S), 1 - np.exp(-1 / RATE_HZ / TIME_CONSTANT_S)
    raw = signal.lfilter([np.sqrt(1 - keep**2)], [1, -keep], noise)
    return np.asarray(signal.lfilter([share], [1, share - 1], raw)) / _deviation(keep, share)


def _deviation(keep: float, share: float) -> float:
    """Standard deviation of the filtered process: two poles in series."""
    b = 1 - share
    return float(np.sqrt(share**2 * (1 + keep * b) / ((1 - b**2) * (1 - keep * b))))


def stream_of(values: Values) -> ScoreStream:
    return ScoreStream(np.arange(len(values)) / RATE_HZ, values)


@dataclass(frozen=True)
class Truth:
    """Rate of alarms per day against the start threshold, both of the Gaussian process."""

    starts: Values
    per_day: Values

    def at(self, start: float) -> float:
        seen = self.per_day > 0
        x, log_rate = self.starts[seen], np.log(self.per_day[seen])
        if start <= x[-1]:
            return float(np.exp(np.interp(start, x, log_rate)))
        return float(np.exp(np.polyval(np.polyfit(x[-4:], log_rate[-4:], 2), min(start, 8.0))))


@pytest.fixture(scope="module")
def truth() -> Truth:
    end = float(stats.norm.ppf(END_QUANTILE))
    starts = np.linspace(2.6, 4.8, 12)
    counts = np.zeros(len(starts))
    for part in range(4):
        stream = stream_of(process(TRUTH_HOURS / 4, 10_000 + part))
        counts += [len(alarms(stream, replace(TERMS.event_policy(end), start_threshold=start))) for start in starts.tolist()]
    return Truth(starts, counts * 24 / TRUTH_HOURS)


def calibrated(values: Values) -> Calibration:
    calibration = calibration_of({"": [stream_of(values)]}, TERMS)
    assert calibration
    return calibration


@pytest.mark.parametrize("tail", TAILS)
def test_the_true_rate_lies_in_the_stated_interval(truth: Truth, tail: str) -> None:
    """In at least 90 of 100 trials of 8 hours, at 1/hour and at 1/day."""
    law = TAILS[tail]

    def true_rate(thresholds: Thresholds) -> float:
        return truth.at(float(stats.norm.ppf(law.cdf(thresholds.start))))

    inside = {PER_HOUR: 0, PER_DAY: 0}
    ratios: dict[float, list[float]] = {PER_HOUR: [], PER_DAY: []}
    for trial in range(TRIALS):
        values = law.ppf(stats.norm.cdf(process(FOOTAGE_HOURS, trial)))
        (zone,) = calibrated(values).zones
        for budget in inside:
            thresholds = thresholds_for(zone, budget)
            low, high = thresholds.interval_per_day
            rate = true_rate(thresholds)
            inside[budget] += low <= rate <= high
            ratios[budget].append(rate / budget)
    for budget, name in ((PER_HOUR, "1/hour"), (PER_DAY, "1/day")):
        quarters = np.quantile(ratios[budget], (0.05, 0.5, 0.95)).round(2)
        print(f"\n{tail}, {name}: true rate inside in {inside[budget]} of {TRIALS}; true / budget {quarters}")
    assert min(inside.values()) >= INSIDE_AT_LEAST
    assert 0.5 <= np.median(ratios[PER_HOUR]) <= 2.0
