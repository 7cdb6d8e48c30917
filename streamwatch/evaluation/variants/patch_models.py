"""Patch models that differ from the paper's in one thing."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from streamwatch.errors import NotEnoughFrames
from streamwatch.evaluation.pictures.patch_model import PatchModel
from streamwatch.evaluation.variants.covariances import CovarianceRule, Seen, field_of
from streamwatch.evaluation.variants.reductions import Reduction
from streamwatch.model.embedding.embedder import Embedder
from streamwatch.model.fitting import accumulate, embedded
from streamwatch.model.normality.gaussian import GaussianField, mahalanobis
from streamwatch.model.normality.moments import Moments

Embed = Callable[[Tensor], Tensor]
"""(N, H, W, 3) uint8 pictures to (N, h, w, d) embeddings, as ``Embedder`` does."""
NEAREST_PICTURES = 50
"""K of section 4.2, Cohen & Hoshen 2020."""
_PATCHES_AT_ONCE = 512


class ReducedGaussians:
    """A Gaussian for each position, of embeddings that are reduced, with covariances that are regularised.

    Args:
        embedder: gives all channels.
    """

    def __init__(self, embedder: Embed, reduction: Reduction, rule: CovarianceRule) -> None:
        self._embedder, self._reduction, self._rule = embedder, reduction, rule
        self._moments: Moments | None = None
        self._grid = (0, 0)
        self._fourth = torch.zeros(0, dtype=torch.float64)
        self._field: GaussianField | None = None

    @property
    def passes(self) -> int:
        """See ``PatchModel``."""
        return self._reduction.passes + 1 + int(self._rule.fourth)

    def learn(self, pixels: Tensor, number: int) -> None:
        """See ``PatchModel``."""
        with torch.no_grad():
            embeddings = embedded(self._embedder, pixels)
            self._grid = int(embeddings.shape[1]), int(embeddings.shape[2])
            flat = embeddings.flatten(1, 2)
            if number < self._reduction.passes:
                self._reduction.learn(flat)
            elif self._rule.fourth and number == self.passes - 1:
                self._add_fourth(self._reduction.apply(flat))
            else:
                self._moments = accumulate(self._moments, self._reduction.apply(flat))

    def maps(self, pixels: Tensor) -> Tensor:
        """See ``PatchModel``."""
        with torch.no_grad():
            if self._field is None:
                self._field = field_of(self._rule, Seen(self._seen(), self._grid, self._fourth))
            embeddings = embedded(self._embedder, pixels)
            distances = mahalanobis(self._field, self._reduction.apply(embeddings.flatten(1, 2)))
            return distances.view(embeddings.shape[:3])

    @property
    def bytes(self) -> int:
        """See ``PatchModel``."""
        return self._field.bytes if self._field else 0

    def _seen(self) -> Moments:
        if self._moments is None:
            raise NotEnoughFrames("no normal picture", hint="give pictures to learn")
        return self._moments

    def _add_fourth(self, x: Tensor) -> None:
        off = x.double() - self._seen().mean()
        self._fourth = self._fourth.to(off.device) if len(self._fourth) else off.new_zeros(off.shape[1])
        self._fourth += off.square().sum(dim=2).square().sum(dim=0)


class NearestPatches:
    """How far each patch is from the nearest one of the K pictures that are most alike as a whole (SPADE, Cohen & Hoshen 2020).

    Pictures are compared by the means of their embeddings. Nothing is modelled, so that everything is kept: in 16 bits.

    Args:
        embedder: gives the channels that are compared.
    """

    passes = 1

    def __init__(self, embedder: Embed, pictures: int = NEAREST_PICTURES) -> None:
        self._embedder, self._pictures = embedder, pictures
        self._known: list[Tensor] = []

    def learn(self, pixels: Tensor, number: int) -> None:
        """See ``PatchModel``."""
        del number
        with torch.no_grad():
            self._known.append(embedded(self._embedder, pixels).half())

    def maps(self, pixels: Tensor) -> Tensor:
        """See ``PatchModel``."""
        if not self._known:
            raise NotEnoughFrames("no normal picture", hint="give pictures to learn")
        if len(self._known) > 1:
            self._known = [torch.cat(self._known)]
        with torch.no_grad():
            return torch.stack([self._map_of(one) for one in embedded(self._embedder, pixels)])

    @property
    def bytes(self) -> int:
        """See ``PatchModel``."""
        return sum(known.numel() * known.element_size() for known in self._known)

    def _map_of(self, embedding: Tensor) -> Tensor:
        """(h, w) of one (h, w, d)."""
        (known,) = self._known
        means = known.float().mean(dim=(1, 2))
        alike = (means - embedding.mean(dim=(0, 1))).norm(dim=1).topk(min(self._pictures, len(known)), largest=False).indices
        gallery = known[alike].float().flatten(0, 2)
        patches = torch.split(embedding.flatten(0, 1), _PATCHES_AT_ONCE)
        nearest = torch.cat([torch.cdist(part, gallery).amin(dim=1) for part in patches])
        return nearest.view(embedding.shape[:2])


class Averaged:
    """Another model's distances, averaged over squares of cells: of the size of an object, and not of a patch.

    Args:
        cells: side of the squares, odd; at the picture's edges they hold fewer.
    """

    def __init__(self, model: PatchModel, cells: int) -> None:
        self._model, self._cells = model, cells

    @property
    def passes(self) -> int:
        """See ``PatchModel``."""
        return self._model.passes

    @property
    def bytes(self) -> int:
        """See ``PatchModel``."""
        return self._model.bytes

    def learn(self, pixels: Tensor, number: int) -> None:
        """See ``PatchModel``."""
        self._model.learn(pixels, number)

    def maps(self, pixels: Tensor) -> Tensor:
        """See ``PatchModel``."""
        distances = self._model.maps(pixels).unsqueeze(1)
        return avg_pool2d(distances, self._cells, stride=1, padding=self._cells // 2, count_include_pad=False).squeeze(1)


class Enlarged:
    """An embedder that sees pictures larger, for objects far away; its embeddings are averaged back to the same positions."""

    def __init__(self, embedder: Embedder, factor: int) -> None:
        self._embedder, self._factor = embedder, factor

    def __call__(self, pixels: Tensor) -> Tensor:
        """(N, H, W, 3) uint8 to (N, h, w, d)."""
        planes = interpolate(pixels.permute(0, 3, 1, 2).float(), scale_factor=self._factor, mode="bicubic", align_corners=False)
        large = planes.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
        embeddings: Tensor = self._embedder(large)
        return avg_pool2d(embeddings.permute(0, 3, 1, 2), self._factor).permute(0, 2, 3, 1)
