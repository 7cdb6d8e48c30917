"""The scene model as a whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from streamwatch.errors import ModelError, ModelMismatch, NotEnoughFrames
from streamwatch.model.embedding.embedder import Embedder
from streamwatch.model.embedding.identity import BackboneSpec, EmbeddingIdentity, build_embedder
from streamwatch.model.fitting import fit, merge, update
from streamwatch.model.scene import SceneModel
from tests.conftest import batch_of, inputs, read

pytestmark = pytest.mark.slow(110)

MERGE_RELATIVE_TOLERANCE = 1e-5
Untrained = tuple[Embedder, EmbeddingIdentity]


@pytest.fixture(scope="module")
def few() -> Untrained:
    """Few channels: the same sums in a tenth of the time."""
    return build_embedder(BackboneSpec(weights="untrained", dims=30), device=torch.device("cpu"))


@pytest.fixture(scope="module")
def frames(video: Path) -> torch.Tensor:
    return inputs(read(video))


def test_two_halves_merged_equal_one_pass(frames: torch.Tensor, few: Untrained) -> None:
    embedder, identity = few
    whole = fit(SceneModel(identity), embedder, [batch_of(frames[:64])])
    halves = [fit(SceneModel(identity), embedder, [batch_of(part)]) for part in (frames[:32], frames[32:64])]
    merged = merge(*halves)
    assert merged.frames == whole.frames == 64
    a, b = (model.score(embedder, frames[::7]).grids for model in (whole, merged))
    assert ((a - b).abs() / a).max() <= MERGE_RELATIVE_TOLERANCE


def test_update_equals_fitting_everything(frames: torch.Tensor, few: Untrained) -> None:
    embedder, identity = few
    whole = fit(SceneModel(identity), embedder, [batch_of(frames[:64])])
    updated = update(fit(SceneModel(identity), embedder, [batch_of(frames[:32])]), embedder, [batch_of(frames[32:64])])
    a, b = (model.score(embedder, frames[::7]).grids for model in (whole, updated))
    assert ((a - b).abs() / a).max() <= MERGE_RELATIVE_TOLERANCE


def test_a_score_does_not_depend_on_its_batch(frames: torch.Tensor, untrained: Untrained, fitted: SceneModel) -> None:
    some = frames[:24]
    whole = fitted.score(untrained[0], some).grids
    for size in (1, 3, 8, 11):
        parts = [fitted.score(untrained[0], part).grids for part in torch.split(some, size)]
        assert torch.equal(torch.cat(parts), whole), size


def test_something_new_scores_higher_and_where_it_is(frames: torch.Tensor, untrained: Untrained, fitted: SceneModel) -> None:
    strange = frames[:1].clone()
    strange[:, 180:220, 40:80] = torch.tensor([255, 255, 0], dtype=torch.uint8)
    maps = fitted.score(untrained[0], strange)
    assert fitted.calibration_
    assert maps.scores[0] > fitted.calibration_.start_threshold
    row, column = np.unravel_index(int(maps.grids[0].argmax()), (64, 64))
    assert 45 <= row <= 55
    assert 10 <= column <= 20


def test_too_few_frames_leave_the_model_as_it_was(frames: torch.Tensor, untrained: Untrained) -> None:
    model = SceneModel(untrained[1])
    with pytest.raises(NotEnoughFrames, match="31"):
        fit(model, untrained[0], [batch_of(frames[:31])])
    assert model.gaussians_ is None
    with pytest.raises(NotEnoughFrames):
        fit(model, untrained[0], [])


def test_an_unfitted_model_does_not_score(frames: torch.Tensor, untrained: Untrained) -> None:
    with pytest.raises(ModelError, match="fitted"):
        SceneModel(untrained[1]).score(untrained[0], frames[:1])


def test_models_of_other_channels_do_not_merge(fitted: SceneModel) -> None:
    spec = BackboneSpec(weights="untrained", seed=5)
    other = SceneModel(build_embedder(spec, device=torch.device("cpu"))[1])
    with pytest.raises(ModelMismatch, match="another"):
        merge(fitted, other)


@pytest.mark.parametrize(("name", "dims"), [("efficientnet_b5", 40), ("wide_resnet50_2", 50)])
def test_every_backbone_learns_and_scores(frames: torch.Tensor, name: str, dims: int) -> None:
    embedder, identity = build_embedder(BackboneSpec(name, "untrained", dims), device=torch.device("cpu"))
    model = fit(SceneModel(identity), embedder, [batch_of(frames[:32])])
    maps = model.score(embedder, frames[40:44])
    assert maps.grids.shape == (4, 64, 64)
    assert torch.isfinite(maps.scores).all()


@pytest.mark.parametrize(("precision", "tolerance"), [("bf16", 0.05), ("reference", 1e-3)])
def test_precisions_agree_with_float32(
    frames: torch.Tensor, untrained: Untrained, fitted: SceneModel, precision: str, tolerance: float
) -> None:
    embedder, identity = build_embedder(BackboneSpec(weights="untrained"), device=torch.device("cpu"), precision=precision)
    assert identity == untrained[1]
    model = fitted.to(torch.device("cpu"), torch.float64 if precision == "reference" else torch.float32)
    expected = fitted.score(untrained[0], frames[:4]).scores
    actual = model.score(embedder, frames[:4]).scores.to(torch.float32)
    assert ((actual - expected).abs() / expected).max() <= tolerance


def test_runs_on_every_device(frames: torch.Tensor, device: torch.device, fitted: SceneModel) -> None:
    embedder, identity = build_embedder(BackboneSpec(weights="untrained"), device=device)
    model = fit(SceneModel(identity), embedder, [batch_of(frames.to(device))])
    cpu = fitted.score(build_embedder(BackboneSpec(weights="untrained"), device=torch.device("cpu"))[0], frames[:4])
    scores = model.score(embedder, frames[:4].to(device)).scores.cpu()
    torch.testing.assert_close(scores, cpu.scores, rtol=1e-3, atol=1e-3)
