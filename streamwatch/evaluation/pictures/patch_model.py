"""What is learned of the patches of a class's pictures, and how far those of others are from it."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from streamwatch.errors import ModelError, NotEnoughFrames
from streamwatch.model.embedding.embedder import Embedder
from streamwatch.model.fitting import accumulate, embedded
from streamwatch.model.normality.gaussian import EPS, GaussianField, fit_gaussians, mahalanobis
from streamwatch.model.normality.moments import Moments


class PatchModel(Protocol):
    """A way to tell normal patches from others. Everything is learned before anything is asked."""

    @property
    def passes(self) -> int:
        """How often it must see all normal pictures."""
        ...

    @property
    def bytes(self) -> int:
        """What it takes to score, once it has."""
        ...

    def learn(self, pixels: Tensor, number: int) -> None:
        """Take in (N, H, W, 3) uint8 normal pictures, in pass ``number``, from 0."""
        ...

    def maps(self, pixels: Tensor) -> Tensor:
        """(N, h, w) how far each patch of (N, H, W, 3) uint8 pictures is from normal, at the patches' own size.

        Raises:
            NotEnoughFrames: too little was learned.
        """
        ...


class GaussianPatches:
    """A Gaussian for each position, the paper's method to the letter (eq. 1 and 2, Defard et al. 2020)."""

    passes = 1

    def __init__(self, embedder: Embedder, *, eps: float = EPS) -> None:
        self._embedder, self._eps = embedder, eps
        self._moments: Moments | None = None
        self._field: GaussianField | None = None

    @property
    def bytes(self) -> int:
        """See ``PatchModel``."""
        return self._field.bytes if self._field else 0

    def learn(self, pixels: Tensor, number: int) -> None:
        """See ``PatchModel``."""
        del number
        with torch.no_grad():
            self._moments = accumulate(self._moments, embedded(self._embedder, pixels).flatten(1, 2))
        self._field = None

    def maps(self, pixels: Tensor) -> Tensor:
        """See ``PatchModel``."""
        field = self._finalised()
        with torch.no_grad():
            embeddings = embedded(self._embedder, pixels)
            distances = mahalanobis(field, embeddings.flatten(1, 2)).view(embeddings.shape[:3])
        if not bool(distances.isfinite().all()):
            raise ModelError("a distance is not finite", hint="check the weights")
        return distances

    def _finalised(self) -> GaussianField:
        if self._moments is None:
            raise NotEnoughFrames("no normal picture", hint="give pictures to learn")
        self._field = self._field or fit_gaussians(self._moments, eps=self._eps)
        return self._field
