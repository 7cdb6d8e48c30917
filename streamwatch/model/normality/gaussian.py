"""A Gaussian per position, kept as mean and whitener in blocks, and the Mahalanobis distance to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from streamwatch.errors import ModelError
from streamwatch.model.normality.moments import Moments, centre, chunks

EPS = 0.01
"""Regularisation of the covariance (eq. 1, Defard et al. 2020)."""


BLOCKS = 4
"""Column blocks of a whitener: 62 % of the square is read, 102 of 164 MB at d=100. On one core of two that both work, distances
of one frame took 5.0 ms and of the square 9.5, of 8 frames 1.9 and 2.5 ms each; 2 blocks gain less, 5 no more."""
_JITTER = 1e-4
"""Of B in ``drawn_normal``, which float32 whiteners leave positive to about 1e-5."""
_NARROWEST = 12
"""Columns of a block at least: of narrower ones (5 and 7; torch 2.15 with MKL) the product's last bits depend on which of the
rows a frame is in."""


@dataclass(frozen=True)
class GaussianField:
    """Means (P, d) and whiteners: Sigma = L L', W = L^-1, of which the transpose W' is kept.

    W' is upper triangular: column j has nothing below row j. ``blocks`` are its columns in a few groups, each (P, e, k) with
    the rows that are not all zero, which is what the batched product reads: (x - mu)' W' with frames in rows.

    ``rounding`` is how far maps are off because whiteners were rounded to 16 bits, as a share of a map's highest value.
    """

    mean: Tensor
    blocks: tuple[Tensor, ...]
    rounding: float = 0.0

    @classmethod
    def of(cls, mean: Tensor, whitener_t: Tensor) -> GaussianField:
        """From (P, d) means and (P, d, d) upper triangular W'."""
        return cls(mean, tuple(block.contiguous() for block in _column_blocks(whitener_t)))

    @classmethod
    def empty_of(cls, mean: Tensor) -> GaussianField:
        """With (P, d) means, and whiteners to be filled in."""
        positions, dims = mean.shape
        return cls(
            mean, tuple(mean.new_empty((positions, end, end - start)) for start, end in pairwise([0, *_block_ends(dims)]))
        )

    def fill(self, at: slice, whitener_t: Tensor) -> None:
        """Take over (n, d, d) W' of some positions."""
        for block, part in zip(self.blocks, _column_blocks(whitener_t), strict=True):
            block[at] = part.to(block.dtype)

    @property
    def whitener_t(self) -> Tensor:
        """(P, d, d) W' whole: made anew, to be stored or compared."""
        return self._squares(slice(None))

    @property
    def bytes(self) -> int:
        """What it takes."""
        return sum(tensor.numel() * tensor.element_size() for tensor in (self.mean, *self.blocks))

    def whiteners_t(self, at: Tensor | slice) -> Tensor:
        """(N, d, d) W' of N positions."""
        return self._squares(at)

    def to(self, device: torch.device, dtype: torch.dtype = torch.float32) -> GaussianField:
        """The same field on another device or in another precision; whiteners that were rounded stay so."""
        kept = dtype if self.rounding == 0.0 else self.blocks[0].dtype
        return GaussianField(self.mean.to(device, dtype), tuple(block.to(device, kept) for block in self.blocks), self.rounding)

    def rounded(self, whiteners: torch.dtype, rounding: float) -> GaussianField:
        """The same field with whiteners of 16 bits, which take half; ``rounding`` as above, and not 0."""
        return GaussianField(self.mean, tuple(block.to(whiteners) for block in self.blocks), rounding)

    def at(self, positions: Tensor) -> GaussianField:
        """The field of some positions."""
        return GaussianField(self.mean[positions], tuple(block[positions] for block in self.blocks))

    def _squares(self, at: Tensor | slice) -> Tensor:
        parts, dims, start = [block[at] for block in self.blocks], int(self.mean.shape[1]), 0
        square = parts[0].new_zeros((len(parts[0]), dims, dims))
        for part in parts:
            square[:, : part.shape[1], start : start + part.shape[2]] = part
            start += int(part.shape[2])
        return square


def _column_blocks(whitener_t: Tensor) -> list[Tensor]:
    """Views of (n, d, d) W': columns in a few groups, each with the rows down to its last diagonal element."""
    return [whitener_t[:, :end, start:end] for start, end in pairwise([0, *_block_ends(int(whitener_t.shape[2]))])]


def _block_ends(dims: int) -> list[int]:
    """Behind the last column of each block."""
    count = min(max(dims // _NARROWEST, 1), BLOCKS)
    return [dims * number // count for number in range(1, count + 1)]


def whiten(covariance: Tensor, eps: float) -> Tensor:
    """W = L^-1 with Sigma + eps I = L L'.

    Shapes: (P, d, d) float64 to (P, d, d) float64, lower triangular. ``solve_triangular`` and not
    ``torch.linalg.inv``, which fails on the CPU at 4096 x 152 x 152 with a pivot error (docs/decisions/0002-method.md).

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


def fit_gaussians(moments: Moments, *, eps: float = EPS, shrinkage: float = 0.0) -> GaussianField:
    """Finalise moments in float64, chunk by chunk, into a float32 field (eq. 1, Defard et al. 2020).

    Args:
        shrinkage: a, from 0 (each position by itself, the paper's) to 1: Sigma_p = (1 - a) S_p + a S + eps I with S the mean
            of all positions' covariances. Linear shrinkage to a pooled target, after Friedman 1989, "Regularized
            Discriminant Analysis", eq. 14.
    """
    pooled = pooled_covariance(moments) if shrinkage > 0 else None
    field = GaussianField.empty_of(moments.mean().to(torch.float32))
    for at in chunks(moments.positions):
        covariance = moments.covariance(at)
        if pooled is not None:
            covariance = (1 - shrinkage) * covariance + shrinkage * pooled
        field.fill(at, whiten(covariance, eps).transpose(1, 2))
    return field


def pooled_covariance(moments: Moments) -> Tensor:
    """(d, d) float64, the mean of all positions' covariances."""
    parts = [moments.covariance(at).sum(dim=0) for at in chunks(moments.positions)]
    return torch.stack(parts).sum(dim=0) / moments.positions


def supported_shrinkage(dims: int, samples: float) -> float:
    """How much of a position's covariance its footage leaves open: d / (d + n) for n independent samples of d dimensions.

    The posterior mean of a covariance under an inverse Wishart prior that weighs as much as d samples (Murphy 2012,
    "Machine Learning: A Probabilistic Perspective", section 4.6.2.1). Of a covariance of 100 dimensions a minute of a street
    tells little, an hour nearly all.
    """
    return dims / (dims + samples)


@dataclass(frozen=True)
class SquaredParts:
    """Squared distances of N embeddings, part by part of their channels; (N, L) each.

    Attributes:
        usual, deviation: mean and standard deviation of the parts over the footage that the Gaussian was learned from,
            were it Gaussian.
    """

    squared: Tensor
    usual: Tensor
    deviation: Tensor


def squared_parts(field: GaussianField, x: Tensor, at: Tensor, parts: Sequence[slice], *, eps: float = EPS) -> SquaredParts:
    """M(x)^2 split by consecutive parts of the channels, in float32.

    W is triangular, so z = W (x - mu) holds of every channel what those before it do not explain; the squares of a part's z
    sum to its contribution, and all parts to M(x)^2 (eq. 2, Defard et al. 2020). On normal footage z has the covariance
    B = W S W' = I - eps W W', because S + eps I = (W' W)^-1; its part's squares have mean tr(B) and variance 2 ||B||_F^2.

    Shapes: x (N, d), at (N,) their positions.
    """
    whitener_t = field.whiteners_t(at).to(torch.float32)
    z = torch.einsum("nd,nde->ne", x.to(torch.float32) - field.mean[at].to(torch.float32), whitener_t)
    moments = [_part_moments(whitener_t[:, :, part], eps) for part in parts]
    squared = torch.stack([z[:, part].square().sum(1) for part in parts], 1)
    return SquaredParts(squared, *(torch.stack(values, 1) for values in zip(*moments, strict=True)))


def _part_moments(part_t: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of a part's squares, (N,) each, from its columns (N, d, k) of W'."""
    covariance = torch.eye(part_t.shape[2], device=part_t.device) - eps * part_t.transpose(1, 2) @ part_t
    return covariance.diagonal(dim1=1, dim2=2).sum(1), (2 * covariance.square().sum((1, 2))).sqrt()


def mahalanobis(field: GaussianField, x: Tensor) -> Tensor:
    """M(x) = sqrt((x - mu)' Sigma^-1 (x - mu)) = ||W (x - mu)|| (eq. 2, Defard et al. 2020).

    Shapes: x (N, P, d) to (N, P). Batched products read every whitener once for all N frames. Where whiteners have 16 bits, the
    mean is taken off and the squares are summed in the mean's precision: what is rounded is each element, and not their sum.
    """
    exact = centre(x.to(torch.promote_types(x.dtype, field.mean.dtype)), field.mean)
    centred = exact.to(field.blocks[0].dtype)
    squared = exact.new_zeros(exact.shape[:2])
    for block in field.blocks:
        squared += torch.bmm(centred[:, :, : block.shape[1]], block).to(exact.dtype).square().sum(dim=2)
    return squared.sqrt().transpose(0, 1)


def drawn_normal(field: GaussianField, frames: int, *, eps: float = EPS, seed: int = 0) -> Tensor:
    """(frames, P, d) of what a field was learned from, were it Gaussian: N(mu, S) with S = Sigma - eps I and Sigma = (W' W)^-1.

    Without eps, because what the footage never did is what its Gaussians are narrowest in and a picture has nothing of.
    Then z = W (x - mu) has the covariance B = I - eps W W' (``squared_parts``): z is drawn, and W (x - mu) = z solved.

    Raises:
        ModelError: W is not one of a covariance with eps I in it.
    """
    whitener = field.whitener_t.transpose(1, 2).double()
    identity = torch.eye(whitener.shape[1], dtype=torch.float64, device=whitener.device)
    lower, failed = torch.linalg.cholesky_ex((1 + _JITTER) * identity - eps * whitener @ whitener.transpose(1, 2))
    if bool(failed.any()):
        raise ModelError("whiteners are not of regularised covariances", hint="fit the camera again")
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn((*lower.shape[:2], frames), dtype=torch.float64, generator=generator).to(lower.device)
    drawn: Tensor = torch.linalg.solve_triangular(whitener, lower @ draws, upper=False)
    return (drawn.permute(2, 0, 1) + field.mean.double()).to(field.mean.dtype)
