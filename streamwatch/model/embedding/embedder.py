"""Patch embeddings: chosen channels of three levels, aligned to the finest level's grid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from streamwatch.errors import UsageError
from streamwatch.model.embedding.backbone import Backbone

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def choose_channels(total: int, dims: int, seed: int) -> tuple[int, ...]:
    """``dims`` of ``total`` channels at random, sorted (random reduction, section 3.1, Defard et al. 2020).

    Raises:
        UsageError: ``dims`` is not in 1..total.
    """
    if not 1 <= dims <= total:
        raise UsageError(f"dims must be in 1..{total} for this backbone, not {dims}")
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(total, generator=generator)[:dims]
    return tuple(int(i) for i in chosen.sort().values)


def split_by_level(indices: Sequence[int], channels: Sequence[int]) -> list[list[int]]:
    """Indices into the concatenated levels, as indices into each level."""
    split: list[list[int]] = []
    start = 0
    for count in channels:
        split.append([i - start for i in indices if start <= i < start + count])
        start += count
    return split


def align(levels: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Concatenate (N, H_l, W_l, d_l) levels on the first one's grid, by nearest neighbour, as (N, H, W, d).

    Every level's grid divides the first one's, so that nearest neighbour is plain repetition, written
    straight into its place: on a CPU 5 times faster than interpolating and concatenating.

    Raises:
        ValueError: a grid does not divide the first one.
    """
    n, height, width, _ = levels[0].shape
    aligned = levels[0].new_empty((n, height, width, sum(int(level.shape[3]) for level in levels)), dtype=dtype)
    start = 0
    for level in levels:
        h, w, d = level.shape[1:]
        if height % h or width % w:
            raise ValueError(f"a {h}x{w} level does not divide the {height}x{width} grid")
        blocks = aligned.view(n, h, height // h, w, width // w, -1)
        blocks[..., start : start + d] = level[:, :, None, :, None, :]
        start += d
    return aligned


class Embedder(nn.Module):
    """Images to patch embeddings.

    Channels are chosen per level before aligning: for ResNet-18 at d=100 that moves 4.5 times less memory
    than concatenating 448 channels first, and the result is the same.

    Args:
        backbone: gives the levels.
        indices: kept channels, as sorted indices into the concatenation of the levels.
        dtype: what the backbone computes in; embeddings always leave as float32, or float64 if that is asked.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, indices: Sequence[int], *, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.backbone = backbone
        self.indices = tuple(indices)
        self.dtype = dtype
        self.register_buffer("mean", 255 * torch.tensor(IMAGENET_MEAN), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(IMAGENET_STD), persistent=False)
        for level, chosen in enumerate(split_by_level(indices, backbone.channels)):
            self.register_buffer(f"level{level}", torch.tensor(chosen, dtype=torch.long), persistent=False)
        self.eval()

    @property
    def dims(self) -> int:
        """Length d of an embedding."""
        return len(self.indices)

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed (N, H, W, 3) uint8 RGB as (N, H_1, W_1, d), with H_1 x W_1 the finest level's grid."""
        images = self._normalised(pixels).permute(0, 3, 1, 2)
        levels = self.backbone(images.to(self.dtype, memory_format=torch.channels_last))
        chosen = [level.permute(0, 2, 3, 1)[..., self.get_buffer(f"level{i}")] for i, level in enumerate(levels)]
        return align(chosen, torch.float64 if self.dtype == torch.float64 else torch.float32)

    def _normalised(self, pixels: Tensor) -> Tensor:
        """(N, H, W, 3) float32 of mean 0 and deviation 1 over ImageNet.

        In rows of W x 3 values: three at a time no vector unit works, and on a CPU it takes ten times as long.
        """
        width = pixels.shape[2]
        rows = pixels.flatten(2).to(torch.float32)
        return ((rows - self.mean.repeat(width)) / self.std.repeat(width)).view(pixels.shape)
