"""Frozen CNN trunks that give three levels of activations.

All numbers of an architecture stand in ``ARCHITECTURES``; ``build_backbone`` is the one factory.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from streamwatch.errors import UsageError, WeightsError

Stages = list[nn.Sequential]


class Backbone(Protocol):
    """Anything that turns normalised images into levels, finest first."""

    @property
    def channels(self) -> tuple[int, ...]:
        """Number of channels of each level."""
        ...

    def __call__(self, images: Tensor, /) -> tuple[Tensor, ...]:
        """(N, 3, 256, 256) normalised images to one (N, C_l, H_l, W_l) tensor per level."""
        ...


@dataclass(frozen=True)
class Architecture:
    """The facts of one supported architecture (docs/decisions/0002-method.md).

    Attributes:
        name: as torchvision calls it.
        layer_names: what the three levels are called in torchvision's module tree.
        channels: channels of each level.
        default_dims: the paper's number of kept channels (section 4.2; B5 after the authors' figures).
        stages: cuts a built model into the three stages up to each level, dropping its tail.
        residual: it is made of a residual network's blocks, which can be fused (``fused``).
    """

    name: str
    layer_names: tuple[str, str, str]
    channels: tuple[int, int, int]
    default_dims: int
    stages: Callable[[nn.Module], Stages]
    residual: bool = False

    def build(self) -> nn.Module:
        """torchvision's module with its own initialisation."""
        model: nn.Module = _torchvision_models().get_model(self.name, weights=None)
        return model

    @property
    def weights(self) -> Any:
        """torchvision's entry of the IMAGENET1K weights, which knows where they are."""
        return _torchvision_models().get_model_weights(self.name).IMAGENET1K_V1


def _torchvision_models() -> Any:
    """Imported by whoever builds a network: it takes two seconds, for which most commands have no use."""
    return importlib.import_module("torchvision.models")


def _resnet_stages(model: nn.Module) -> Stages:
    stem = [model.get_submodule(name) for name in ("conv1", "bn1", "relu", "maxpool", "layer1")]
    return [nn.Sequential(*stem), *(nn.Sequential(model.get_submodule(name)) for name in ("layer2", "layer3"))]


_B5_LEVEL_BLOCKS = (7, 20, 26)


def _efficientnet_stages(model: nn.Module) -> Stages:
    features = model.features
    if not isinstance(features, nn.Sequential):
        raise TypeError("torchvision's EfficientNet no longer keeps its blocks in a Sequential")
    stem, *block_groups, _head = features
    blocks = [block for group in block_groups if isinstance(group, nn.Sequential) for block in group]
    starts = (0, *(last + 1 for last in _B5_LEVEL_BLOCKS))
    stages = [nn.Sequential(*blocks[a:b]) for a, b in pairwise(starts)]
    stages[0] = nn.Sequential(stem, *stages[0])
    return stages


_RESNET_LEVELS = ("layer1", "layer2", "layer3")

ARCHITECTURES: dict[str, Architecture] = {
    a.name: a
    for a in (
        Architecture(
            "resnet18",
            _RESNET_LEVELS,
            (64, 128, 256),
            100,
            _resnet_stages,
            residual=True,
        ),
        Architecture(
            "wide_resnet50_2",
            _RESNET_LEVELS,
            (256, 512, 1024),
            550,
            _resnet_stages,
            residual=True,
        ),
        Architecture(
            "efficientnet_b5",
            ("block7", "block20", "block26"),
            (40, 176, 176),
            200,
            _efficientnet_stages,
        ),
    )
}


def architecture(name: str) -> Architecture:
    """The architecture called ``name``.

    Raises:
        UsageError: there is none of this name.
    """
    if name not in ARCHITECTURES:
        raise UsageError(f"unknown backbone {name!r}", hint=f"choose one of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


class TruncatedCnn(nn.Module):
    """Three stages run one after the other, each one's output a level; no classifier tail, no gradients."""

    def __init__(self, stages: Sequence[nn.Module], channels: tuple[int, ...]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.channels = channels
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) normalised images to (N, C_l, H_l, W_l) per level, finest first."""
        levels: list[Tensor] = []
        for stage in self.stages:
            images = stage(images)
            levels.append(images)
        return tuple(levels)


def untrained_model(arch: Architecture, seed: int) -> nn.Module:
    """torchvision's own initialisation from ``seed``, leaving the global random state alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return arch.build()


def build_backbone(arch: Architecture, model: nn.Module) -> TruncatedCnn:
    """Cut a full torchvision model to the trunk that gives the three levels.

    Raises:
        WeightsError: a parameter or statistic of the trunk is not finite.
    """
    trunk = TruncatedCnn(arch.stages(model), arch.channels)
    for name, value in trunk.state_dict().items():
        if value.is_floating_point() and not math.isfinite(float(value.abs().max())):
            raise WeightsError(
                f"tensor {name} holds NaN or infinity", where=f"weights of {arch.name}", hint="use an intact weights file"
            )
    return trunk


def fold_batch_norm(module: nn.Module) -> None:
    """Fold every batch norm into the convolution registered just before it, in place.

    Inference only: y = g (Wx - m) / s + b is itself a convolution, and one pass over memory less.
    In torchvision's trunks a convolution's batch norm is always its next sibling.
    """
    previous: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and previous and isinstance(previous[1], nn.Conv2d):
            setattr(module, previous[0], fuse_conv_bn_eval(previous[1], child))
            setattr(module, name, nn.Identity())
        else:
            fold_batch_norm(child)
        previous = (name, child)
