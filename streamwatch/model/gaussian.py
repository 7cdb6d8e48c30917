"""A Gaussian per position, kept as mean and whitener, and the Mahalanobis distance to it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from streamwatch.errors import ModelError
from streamwatch.model.moments import Moments, centre, chunks

EPS = 0.01
"""Regularisation of the covariance (eq. 1, Defard et al. 2020)."""


@dataclass(frozen=True)
class GaussianField:
    """mean (P, d) and transposed whiteners (P, d, d): Sigma = L L', W = L^-1, ``whitener_t`` = W'.

    The transpose is what the batched product reads: (x - mu)' W' with frames in rows.
    """

    mean: Tensor
    whitener_t: Tensor

    def to(self, device: torch.device, dtype: torch.dtype = torch.float32) -> GaussianField:
        """The same field on another device or in another precision."""
        return GaussianField(self.mean.to(device, dtype), self.whitener_t.to(device, dtype))


def whiten(covariance: Tensor, eps: float) -> Tensor:
    """W = L^-1 with Sigma + eps I = L L'.

    Shapes: (P, d, d) float64 to (P, d, d) float64, lower triangular. ``solve_triangular`` and not
    ``torch.linalg.inv``, which fails on the CPU at 4096 x 152 x 152 with a pivot error (DESIGN section 2).

    Raises:
        ModelError: a covariance is not positive definite, so an embedding was not finite.
    """
    identity = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
    try:
        lower = torch.linalg.cholesky(covariance + eps * identity)
    except RuntimeError as error:  # torch.linalg.LinAlgError, which torch does not export by type
        raise ModelError(
            "a covariance is not positive definite", hint="check the weights and the footage for values that are not finite"
        ) from error
    whitener: Tensor = torch.linalg.solve_triangular(lower, identity.expand_as(lower), upper=False)
    return whitener


def fit_gaussians(moments: Moments, *, eps: float = EPS) -> GaussianField:
    """Finalise moments in float64, chunk by chunk, into a float32 field (eq. 1, Defard et al. 2020)."""
    whitener_t = torch.empty_like(moments.s2, dtype=torch.float32)
    for at in chunks(moments.positions):
        whitener_t[at] = whiten(moments.covariance(at), eps).transpose(1, 2).to(torch.float32)
    return GaussianField(moments.mean().to(torch.float32), whitener_t)


def mahalanobis(field: GaussianField, x: Tensor) -> Tensor:
    """M(x) = sqrt((x - mu)' Sigma^-1 (x - mu)) = ||W (x - mu)|| (eq. 2, Defard et al. 2020).

    Shapes: x (N, P, d) to (N, P). One batched product reads every whitener once for all N frames.
    """
    whitened = torch.bmm(centre(x, field.mean).to(field.whitener_t.dtype), field.whitener_t)
    distances: Tensor = torch.linalg.vector_norm(whitened, dim=2)
    return distances.transpose(0, 1)
