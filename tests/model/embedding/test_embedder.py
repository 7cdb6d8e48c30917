"""Choosing channels per level before aligning equals aligning everything and choosing afterwards."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import interpolate

from streamwatch.errors import UsageError
from streamwatch.model.embedding.backbone import architecture, build_backbone, untrained_model
from streamwatch.model.embedding.embedder import IMAGENET_MEAN, IMAGENET_STD, Embedder, align, choose_channels, split_by_level


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b5"])
def test_choosing_first_equals_choosing_last(name: str) -> None:
    arch = architecture(name)
    trunk = build_backbone(arch, untrained_model(arch, 0))
    indices = choose_channels(sum(arch.channels), arch.default_dims, seed=3)
    pixels = torch.randint(0, 256, (2, 256, 256, 3), dtype=torch.uint8)
    with torch.inference_mode():
        embedding = Embedder(trunk, indices)(pixels)
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
        levels = trunk((pixels.permute(0, 3, 1, 2) / 255 - mean) / std)
        whole = torch.cat([interpolate(level, size=(64, 64), mode="nearest") for level in levels], dim=1)
    expected = whole[:, list(indices)].permute(0, 2, 3, 1)
    assert embedding.shape == (2, 64, 64, arch.default_dims)
    torch.testing.assert_close(embedding, expected, rtol=1e-4, atol=1e-4)


def test_channels_are_seeded_distinct_and_in_range() -> None:
    a, b, c = (choose_channels(448, 100, seed) for seed in (1024, 1024, 7))
    assert a == b != c
    assert len(set(a)) == 100
    assert list(a) == sorted(a)
    assert 0 <= min(a) <= max(a) < 448


@pytest.mark.parametrize("dims", [0, 449])
def test_dims_out_of_range_are_refused(dims: int) -> None:
    with pytest.raises(UsageError, match="448"):
        choose_channels(448, dims, 0)


def test_split_by_level_covers_every_index_once() -> None:
    assert split_by_level([0, 63, 64, 191, 192, 447], (64, 128, 256)) == [[0, 63], [0, 127], [0, 255]]


def test_a_grid_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="divide"):
        align([torch.zeros(1, 64, 64, 2), torch.zeros(1, 30, 30, 2)], torch.float32)
