"""Trunks: the levels of docs/decisions/0002-method.md, without the tail, and batch norm folded without a trace."""

from __future__ import annotations

import copy

import pytest
import torch

from streamwatch.errors import UsageError, WeightsError
from streamwatch.model.embedding.backbone import ARCHITECTURES, architecture, build_backbone, fold_batch_norm, untrained_model

LEVELS = {
    "resnet18": [(64, 64, 64), (128, 32, 32), (256, 16, 16)],
    "wide_resnet50_2": [(256, 64, 64), (512, 32, 32), (1024, 16, 16)],
    "efficientnet_b5": [(40, 64, 64), (176, 16, 16), (176, 16, 16)],
}
FOLDING_RELATIVE_TOLERANCE = 1e-4


@pytest.mark.parametrize("name", LEVELS)
def test_levels_have_the_design_shapes(name: str) -> None:
    arch = architecture(name)
    trunk = build_backbone(arch, untrained_model(arch, seed=0))
    with torch.inference_mode():
        levels = trunk(torch.randn(1, 3, 256, 256))
    assert [tuple(level.shape[1:]) for level in levels] == LEVELS[name]
    assert arch.channels == tuple(shape[0] for shape in LEVELS[name])


@pytest.mark.parametrize("name", LEVELS)
def test_the_tail_is_dropped(name: str) -> None:
    arch = architecture(name)
    full = untrained_model(arch, seed=0)
    whole = sum(p.numel() for p in full.parameters())
    assert sum(p.numel() for p in build_backbone(arch, full).parameters()) < 0.65 * whole


def test_levels_equal_torchvisions_own_activations() -> None:
    arch = architecture("resnet18")
    model = untrained_model(arch, seed=4).eval()
    x = torch.randn(2, 3, 256, 256)
    seen: list[torch.Tensor] = []
    for name in arch.layer_names:
        model.get_submodule(name).register_forward_hook(lambda _m, _i, out: seen.append(out))
    with torch.inference_mode():
        model(x)
        levels = build_backbone(arch, model)(x)
    assert all(torch.equal(a, b) for a, b in zip(levels, seen[:3], strict=True))


@pytest.mark.parametrize("name", LEVELS)
def test_folding_batch_norm_changes_nothing(name: str) -> None:
    arch = architecture(name)
    plain = build_backbone(arch, untrained_model(arch, seed=1))
    for key, buffer in plain.named_buffers():  # statistics that do something
        if key.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        if key.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    folded = copy.deepcopy(plain)
    fold_batch_norm(folded)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    x = torch.randn(1, 3, 256, 256)
    with torch.inference_mode():
        for a, b in zip(plain(x), folded(x), strict=True):
            assert (a - b).norm() <= FOLDING_RELATIVE_TOLERANCE * a.norm()


def test_untrained_is_seeded_and_leaves_the_global_state_alone() -> None:
    arch = ARCHITECTURES["resnet18"]
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    a, b, c = (untrained_model(arch, seed).state_dict()["conv1.weight"] for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert torch.equal(torch.rand(3), expected)


def test_weights_that_are_not_finite_are_refused() -> None:
    arch = ARCHITECTURES["resnet18"]
    model = untrained_model(arch, seed=0)
    model.state_dict()["layer2.0.conv1.weight"][0, 0, 0, 0] = float("nan")
    with pytest.raises(WeightsError, match="NaN"):
        build_backbone(arch, model)


def test_an_unknown_backbone_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="resnet18"):
        architecture("resnet19")
