"""The motion field: what a still scene reads, the size that suits a scene's things, and the model file."""

from __future__ import annotations

from pathlib import Path

import cv2
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
from streamwatch.model.scoring.motion_field import (
    READING_ERROR_PX_S,
    SIZES_CELLS,
    STILL_PX_S,
    MotionField,
    choose_size,
    require_motion,
)
from streamwatch.records import UInt8Array
from streamwatch.video.optical_flow import MotionEstimator
from streamwatch.video.scaling import InputPicture
from tests.conftest import batch_of

GRID = (64, 64)
Untrained = tuple[Embedder, EmbeddingIdentity]


def place(contrast: float) -> UInt8Array:
    """(256, 256) grey levels that deviate by 35 times the contrast."""
    rng = np.random.default_rng(0)
    image = np.zeros((256, 256), np.float32)
    for size, strength in ((8, 30), (32, 20), (128, 12)):
        part = rng.normal(0, strength * contrast, (size, size)).astype(np.float32)
        image += cv2.resize(part, (256, 256), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(120 + image, 0, 255), dtype=np.uint8)


def noisy(picture: UInt8Array, deviation: float, rng: np.random.Generator) -> UInt8Array:
    """(256, 256, 3) with noise that is alike in neighbouring pixels, as scaling and coding leave it."""
    noise = cv2.GaussianBlur(rng.normal(0, 1, picture.shape).astype(np.float32), (0, 0), 0.7)
    seen: UInt8Array = np.clip(picture + deviation / noise.std() * noise, 0, 255).astype(np.uint8)
    return seen[..., None].repeat(3, axis=2)


@pytest.mark.parametrize(
    ("contrast", "noise", "at_most"),
    [(0.3, 3.3, STILL_PX_S / 2), (0.3, 1.6, READING_ERROR_PX_S), (1.0, 3.3, READING_ERROR_PX_S)],
)
def test_what_the_estimator_reads_on_a_still_scene(contrast: float, noise: float, at_most: float) -> None:
    rng, scene = np.random.default_rng(1), place(contrast)
    field = MotionField(Moments.starting_with(torch.zeros(2, 64 * 64, 1)), SIZES_CELLS[0], 0.2)
    readings = []
    for _ in range(12):
        motion = MotionEstimator(0.2)
        motion.speed(InputPicture.scaled(noisy(scene, noise, rng)), 0.0)
        speed = motion.speed(InputPicture.scaled(noisy(scene, noise, rng)), 0.2)
        assert speed is not None
        readings.append(float(field.maps(torch.from_numpy(speed)[None], GRID).max()))
    print(f"\na still scene, grey levels deviating by {35 * contrast:.0f}, noise of {noise}: {np.median(readings):.1f} px/s")
    assert np.median(readings) <= at_most


def things(size_cells: int, seed: int, noise: float = 3.0) -> torch.Tensor:
    """(120, 64, 64) speeds: a thing of about 20 px/s in every frame, its estimate noisy cell by cell."""
    rng = np.random.default_rng(seed)
    speed = np.zeros((120, *GRID), np.float32)
    for row in speed:
        y, x = rng.integers(0, 64 - size_cells, 2)
        row[y : y + size_cells, x : x + size_cells] = np.abs(rng.normal(20, noise, (size_cells, size_cells)))
    return torch.from_numpy(speed)


def test_the_size_suits_the_things_of_the_scene() -> None:
    """Where things are large, noise is averaged away; where they are small, a large size would average the thing away."""
    assert choose_size([things(12, 0, noise=14.0)]) == SIZES_CELLS[-1]
    small = things(2, 1)
    swaying = things(20, 2, noise=0.1) / 6  # something large and slow beside it
    assert choose_size([torch.maximum(small, swaying)]) == SIZES_CELLS[0]
    assert choose_size([]) == choose_size([torch.zeros(40, *GRID)]) == SIZES_CELLS[0]


def test_rows_without_evidence_stay_without_and_touch_no_other() -> None:
    speed = things(4, 0)[:3].clone()
    speed[1] = torch.nan
    maps = MotionField(Moments.starting_with(speed[[0, 2]].flatten(1).unsqueeze(2)), 2.0, 0.2).maps(speed, GRID)
    assert torch.isnan(maps[1]).all()
    assert torch.isfinite(maps[[0, 2]]).all()
    assert maps[0].mean() == pytest.approx(float(speed[0].mean()), rel=0.05)  # speed is neither made nor lost


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
