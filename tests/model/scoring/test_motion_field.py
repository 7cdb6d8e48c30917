"""The motion field: shrinkage between positions against NumPy, and the amount chosen from normal footage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from streamwatch.errors import ModelMismatch, NotEnoughFrames
from streamwatch.model.artifact.serialization import Provenance, load_model, save_model
from streamwatch.model.embedding.embedder import Embedder
from streamwatch.model.embedding.identity import EmbeddingIdentity
from streamwatch.model.fitting import fit, merge
from streamwatch.model.normality.moments import Moments
from streamwatch.model.scene import SceneModel
from streamwatch.model.scoring.motion_field import MotionField, choose_shrinkage, fit_motion, require_motion
from tests.conftest import batch_of

RELATIVE_TOLERANCE = 1e-4
GRID = (8, 8)
Untrained = tuple[Embedder, EmbeddingIdentity]


def walked(frames: int, seed: int, path: slice = slice(2, 5)) -> torch.Tensor:
    """(frames, 8, 8) speeds: somebody at about 20 px/s now and then on the path, rest and noise elsewhere."""
    rng = np.random.default_rng(seed)
    speed = np.abs(rng.normal(0, 0.3, (frames, *GRID)))
    for row in speed:
        if rng.random() < 0.6:
            row[rng.integers(path.start, path.stop), rng.integers(0, 8)] = rng.normal(20, 2)
    return torch.tensor(speed, dtype=torch.float32)


def moments_of(speed: torch.Tensor) -> Moments:
    return Moments.starting_with(speed.flatten(1).unsqueeze(2))


@pytest.mark.parametrize("shrinkage", [0.0, 0.5, 1.0])
def test_distances_equal_numpy(shrinkage: float) -> None:
    speed = walked(300, 0)
    field = MotionField(moments_of(speed), shrinkage, fit_motion(moments_of(speed), shrinkage), 0.2)
    x = speed.flatten(1).double().numpy()
    mean, variance = x.mean(axis=0), x.var(axis=0, ddof=1)
    pooled = variance.mean() + mean.var()
    mu = (1 - shrinkage) * mean + shrinkage * mean.mean()
    sigma = np.sqrt((1 - shrinkage) * variance + shrinkage * pooled + 0.01 * pooled)
    probe = walked(5, 9)
    expected = np.abs(probe.flatten(1).double().numpy() - mu) / sigma
    actual = torch.stack([f.flatten() for f in unsmoothed(field, probe)]).double().numpy()
    np.testing.assert_allclose(actual, expected, rtol=RELATIVE_TOLERANCE, atol=1e-4)


def unsmoothed(field: MotionField, speed: torch.Tensor) -> torch.Tensor:
    mean, weight = field.gaussians.mean[:, 0], field.gaussians.whitener_t[:, 0, 0]
    return ((speed.flatten(1) - mean).abs() * weight).reshape(speed.shape)


def test_the_chosen_amount_lets_a_walker_off_the_path_pass() -> None:
    """By themselves, cells where nobody walked call every passer-by an outlier; tied, only speed counts."""
    moments, held = moments_of(walked(600, 0)), [walked(60, 1, slice(0, 8))]
    chosen = choose_shrinkage(moments, held, GRID)
    assert chosen >= 0.9
    fast = torch.zeros(1, *GRID)
    fast[0, 3, 3] = 60.0
    off_path = torch.zeros(1, *GRID)
    off_path[0, 7, 7] = 20.0
    by_itself, tied = (MotionField(moments, a, fit_motion(moments, a), 0.2) for a in (0.0, chosen))
    assert by_itself.maps(off_path, GRID).max() > by_itself.maps(fast, GRID).max()
    assert 2 * tied.maps(off_path, GRID).max() < tied.maps(fast, GRID).max()


def test_rows_without_evidence_stay_without_and_touch_no_other() -> None:
    speed = walked(50, 0)
    field = MotionField(moments_of(speed), 1.0, fit_motion(moments_of(speed), 1.0), 0.2)
    probe = walked(3, 4)
    probe[1] = torch.nan
    maps = field.maps(probe, GRID)
    assert torch.isnan(maps[1]).all()
    assert torch.isfinite(maps[[0, 2]]).all()


def test_no_motion_at_all_is_said() -> None:
    with pytest.raises(NotEnoughFrames, match="features appearance"):
        require_motion(None)


def footage(frames: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    place = torch.randint(60, 180, (1, 256, 256, 3), generator=torch.Generator().manual_seed(0))
    pixels = (place + torch.randint(-5, 5, (frames, 256, 256, 3), generator=rng)).to(torch.uint8)
    speed = torch.rand(frames, 64, 64, generator=rng) + 20 * (torch.rand(frames, 64, 64, generator=rng) > 0.999)
    speed[:2] = torch.nan
    return pixels, speed


@pytest.fixture(scope="module")
def both(untrained: Untrained) -> SceneModel:
    return fit(SceneModel(untrained[1], features="both"), untrained[0], [batch_of(*footage(64, 1))])


def test_two_halves_merged_equal_one_pass(untrained: Untrained, both: SceneModel) -> None:
    pixels, speed = footage(64, 1)
    halves = [
        fit(SceneModel(untrained[1], features="both"), untrained[0], [batch_of(pixels[at], speed[at])])
        for at in (slice(0, 32), slice(32, 64))
    ]
    merged = merge(halves[0], halves[1])
    assert merged.motion_
    assert both.motion_
    assert merged.motion_.moments.count == both.motion_.moments.count == 62
    at = slice(None)
    torch.testing.assert_close(merged.motion_.moments.mean(), both.motion_.moments.mean(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(merged.motion_.moments.covariance(at), both.motion_.moments.covariance(at), rtol=1e-4, atol=1e-4)


def test_the_model_file_keeps_both_fields_bit_for_bit(untrained: Untrained, both: SceneModel, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_model(both, path, Provenance())
    loaded, _ = load_model(path, with_moments=True)
    assert loaded.features == "both"
    assert loaded.fusion_
    assert both.fusion_
    assert loaded.fusion_.lift == both.fusion_.lift
    assert np.array_equal(loaded.fusion_.motion.knots, both.fusion_.motion.knots)
    _, speed = footage(8, 3)
    assert torch.equal(loaded.motion_maps(speed[2:]), both.motion_maps(speed[2:]))
    save_model(loaded, tmp := path.with_name("again.safetensors"), Provenance())
    assert tmp.read_bytes() == path.read_bytes()


def test_a_model_of_motion_alone(untrained: Untrained, tmp_path: Path) -> None:
    model = fit(SceneModel(untrained[1], features="motion"), untrained[0], [batch_of(*footage(64, 1))])
    assert model.gaussians_ is None
    assert model.frames == 62
    path = tmp_path / "m.safetensors"
    save_model(model, path, Provenance())
    assert path.stat().st_size < 500_000
    assert load_model(path)[0].features == "motion"


def test_fields_do_not_mix(untrained: Untrained, both: SceneModel, fitted: SceneModel) -> None:
    with pytest.raises(ModelMismatch, match="both"):
        merge(fitted, both)


def test_footage_without_motion_is_refused(untrained: Untrained) -> None:
    pixels, _ = footage(40, 1)
    model = SceneModel(untrained[1], features="both")
    with pytest.raises(NotEnoughFrames, match="motion"):
        fit(model, untrained[0], [batch_of(pixels)])
    assert model.gaussians_ is None
