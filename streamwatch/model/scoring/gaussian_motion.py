"""Motion as model files without units have it: a Gaussian of each position's speed, tied across positions.

New models know motion as speed itself (``motion_field``). What people hold goes on as it was calibrated.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from streamwatch.model.normality.gaussian import GaussianField, mahalanobis, whiten
from streamwatch.model.normality.moments import Moments
from streamwatch.model.scoring.anomaly_map import smooth_on_grid

_FLOOR = 0.01
"""Share of the pooled variance that every position's variance has at least: a wall that never moves has none."""


@dataclass(frozen=True)
class GaussianMotion:
    """What a scene's motion is like.

    Attributes:
        moments: first and second moments of the speed at each position.
        shrinkage: 0 = each position by itself, 1 = all positions share one Gaussian.
        gaussians: the field that follows from the two.
        step_s: age of the picture that motion was measured against.
    """

    moments: Moments
    shrinkage: float
    gaussians: GaussianField
    step_s: float

    def maps(self, speed: Tensor, grid: tuple[int, int]) -> Tensor:
        """Smoothed Mahalanobis distances (eq. 2, Defard et al. 2020) of (N, h, w) speeds; NaN where they are NaN."""
        distances = mahalanobis(self.gaussians, speed.flatten(1).unsqueeze(2).to(self.gaussians.mean.dtype))
        return smooth_on_grid(distances.reshape(-1, *grid))

    def relearned(self, moments: Moments) -> GaussianMotion:
        """The same, of other moments."""
        return GaussianMotion(moments, self.shrinkage, fit_motion(moments, self.shrinkage), self.step_s)

    def to(self, device: torch.device, dtype: torch.dtype) -> GaussianMotion:
        """The field ready to score on another device."""
        return GaussianMotion(self.moments, self.shrinkage, self.gaussians.to(device, dtype), self.step_s)


def fit_motion(moments: Moments, shrinkage: float) -> GaussianField:
    """Gaussians whose means and covariances are moved by ``shrinkage`` towards the pooled ones.

    Sigma_p = (1 - a) S_p + a S, mu_p = (1 - a) m_p + a m, with S the covariance of all positions' samples together
    (law of total covariance: mean of S_p plus covariance of m_p) and m their mean. Linear shrinkage to a common target,
    after Friedman 1989, "Regularized Discriminant Analysis", eq. 14.
    """
    mean, covariance = moments.mean(), moments.covariance(slice(None))
    centre = mean.mean(dim=0)
    spread = mean - centre
    pooled = covariance.mean(dim=0) + spread.T @ spread / len(mean)
    floor = _FLOOR * float(pooled.diagonal().mean()) + torch.finfo(torch.float32).eps
    whitener = whiten((1 - shrinkage) * covariance + shrinkage * pooled, floor)
    shrunk = (1 - shrinkage) * mean + shrinkage * centre
    return GaussianField.of(shrunk.to(torch.float32), whitener.transpose(1, 2).to(torch.float32).contiguous())
