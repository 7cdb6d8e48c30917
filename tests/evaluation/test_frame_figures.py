"""Frame figures against scikit-learn, and what each protocol may see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d
from sklearn.metrics import average_precision_score, roc_auc_score

from streamwatch.evaluation.frame_figures import (
    ClipScores,
    auroc,
    average_precision,
    causal,
    equal_error_rate,
    frame_figures,
    gaussian_smooth,
    literature,
)


def clip(scores: list[float], labels: list[int], name: str = "c", threshold: float = 2.0) -> ClipScores:
    values = np.array(scores, float)
    return ClipScores(name, values, values, np.array(labels, bool), np.arange(len(scores)) / 10, threshold)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=2, max_size=80))
def test_auroc_and_ap_equal_scikit_learn_with_ties(frames: list[tuple[int, bool]]) -> None:
    scores, labels = np.array([s for s, _ in frames], float), np.array([a for _, a in frames])
    if labels.any() and not labels.all():
        assert auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))
    else:
        assert auroc(scores, labels) is None
    if labels.any():
        assert average_precision(scores, labels) == pytest.approx(average_precision_score(labels, scores))


def test_equal_error_rate_by_hand() -> None:
    assert equal_error_rate(np.array([1.0, 2, 3, 4]), np.array([False, False, True, True])) == pytest.approx(0)
    assert equal_error_rate(np.array([1.0, 3, 2, 4]), np.array([False, False, True, True])) == pytest.approx(0.5)
    assert equal_error_rate(np.array([1.0, 2]), np.array([False, False])) is None


def test_two_gaussians_have_the_eer_of_theory() -> None:
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(0, 1, 50_000), rng.normal(2, 1, 50_000)])
    eer = equal_error_rate(scores, np.arange(100_000) >= 50_000)
    assert eer == pytest.approx(0.1587, abs=0.005)  # Phi(-1)


def test_micro_pools_and_macro_averages_the_clips_that_have_both_kinds() -> None:
    easy, hard = clip([1, 2, 3, 4], [0, 0, 1, 1]), clip([14, 13, 12, 11], [0, 0, 1, 1])
    only_normal = clip([99, 99], [0, 0])
    figures = frame_figures([easy, hard, only_normal])
    assert figures.auroc_macro == pytest.approx(0.5)
    pooled = np.concatenate([c.scores for c in (easy, hard, only_normal)])
    labels = np.concatenate([c.labels for c in (easy, hard, only_normal)])
    assert figures.auroc_micro == pytest.approx(roc_auc_score(labels, pooled))


def test_causal_is_the_daemons_level_in_units_of_its_threshold() -> None:
    base = clip([1, 2, 3], [0, 0, 1])
    filtered = replace(base, levels=np.array([1.0, 1.5, 2.5]))
    assert causal(filtered).scores.tolist() == [0.5, 0.75, 1.25]


def test_literature_is_per_clip_and_two_sided() -> None:
    changed = literature(clip([1, 1, 1, 9, 1, 1, 1], [0] * 7))
    assert changed.scores[2] > changed.scores[0]
    assert (changed.scores.min(), changed.scores.max()) == (0, 1)


def test_smoothing_equals_scipy() -> None:
    values = np.random.default_rng(0).normal(size=200)
    np.testing.assert_allclose(gaussian_smooth(values, 3.0), gaussian_filter1d(values, 3.0, mode="nearest"), atol=1e-12)


def test_no_clips_and_wrong_lengths() -> None:
    assert frame_figures([]).auroc_micro is None
    with pytest.raises(ValueError, match="differ in length"):
        replace(clip([1, 2, 3], [0, 0, 1]), labels=np.zeros(2, bool))
