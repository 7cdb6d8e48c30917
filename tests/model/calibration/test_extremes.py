"""The tail of event peaks: against scipy's own fit, and its edges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from streamwatch.model.calibration.extremes import (
    fit_rate,
    poisson_mean_quantile,
    rate_bound_hz,
    tail_log_density,
    tail_survival,
)
from streamwatch.model.calibration.thresholds import (
    DAY_S,
    END_TO_START,
    NormalPeaks,
    calibrate,
    days_between,
    merge_zones,
    thresholds_for,
)

HOUR_S = 3600.0


def known(peaks: list[float], exposure_s: float, *, end: float = 3.0) -> NormalPeaks:
    ordered = tuple(sorted(peaks, reverse=True))
    return NormalPeaks("", end, max([*ordered, end]), exposure_s, ordered, 1.0, 30.0)


def sample(shape: float, count: int, seed: int = 0) -> list[float]:
    drawn = 4 + stats.genpareto(shape).rvs(count, random_state=seed)
    return [float(x) for x in drawn]


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.2])
def test_with_many_peaks_the_rate_is_that_of_the_maximum_likelihood_fit(shape: float) -> None:
    peaks, exposure_s = sample(shape, 600), 100 * HOUR_S
    model = fit_rate(peaks, exposure_s)
    excesses = np.array([p - model.base for p in peaks if p > model.base])
    xi, _, sigma = stats.genpareto.fit(excesses, floc=0)
    level = model.base + float(stats.genpareto.isf(0.05, xi, scale=sigma))
    expected = len(excesses) / exposure_s * 0.05
    assert model.rate_quantile(level, 0.5) == pytest.approx(expected, rel=0.2)


def test_rate_and_threshold_are_inverse_and_quantiles_ordered() -> None:
    model = fit_rate(sample(0.1, 200), 50 * HOUR_S)
    for rate_hz in (1 / HOUR_S / 2, 1 / HOUR_S / 24, 1 / HOUR_S / 24 / 7):
        threshold = model.threshold_for(rate_hz)
        low, median, high = (model.rate_quantile(threshold, p) for p in (0.025, 0.5, 0.975))
        assert median == pytest.approx(rate_hz, rel=1e-2)
        assert low < median < high


def test_a_smaller_budget_means_a_higher_threshold() -> None:
    zone = known(sample(0.0, 100), 10 * HOUR_S)
    starts = [thresholds_for(zone, budget).start for budget in (120, 24, 1, 1 / 7)]
    assert starts == sorted(starts)
    assert len(set(starts)) == len(starts)
    assert all(start > zone.end_threshold for start in starts)


def test_a_budget_that_the_footage_holds_many_times_is_counted() -> None:
    zone = known(sample(0.0, 400), 100 * HOUR_S)
    thresholds = thresholds_for(zone, 24 * 3.5)
    assert thresholds.method == "counted"
    assert sum(p >= thresholds.start for p in zone.peaks) == pytest.approx(350, abs=2)
    assert thresholds.interval_per_day[0] < 84 < thresholds.interval_per_day[1]
    assert not thresholds.provisional


def test_what_the_footage_supports_is_the_rule_of_three() -> None:
    assert rate_bound_hz(0, 1.0) == pytest.approx(3.0, rel=0.002)
    zone = known(sample(0.0, 40), 2 * HOUR_S)
    thresholds = thresholds_for(zone, 1.0)
    assert thresholds.provisional
    assert thresholds.start > zone.highest
    assert thresholds.bound_per_day == pytest.approx(3 / (2 / 24), rel=0.01)
    assert not thresholds_for(known(sample(0.0, 40), 3.1 * DAY_S), 1.0).provisional


def test_below_thirty_peaks_the_tail_is_exponential_and_below_five_there_is_none() -> None:
    few = known(sample(0.3, 20), HOUR_S)
    thresholds = thresholds_for(few, 1.0)
    assert thresholds.method == "exponential"
    base = few.peaks[-1]
    mean = float(np.mean(few.peaks[:-1])) - base
    by_hand = base + mean * np.log(19 / HOUR_S * DAY_S)
    assert thresholds.start == pytest.approx(by_hand, rel=0.1)
    four = known([5.0, 4.5, 4.2, 4.0], HOUR_S)
    assert thresholds_for(four, 1.0).start == pytest.approx(3 + 1.25 * (5 - 3))
    with pytest.raises(ValueError, match="no tail"):
        fit_rate(four.peaks, HOUR_S)


def test_normal_footage_without_any_peak_still_gives_thresholds() -> None:
    nothing = known([], 60.0)
    thresholds = thresholds_for(nothing, 1.0)
    assert thresholds.start > thresholds.end
    assert thresholds.provisional
    assert thresholds.interval_per_day[1] > 1


def test_zones_of_two_footages_merge() -> None:
    a, b = known([5.0, 4.0], 60.0), known([6.0], 120.0, end=3.5)
    (zone,) = merge_zones([calibrate([1.0, 2.0], (a,)), calibrate([1.0], (b,)), calibrate([1.0])])
    assert (zone.peaks, zone.exposure_s, zone.end_threshold, zone.highest) == ((6.0, 5.0, 4.0), 180.0, 3.5, 6.0)


@pytest.mark.parametrize("count", [5, 20, 31, 300])
def test_peaks_that_are_all_the_same_still_give_a_threshold(count: int) -> None:
    thresholds = thresholds_for(known([5.0] * count, HOUR_S), 1.0)
    assert 5.0 <= thresholds.start < 5.1
    assert np.isfinite([thresholds.expected_per_day, *thresholds.interval_per_day, thresholds.bound_per_day]).all()


def field(peaks: list[float], exposure_s: float, *, sustained: float, floor: float = 0.0, error: float = 0.0) -> NormalPeaks:
    plain = known(peaks, exposure_s)
    return replace(plain, field="motion", sustained=sustained, floor=floor, error=error)


def test_what_too_little_footage_supports_is_a_quarter_beyond_what_it_held() -> None:
    """However wild its peaks are, and whatever the budget: a tail of two minutes is no tail."""
    wild = field([60.0, 30.0, 20.0, 10.0, 5.0, 4.0], 120.0, sustained=20.0, error=2.0)
    for budget in (10.0, 1.0, 1 / 7):
        thresholds = thresholds_for(wild, budget)
        assert thresholds.provisional
        assert thresholds.start == pytest.approx(27.0)
        assert thresholds.end == pytest.approx(END_TO_START * 27.0)
        assert thresholds.interval_per_day[0] == 0.0
        assert thresholds.interval_per_day[1] >= thresholds.bound_per_day
    assert thresholds_for(field([], 120.0, sustained=1.0, floor=10.0), 1.0).start == pytest.approx(12.5)


def test_a_field_whose_footage_supports_the_budget_keeps_it_by_its_tail() -> None:
    long = field(sample(0.0, 100), 10 * HOUR_S, sustained=5.0)
    thresholds = thresholds_for(long, 24.0)
    assert not thresholds.provisional
    assert thresholds.method == "generalised Pareto"
    assert thresholds.expected_per_day == pytest.approx(24.0, rel=0.05)


def test_how_rare_a_value_is_is_said_as_far_as_the_footage_tells() -> None:
    day = field(sample(0.0, 100), DAY_S, sustained=9.0)
    values = (min(day.peaks), float(np.median(day.peaks)), max(day.peaks))
    said = [days_between(day, value) for value in values]
    assert all(days is not None for days in said)
    assert [d for d in said if d is not None] == sorted(d for d in said if d is not None)
    assert days_between(day, float(np.median(day.peaks))) == pytest.approx(1 / 50, rel=0.15)
    assert days_between(day, 100.0) is None
    assert days_between(field([5.0], 60.0, sustained=5.0), 6.0) is None


def test_formulas_of_the_tail_are_scipys() -> None:
    """Written out, because importing scipy.stats takes each of our commands half a second."""
    x, xi = np.linspace(0.0, 12.0, 200)[:, None], np.array([-0.6, -0.25, -1e-9, 0.0, 1e-9, 0.1, 0.6])
    np.testing.assert_allclose(tail_survival(x, xi), stats.genpareto.sf(x, xi), rtol=1e-9)
    np.testing.assert_allclose(tail_log_density(x, xi), stats.genpareto.logpdf(x, xi), rtol=1e-9, atol=1e-12)
    for count in (0, 1, 7, 1000):
        for probability in (0.025, 0.5, 0.95):
            expected = stats.chi2.ppf(probability, 2 * (count + 1)) / 2
            assert poisson_mean_quantile(probability, count + 1) == pytest.approx(expected, rel=1e-9)
            expected = stats.gamma(count + 0.5).ppf(probability)
            assert poisson_mean_quantile(probability, count + 0.5) == pytest.approx(expected, rel=1e-9)
