"""Smoothing against scipy, and the grid's order against the paper's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from streamwatch.model.scoring.anomaly_map import paper_order_map, smooth, smooth_on_grid, smoothing_matrix, upsample

INTERIOR_DIFFERENCE = 0.03
"""Largest difference between blurring on the grid and after upsampling, as a share of a unit-variance field's range."""


@pytest.mark.parametrize("sigma", [0.7, 1.0, 4.0])
@pytest.mark.parametrize("shape", [(64, 64), (20, 33)])
def test_smoothing_equals_scipy(sigma: float, shape: tuple[int, int]) -> None:
    maps = np.random.default_rng(0).normal(size=(3, *shape))
    expected = np.stack([gaussian_filter(m, sigma, mode="reflect", truncate=4.0) for m in maps])
    np.testing.assert_allclose(smooth(torch.from_numpy(maps), sigma).numpy(), expected, atol=1e-12)


def test_smoothing_keeps_a_constant_even_at_the_borders() -> None:
    assert torch.allclose(smoothing_matrix(5, 4.0).sum(dim=1), torch.ones(5, dtype=torch.float64))


def test_the_grid_blur_is_one_cell() -> None:
    impulse = torch.zeros(1, 64, 64, dtype=torch.float64)
    impulse[0, 32, 32] = 1
    expected = gaussian_filter(impulse[0].numpy(), 1.0, truncate=4.0)
    np.testing.assert_allclose(smooth_on_grid(impulse)[0].numpy(), expected, atol=1e-12)


def test_blurring_on_the_grid_is_close_to_the_papers_order() -> None:
    maps = torch.from_numpy(np.random.default_rng(1).normal(10, 1, (4, 64, 64)))
    ours = upsample(smooth_on_grid(maps), 256, 256)
    paper = paper_order_map(maps)
    assert (ours - paper).abs().max() / (paper.max() - paper.min()) < 0.12
    assert (ours - paper).abs().mean() / (paper.max() - paper.min()) < INTERIOR_DIFFERENCE
