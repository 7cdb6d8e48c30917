"""Fused blocks: the network as it is, by cuDNN on a GPU and by oneDNN on a CPU."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from streamwatch.model.embedding import fused as module
from streamwatch.model.embedding.backbone import TruncatedCnn, architecture, build_backbone, fold_batch_norm, untrained_model
from streamwatch.model.embedding.fused import fused, fused_if_it_may, may_be_fused

RELATIVE_TOLERANCE = {torch.float32: 5e-6, torch.bfloat16: 2e-2, torch.float16: 5e-3}
TYPES = {"cpu": (torch.float32, torch.bfloat16), "cuda": (torch.float16, torch.bfloat16)}


def trunk_of(name: str, device: torch.device, dtype: torch.dtype | None = None) -> TruncatedCnn:
    arch = architecture(name)
    trunk = build_backbone(arch, untrained_model(arch, 0))
    fold_batch_norm(trunk)
    trunk.to(device, dtype or TYPES[device.type][0]).to(memory_format=torch.channels_last)
    return trunk


@pytest.mark.parametrize("name", ["resnet18", "wide_resnet50_2"])
@pytest.mark.parametrize("number", [0, 1])
def test_levels_are_the_networks(name: str, number: int, device: torch.device) -> None:
    dtype = TYPES[device.type][number]
    assert may_be_fused(device, dtype)
    trunk = trunk_of(name, device, dtype)
    images = torch.randn((2, 3, 96, 96), generator=torch.Generator().manual_seed(1))
    images = images.to(device, dtype).to(memory_format=torch.channels_last)
    with torch.no_grad():
        for expected, found in zip(trunk(images), fused(trunk)(images), strict=True):
            assert found.shape == expected.shape
            error = float((found - expected).abs().max() / expected.abs().max())
            print(f"{name} in {dtype}: {error:.1e}")
            assert error <= RELATIVE_TOLERANCE[dtype]
            assert found.is_contiguous(memory_format=torch.channels_last)


def test_weights_are_not_held_twice(device: torch.device) -> None:
    trunk = trunk_of("resnet18", device)
    assert {p.data_ptr() for p in fused(trunk).parameters()} == {p.data_ptr() for p in trunk.parameters()}


def test_it_is_taken_where_it_agrees(device: torch.device) -> None:
    trunk = trunk_of("resnet18", device)
    assert fused_if_it_may(trunk) is not trunk


class WrongBy:
    """In the place of oneDNN's calls; what it computes is off by a factor."""

    def __init__(self, factor: float) -> None:
        self._factor, self._real = factor, torch.ops.mkldnn._convolution_pointwise
        self.binary = self._real.binary

    def __call__(self, *given: object) -> Tensor:
        made: Tensor = self._factor * self._real(*given)
        return made


def test_it_is_left_where_it_fails_or_differs_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trunk = trunk_of("resnet18", torch.device("cpu"))
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace(_convolution_pointwise=WrongBy(1.1)))
    assert fused_if_it_may(trunk) is trunk
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace())
    assert fused_if_it_may(trunk) is trunk, "another PyTorch has no such call"
    assert len(caplog.messages) == 2
    assert all("in parts" in message for message in caplog.messages)


def test_what_has_no_such_call_is_not_asked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert not may_be_fused(cpu, torch.float64)
    assert not may_be_fused(gpu, torch.float32)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not may_be_fused(cpu, torch.float32)


def test_what_is_no_residual_network_is_not_fused() -> None:
    arch = architecture("efficientnet_b5")
    assert not arch.residual
    with pytest.raises(TypeError):
        module.fused(build_backbone(arch, untrained_model(arch, 0)))
