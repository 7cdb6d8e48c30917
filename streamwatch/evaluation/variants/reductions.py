"""From all channels of an embedding to fewer: chosen at random, projected at random, or by principal components."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class Reduction(Protocol):
    """A linear map of embeddings, the same at every position.

    Attributes:
        passes: how often it must see all normal pictures before it is applied.
    """

    @property
    def passes(self) -> int:
        """See above."""
        ...

    def learn(self, embeddings: Tensor) -> None:
        """Take in (N, P, D) embeddings of normal pictures."""
        ...

    def apply(self, embeddings: Tensor) -> Tensor:
        """(N, P, D) to (N, P, d)."""
        ...


class ChosenChannels:
    """d of the D channels (section 3.1, Defard et al. 2020)."""

    passes = 0

    def __init__(self, indices: Sequence[int]) -> None:
        self._indices = torch.tensor(indices, dtype=torch.long)

    def learn(self, embeddings: Tensor) -> None:
        """Nothing is learned."""

    def apply(self, embeddings: Tensor) -> Tensor:
        """See ``Reduction``."""
        return embeddings[..., self._indices.to(embeddings.device)]


class SemiOrthogonal:
    """A random D x d matrix with orthonormal columns (section 3.1, Kim et al. 2021, "Semi-orthogonal embedding").

    The QR decomposition of Gaussian numbers, its signs such that it is uniform over all such matrices (Mezzadri 2007).
    """

    passes = 0

    def __init__(self, channels: int, dims: int, seed: int) -> None:
        numbers = torch.randn((channels, dims), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        q, r = torch.linalg.qr(numbers)
        self.matrix: Tensor = (q * r.diagonal().sign()).float()

    def learn(self, embeddings: Tensor) -> None:
        """Nothing is learned."""

    def apply(self, embeddings: Tensor) -> Tensor:
        """See ``Reduction``."""
        projected: Tensor = embeddings @ self.matrix.to(embeddings.device)
        return projected


class PrincipalComponents:
    """The d directions of the most variance, of the patches of all positions together (section 5.1, Defard et al. 2020)."""

    passes = 1

    def __init__(self, dims: int) -> None:
        self._dims, self._count = dims, 0
        self._sum = self._products = torch.zeros(())
        self._matrix: Tensor | None = None

    def learn(self, embeddings: Tensor) -> None:
        """Sums of the patches and their products, in float64."""
        patches = embeddings.flatten(0, 1).double()
        self._sum = self._sum.to(patches) + patches.sum(dim=0)
        self._products = self._products.to(patches) + patches.T @ patches
        self._count += len(patches)

    def apply(self, embeddings: Tensor) -> Tensor:
        """See ``Reduction``."""
        if self._matrix is None:
            mean = self._sum / self._count
            _, vectors = torch.linalg.eigh(self._products / self._count - torch.outer(mean, mean))
            self._matrix = vectors[:, -self._dims :].flip(1).float()
        projected: Tensor = embeddings @ self._matrix
        return projected
