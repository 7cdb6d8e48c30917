"""Tails: exact where counted, exponential beyond, and merged as if counted together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwatch.model.scoring.tails import KNOTS, Tail, fit_tail, merge_tails

LEVEL_TOLERANCE = 0.05


def test_levels_are_minus_log10_of_the_exceedance() -> None:
    sample = np.random.default_rng(0).exponential(2.0, 2_000_000)
    tail = fit_tail(sample)
    at = np.array([0.5, 2.0, 8.0, 13.0, 20.0, 40.0], np.float32)
    np.testing.assert_allclose(tail.level(at), at / (2.0 * np.log(10)), atol=LEVEL_TOLERANCE, rtol=0.02)


def test_beyond_the_counted_part_it_is_exponential() -> None:
    tail = fit_tail(np.random.default_rng(1).gamma(3, 1, 100_000))
    far = np.array([tail.knots[-1] + k * tail.scale * np.log(10) for k in (0, 1, 5)], np.float32)
    np.testing.assert_allclose(tail.level(far), [3, 4, 8], atol=1e-3)


@settings(max_examples=60)
@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=300), st.lists(st.floats(0, 2e4), min_size=2, max_size=50))
def test_it_grows_with_the_value_and_is_finite(sample: list[float], at: list[float]) -> None:
    levels = fit_tail(np.array(sample)).level(np.sort(np.array(at, np.float32)))
    assert np.isfinite(levels).all()
    assert (np.diff(levels) >= 0).all()
    assert (levels >= 0).all()


def test_merged_tails_equal_counting_together() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.gamma(4, 1, 400_000), rng.gamma(6, 1, 100_000)
    whole, merged = fit_tail(np.concatenate([a, b])), merge_tails([fit_tail(a), fit_tail(b)])
    at = np.linspace(0, 16, 60).astype(np.float32)
    np.testing.assert_allclose(merged.level(at), whole.level(at), atol=LEVEL_TOLERANCE)
    assert merged.count == whole.count


def test_a_tail_checks_itself() -> None:
    with pytest.raises(ValueError, match="knots"):
        Tail(np.zeros(3), 1.0, 1)
    with pytest.raises(ValueError, match="positive scale"):
        Tail(np.zeros(KNOTS), 0.0, 1)
