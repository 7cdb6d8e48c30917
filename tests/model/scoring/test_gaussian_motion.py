"""Motion as older model files have it: shrinkage between positions against NumPy, and files that are read and written on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from streamwatch.model.embedding.embedder import Embedder
from streamwatch.model.embedding.identity import EmbeddingIdentity
from streamwatch.model.normality.moments import Moments
from streamwatch.model.scoring.gaussian_motion import GaussianMotion, fit_motion

RELATIVE_TOLERANCE = 1e-4
GRID = (8, 8)
Untrained = tuple[Embedder, EmbeddingIdentity]


def walked(frames: int, seed: int, path: slice = slice(2, 5)) -> torch.Tensor:
    """(frames, 8, 8) speeds: somebody at about 20 px/s now and then on the path, rest and noise elsewhere."""
    rng = np.random.default_rng(seed)
    speed = np.abs(rng.normal(0, 0.3, (frames, *GRID)))
    for row in speed:
        if rng.random() < 0.6:
            row[rng.integers(path.start, path.stop), rng.integers(0, 8)] = rng.normal(20, 2)
    return torch.tensor(speed, dtype=torch.float32)


def moments_of(speed: torch.Tensor) -> Moments:
    return Moments.starting_with(speed.flatten(1).unsqueeze(2))


@pytest.mark.parametrize("shrinkage", [0.0, 0.5, 1.0])
def test_distances_equal_numpy(shrinkage: float) -> None:
    speed = walked(300, 0)
    field = GaussianMotion(moments_of(speed), shrinkage, fit_motion(moments_of(speed), shrinkage), 0.2)
    x = speed.flatten(1).double().numpy()
    mean, variance = x.mean(axis=0), x.var(axis=0, ddof=1)
    pooled = variance.mean() + mean.var()
    mu = (1 - shrinkage) * mean + shrinkage * mean.mean()
    sigma = np.sqrt((1 - shrinkage) * variance + shrinkage * pooled + 0.01 * pooled)
    probe = walked(5, 9)
    expected = np.abs(probe.flatten(1).double().numpy() - mu) / sigma
    actual = torch.stack([f.flatten() for f in unsmoothed(field, probe)]).double().numpy()
    np.testing.assert_allclose(actual, expected, rtol=RELATIVE_TOLERANCE, atol=1e-4)


def unsmoothed(field: GaussianMotion, speed: torch.Tensor) -> torch.Tensor:
    mean, weight = field.gaussians.mean[:, 0], field.gaussians.whitener_t[:, 0, 0]
    return ((speed.flatten(1) - mean).abs() * weight).reshape(speed.shape)


def test_rows_without_evidence_stay_without_and_touch_no_other() -> None:
    speed = walked(50, 0)
    field = GaussianMotion(moments_of(speed), 1.0, fit_motion(moments_of(speed), 1.0), 0.2)
    probe = walked(3, 4)
    probe[1] = torch.nan
    maps = field.maps(probe, GRID)
    assert torch.isnan(maps[1]).all()
    assert torch.isfinite(maps[[0, 2]]).all()
