"""One-pass moments against NumPy in float64, for any split and any order of merging."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwatch.errors import ModelMismatch, NotEnoughFrames
from streamwatch.model.normality.moments import Moments, chunks

RELATIVE_TOLERANCE = 1e-4
MERGE_RELATIVE_TOLERANCE = 1e-5


def sample(frames: int, seed: int, offset: float = 0.0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(3, 5, 5))
    x = np.einsum("npd,pde->npe", rng.normal(size=(frames, 3, 5)), mixing) + offset
    return torch.from_numpy(x.astype(np.float32))


def fitted(x: torch.Tensor, cuts: list[int]) -> Moments:
    parts = [p for p in np.split(np.arange(len(x)), sorted(cuts)) if len(p)]
    moments = Moments.starting_with(x[parts[0]])
    for part in parts[1:]:
        moments.add(x[part])
    return moments


@settings(max_examples=40)
@given(frames=st.integers(3, 60), cuts=st.lists(st.integers(1, 59), max_size=4), offset=st.sampled_from([0.0, 50.0, -300.0]))
def test_moments_equal_numpy_in_float64(frames: int, cuts: list[int], offset: float) -> None:
    x = sample(frames, 1, offset)
    moments = fitted(x, [c for c in cuts if c < frames])
    double = x.double().numpy()
    np.testing.assert_allclose(moments.mean().numpy(), double.mean(axis=0), rtol=1e-6, atol=1e-6)
    covariance = moments.covariance(slice(0, 3)).numpy()
    for position in range(3):
        expected = np.cov(double[:, position], rowvar=False)
        np.testing.assert_allclose(covariance[position], expected, atol=RELATIVE_TOLERANCE * np.abs(expected).max())


@settings(max_examples=40)
@given(frames=st.integers(6, 60), cut=st.integers(2, 58), offset=st.sampled_from([0.0, 20.0]))
def test_merging_halves_equals_one_pass(frames: int, cut: int, offset: float) -> None:
    cut = min(cut, frames - 2)
    x = sample(frames, 2, offset)
    whole, left, right = fitted(x, []), fitted(x[:cut], []), fitted(x[cut:], [])
    left.merge(right)
    assert left.count == whole.count
    expected = whole.covariance(slice(0, 3))
    error = (left.covariance(slice(0, 3)) - expected).norm()
    assert error <= MERGE_RELATIVE_TOLERANCE * expected.norm()


def test_shift_keeps_float32_accurate_far_from_zero() -> None:
    x = sample(2000, 5, offset=1000.0)
    moments = fitted(x, list(range(32, 2000, 32)))
    expected = np.cov(x[:, 0].double().numpy(), rowvar=False)
    np.testing.assert_allclose(moments.covariance(slice(0, 1))[0], expected, atol=RELATIVE_TOLERANCE * np.abs(expected).max())


def test_one_frame_has_no_covariance() -> None:
    with pytest.raises(NotEnoughFrames):
        Moments.starting_with(sample(1, 0)).covariance(slice(0, 3))


def test_other_shapes_do_not_merge() -> None:
    with pytest.raises(ModelMismatch):
        fitted(sample(4, 0), []).merge(Moments.starting_with(torch.zeros(4, 3, 6)))


def test_a_copy_is_independent() -> None:
    moments = fitted(sample(4, 0), [])
    copy = moments.copy()
    copy.add(sample(4, 1))
    assert (moments.count, copy.count) == (4, 8)
    assert not torch.equal(moments.s2, copy.s2)


@given(st.integers(0, 2000))
def test_chunks_cover_every_position_once(positions: int) -> None:
    assert [i for at in chunks(positions) for i in range(at.start, at.stop)] == list(range(positions))


def test_fading_keeps_mean_and_spread_and_loses_weight() -> None:
    x = torch.randn(40, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moments = Moments.starting_with(x)
    spread = (moments.covariance(slice(0, 3)) * 39 / 40).clone()
    mean = moments.mean()
    moments.fade(10)
    assert moments.count == 10
    assert torch.allclose(moments.mean(), mean)
    assert torch.allclose(moments.covariance(slice(0, 3)) * 9 / 10, spread)
    with pytest.raises(ValueError, match="fade"):
        moments.fade(11)
