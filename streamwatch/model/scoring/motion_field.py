"""The motion field: how fast each place of the scene normally moves, as a Gaussian tied across positions.

The same moments as appearance (``Moments``), with one feature: the speed of the cell in pixels of the model's input
per second. Its covariance and mean are shrunk towards those of all positions together, because where nobody ever
walked a Gaussian of the place alone calls every passer-by an outlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from streamwatch.errors import NotEnoughFrames
from streamwatch.model.holdout import BLOCK_FRAMES
from streamwatch.model.normality.gaussian import GaussianField, mahalanobis, whiten
from streamwatch.model.normality.moments import Moments
from streamwatch.model.scoring.anomaly_map import smooth_on_grid

SHRINKAGES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0)
_FLOOR = 0.01
"""Share of the pooled variance that every position's variance has at least: a wall that never moves has none."""
_FASTER, _NORMAL_QUANTILE = 2.0, 0.99


@dataclass(frozen=True)
class MotionField:
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

    def to(self, device: torch.device, dtype: torch.dtype) -> MotionField:
        """The field ready to score on another device."""
        return MotionField(self.moments, self.shrinkage, self.gaussians.to(device, dtype), self.step_s)


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
    return GaussianField(shrunk.to(torch.float32), whitener.transpose(1, 2).to(torch.float32).contiguous())


def choose_shrinkage(moments: Moments, held: Sequence[Tensor], grid: tuple[int, int]) -> float:
    """The shrinkage under which faster than normal stands out best from normal.

    For each amount: the share of held-out normal frames whose peak would exceed nearly all (99 %) of their own peaks if
    everything in them moved twice as fast. It needs no anomaly, has no scale, and asks what an alarm asks: maxima
    against the highest normal maxima. (Held-out likelihood would choose no shrinkage at all: it is ruled by the many
    places where nothing ever moves.)

    Args:
        held: (n, h, w) speeds of held-out blocks; rows without evidence are left out.
    """
    speed = torch.cat([block[torch.isfinite(block[:, 0, 0])] for block in held]) if held else torch.empty(0, *grid)
    if len(speed) < 2:
        return 1.0

    def stands_out(shrinkage: float) -> float:
        field = MotionField(moments, shrinkage, fit_motion(moments, shrinkage), 0.0)
        normal, faster = (field.maps(k * speed, grid).amax(dim=(1, 2)).double() for k in (1.0, _FASTER))
        return float((faster > torch.quantile(normal, _NORMAL_QUANTILE)).double().mean())

    return max(reversed(SHRINKAGES), key=stands_out)  # of equals, the more tied


def require_motion(moments: Moments | None) -> Moments:
    """The moments, if enough frames had an earlier picture.

    Raises:
        NotEnoughFrames: they had not.
    """
    frames = moments.count if moments else 0
    if moments is None or frames < BLOCK_FRAMES // 2:
        raise NotEnoughFrames(
            f"only {frames} frames have a picture shortly before them to measure motion against",
            hint="give footage of 3 frames per second or more, or use --features appearance",
        )
    return moments
