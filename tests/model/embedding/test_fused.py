"""Fused blocks: the network as it is, on a GPU by cuDNN, and on a CPU by what its calls stand for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from streamwatch.model.embedding import fused as module
from streamwatch.model.embedding.backbone import TruncatedCnn, architecture, build_backbone, fold_batch_norm, untrained_model
from streamwatch.model.embedding.fused import fused, fused_if_it_may

RELATIVE_TOLERANCE = {"cpu": 1e-5, "cuda": 5e-3}


def trunk_of(name: str, device: torch.device) -> TruncatedCnn:
    arch = architecture(name)
    trunk = build_backbone(arch, untrained_model(arch, 0))
    fold_batch_norm(trunk)
    trunk.to(device, torch.float16 if device.type == "cuda" else torch.float32).to(memory_format=torch.channels_last)
    return trunk


def stand_in(monkeypatch: pytest.MonkeyPatch, factor: float = 1.0) -> None:
    """What cuDNN's two calls compute, for a CPU that has neither."""

    def conv(x: Tensor, weight: Tensor, bias: Tensor, geometry: tuple[object, ...]) -> Tensor:
        stride, padding, dilation, groups = geometry
        return factor * conv2d(x, weight, bias, stride, padding, dilation, groups)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(torch, "cudnn_convolution_relu", lambda x, w, b, *geometry: conv(x, w, b, geometry).relu())

    def add(x: Tensor, w: Tensor, z: Tensor, alpha: float, b: Tensor, *geometry: object) -> Tensor:
        return (conv(x, w, b, geometry) + alpha * z).relu()

    monkeypatch.setattr(torch, "cudnn_convolution_add_relu", add)


@pytest.mark.parametrize("name", ["resnet18", "wide_resnet50_2"])
def test_levels_are_the_networks(name: str, device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    if device.type == "cpu":
        stand_in(monkeypatch)
    trunk = trunk_of(name, device)
    images = torch.randn((2, 3, 96, 96), generator=torch.Generator().manual_seed(1))
    images = images.to(device, next(trunk.parameters()).dtype).to(memory_format=torch.channels_last)
    with torch.no_grad():
        for expected, found in zip(trunk(images), fused(trunk)(images), strict=True):
            assert found.shape == expected.shape
            error = float((found - expected).abs().max() / expected.abs().max())
            print(f"{name}: {error:.1e}")
            assert error <= RELATIVE_TOLERANCE[device.type]


def test_weights_are_not_held_twice(device: torch.device) -> None:
    trunk = trunk_of("resnet18", device)
    assert {p.data_ptr() for p in fused(trunk).parameters()} == {p.data_ptr() for p in trunk.parameters()}


def test_it_is_taken_where_it_agrees(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    if device.type == "cpu":
        stand_in(monkeypatch)
    trunk = trunk_of("resnet18", device)
    assert fused_if_it_may(trunk) is not trunk


def test_it_is_left_where_it_fails_or_differs_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trunk = trunk_of("resnet18", torch.device("cpu"))
    assert fused_if_it_may(trunk) is trunk, "a CPU has no cuDNN"
    stand_in(monkeypatch, factor=1.1)
    assert fused_if_it_may(trunk) is trunk
    monkeypatch.delattr(torch, "cudnn_convolution_relu")
    assert fused_if_it_may(trunk) is trunk, "another PyTorch has no such call"
    assert len(caplog.messages) == 3
    assert all("in parts" in message for message in caplog.messages)


def test_what_is_no_residual_network_is_not_fused() -> None:
    arch = architecture("efficientnet_b5")
    assert not arch.residual
    with pytest.raises(TypeError):
        module.fused(build_backbone(arch, untrained_model(arch, 0)))
