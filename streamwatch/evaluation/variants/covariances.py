"""From what was seen at each position to covariances that can be inverted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from streamwatch.model.normality.gaussian import EPS, GaussianField, whiten
from streamwatch.model.normality.moments import Moments, chunks


@dataclass(frozen=True)
class Seen:
    """What normal pictures showed.

    Attributes:
        moments: of (N, P, d) embeddings.
        grid: (h, w) of the positions.
        fourth: (P,) float64 sums of ||x - mu||^4; empty unless they were asked for.
    """

    moments: Moments
    grid: tuple[int, int]
    fourth: Tensor


Covariances = Callable[[Seen], tuple[Tensor, Tensor]]
"""What was seen as (P, d) means and (P, d, d) covariances that are regularised, float64."""


@dataclass(frozen=True)
class CovarianceRule:
    """A way to regularise.

    Attributes:
        fourth: it needs sums of fourth powers, and so another pass.
    """

    make: Covariances
    fourth: bool = False


def field_of(rule: CovarianceRule, seen: Seen) -> GaussianField:
    """The Gaussians themselves, in float32."""
    means, covariances = rule.make(seen)
    field = GaussianField.empty_of(means.float())
    for at in chunks(len(means)):
        field.fill(at, whiten(covariances[at], 0.0).transpose(1, 2))
    return field


def plus_eps(seen: Seen) -> tuple[Tensor, Tensor]:
    """S + 0.01 I, the paper's (eq. 1, Defard et al. 2020)."""
    covariances = seen.moments.covariance(slice(None))
    return seen.moments.mean(), covariances + EPS * _identity_like(covariances)


def plus_share(seen: Seen) -> tuple[Tensor, Tensor]:
    """S + 0.01 m I, with m the mean variance of all channels at all positions: the same whatever the activations' scale."""
    covariances = seen.moments.covariance(slice(None))
    scale = covariances.diagonal(dim1=1, dim2=2).mean()
    return seen.moments.mean(), covariances + EPS * scale * _identity_like(covariances)


def ledoit_wolf(seen: Seen) -> tuple[Tensor, Tensor]:
    """(1 - a) S + a m I at each position, m the mean variance there, a by the footage (Ledoit & Wolf 2004, lemma 3.3).

    S has the divisor N. With b = (sum ||x - mu||^4 / N - ||S||^2) / N and c = ||S - m I||^2: a = min(b, c) / c.
    """
    count, covariances = seen.moments.count, seen.moments.covariance(slice(None))
    covariances *= (count - 1) / count
    dims = covariances.shape[1]
    scale = covariances.diagonal(dim1=1, dim2=2).mean(dim=1)
    squares = covariances.square().sum(dim=(1, 2))
    spread = squares - dims * scale.square()
    noise = (seen.fourth / count - squares) / count
    share = (torch.minimum(noise, spread) / spread.clamp_min(1e-300)).clamp(0.0, 1.0)[:, None, None]
    return seen.moments.mean(), (1 - share) * covariances + share * scale[:, None, None] * _identity_like(covariances)


def of_neighbourhood(seen: Seen) -> tuple[Tensor, Tensor]:
    """S + 0.01 I of the patches of a cell and the up to eight around it, as if all had been seen there."""
    height, width = seen.grid
    means = seen.moments.mean().view(height, width, -1)
    second = seen.moments.covariance(slice(None)).view(height, width, *[seen.moments.dims] * 2)
    second = second + means.unsqueeze(3) * means.unsqueeze(2)
    mean, product = _mean_around(means), _mean_around(second)
    covariances = (product - mean.unsqueeze(3) * mean.unsqueeze(2)).flatten(0, 1)
    return mean.flatten(0, 1), covariances + EPS * _identity_like(covariances)


def _mean_around(values: Tensor) -> Tensor:
    """(h, w, ...) means over 3x3 cells, fewer at the edges."""
    height, width = values.shape[:2]
    total, count = torch.zeros_like(values), values.new_zeros((height, width, *[1] * (values.dim() - 2)))
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            to = slice(max(-down, 0), height - max(down, 0)), slice(max(-across, 0), width - max(across, 0))
            of = slice(max(down, 0), height - max(-down, 0)), slice(max(across, 0), width - max(-across, 0))
            total[to] += values[of]
            count[to] += 1
    return total / count


def _identity_like(covariances: Tensor) -> Tensor:
    return torch.eye(covariances.shape[1], dtype=covariances.dtype, device=covariances.device)
