"""Histogram figures against scikit-learn and against brute force over all thresholds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label
from sklearn.metrics import roc_auc_score, roc_curve

from streamwatch.evaluation.curves import BINS, PixelHistograms, area_up_to, bins_of

AUROC_TOLERANCE = 1e-4
PRO_TOLERANCE = 1e-3


def frames(seed: int, count: int = 6, strength: float = 1.0) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        mask = np.zeros((40, 60), dtype=bool)
        if number % 3:
            mask[5:12, 8:30] = True
            mask[20 : 24 + number, 40:52] = True
        heat = rng.gamma(4, 2, mask.shape) + strength * mask * rng.gamma(2, 3, mask.shape)
        made.append((heat.astype(np.float32), mask))
    return made


def histograms(data: list[tuple[np.ndarray, np.ndarray]]) -> PixelHistograms:
    counts = PixelHistograms()
    for heat, mask in data:
        counts.add(heat, mask)
    return counts


@pytest.mark.parametrize("strength", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_pixel_auroc_equals_scikit_learn(strength: float, scale: float) -> None:
    data = [((heat * scale).astype(np.float32), mask) for heat, mask in frames(1, strength=strength)]
    counts = histograms(data)
    heat, mask = (np.concatenate([pair[i].ravel() for pair in data]) for i in (0, 1))
    exact = roc_auc_score(mask, heat)
    actual = counts.auroc()
    assert actual is not None
    assert abs(actual - exact) <= min(AUROC_TOLERANCE, counts.auroc_error_bound() + 1e-12)


def brute_force_pro(data: list[tuple[np.ndarray, np.ndarray]], limit: float) -> float:
    """Every distinct value is a threshold; every component is looked at again at each."""
    values = np.unique(np.concatenate([heat.ravel() for heat, _ in data]))[::-1]
    negatives = np.concatenate([heat[~mask] for heat, mask in data])
    components = []
    for heat, mask in data:
        labels, count = label(mask, structure=np.ones((3, 3)))
        components += [heat[labels == i + 1] for i in range(count)]
    fpr = [0.0] + [float((negatives >= v).mean()) for v in values]
    coverage = [0.0] + [float(np.mean([(c >= v).mean() for c in components])) for v in values]
    return area_up_to(np.array(fpr), np.array(coverage), limit) / limit


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
def test_pro_equals_brute_force(limit: float) -> None:
    data = frames(2, count=3)
    actual = histograms(data).pro(limit)
    assert actual is not None
    assert abs(actual - brute_force_pro(data, limit)) <= PRO_TOLERANCE


def test_small_components_count_as_much_as_large_ones() -> None:
    mask = np.zeros((50, 50), dtype=bool)
    mask[0:20, 0:20], mask[40, 40] = True, True
    heat = np.ones(mask.shape, np.float32)
    heat[:20, :20] = 9  # the large one is found perfectly, the pixel is as good as normal
    pro = histograms([(heat, mask)]).pro()
    assert pro == pytest.approx(0.5 + 0.5 * 0.15, abs=0.01)


def test_the_roc_curve_is_scikit_learns() -> None:
    data = frames(3)
    fpr, tpr = histograms(data).roc()
    heat, mask = (np.concatenate([pair[i].ravel() for pair in data]) for i in (0, 1))
    expected_fpr, expected_tpr, _ = roc_curve(mask, heat)
    at = np.linspace(0, 1, 50)
    np.testing.assert_allclose(np.interp(at, fpr, tpr), np.interp(at, expected_fpr, expected_tpr), atol=2e-3)


def test_merging_equals_counting_together() -> None:
    data = frames(4)
    whole, left, right = histograms(data), histograms(data[:2]), histograms(data[2:])
    left.merge(right)
    assert left.auroc() == whole.auroc()
    assert left.pro() == pytest.approx(whole.pro())


def test_undefined_is_none() -> None:
    nothing, normal = PixelHistograms(), histograms([(np.ones((4, 4), np.float32), np.zeros((4, 4), bool))])
    assert [nothing.auroc(), nothing.pro(), normal.auroc(), normal.pro()] == [None] * 4


def test_bins_grow_with_the_value_and_are_narrow() -> None:
    values = np.sort(np.random.default_rng(0).lognormal(2, 3, 10_000)).astype(np.float32)
    bins = bins_of(values).astype(np.int64)
    assert (np.diff(bins) >= 0).all()
    assert bins.max() < BINS
    together = np.diff(bins) == 0
    assert (np.diff(values)[together] <= values[:-1][together] * 2**-11).all()
    assert bins_of(np.array([-3.0], np.float32))[0] == 0
