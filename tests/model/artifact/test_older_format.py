"""Model files of format 1, whose fields are judged together: read, watched and written on as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from streamwatch.model.adaptation import fade
from streamwatch.model.artifact.serialization import Provenance, load_model, read_metadata, save_model
from streamwatch.model.calibration.normal_levels import NormalLevels
from streamwatch.model.embedding.embedder import Embedder
from streamwatch.model.embedding.identity import EmbeddingIdentity
from streamwatch.model.fitting import fit
from streamwatch.model.scene import SceneModel
from streamwatch.model.scoring.gaussian_motion import GaussianMotion, fit_motion
from streamwatch.model.scoring.motion_field import MotionField
from streamwatch.model.scoring.stream_scorer import StreamRules, StreamScorer
from tests.conftest import batch_of

SHRINKAGE = 0.8
Untrained = tuple[Embedder, EmbeddingIdentity]


@pytest.fixture(scope="module")
def older(untrained: Untrained) -> SceneModel:
    """What a fit of format 1 left: one level, a Gaussian of speed, and levels of no field."""
    rng = torch.Generator().manual_seed(1)
    pixels = torch.randint(60, 180, (64, 256, 256, 3), generator=rng).to(torch.uint8)
    model = fit(
        SceneModel(untrained[1], features="both"), untrained[0], [batch_of(pixels, torch.rand(64, 64, 64, generator=rng))]
    )
    assert isinstance(model.motion_, MotionField)
    moments = model.motion_.moments
    model.motion_ = GaussianMotion(moments, SHRINKAGE, fit_motion(moments, SHRINKAGE), 0.2)
    model.units_, model.samples_ = None, 0.0
    model.levels_ = {"": NormalLevels(("",), np.arange(3.0), np.ones((1, 3)), np.ones((1, 3, 256), np.float16))}
    return model


def test_it_comes_back_as_it_was_and_is_written_as_it_is(older: SceneModel, tmp_path: Path) -> None:
    path, again = tmp_path / "cam.safetensors", tmp_path / "again.safetensors"
    save_model(older, path, Provenance())
    document = read_metadata(path)
    assert (document["format_version"], document["units"], document["normal_levels"]) == (1, None, [""])
    assert document["motion"]["shrinkage"] == SHRINKAGE
    loaded, _ = load_model(path, with_moments=True)
    assert isinstance(loaded.motion_, GaussianMotion)
    assert loaded.judged_fields == ("",)
    speed = torch.rand(4, 64, 64, generator=torch.Generator().manual_seed(3))
    assert torch.equal(loaded.motion_maps(speed), older.motion_maps(speed))
    save_model(loaded, again, Provenance())
    assert again.read_bytes() == path.read_bytes()


def test_its_level_is_the_fused_one(older: SceneModel, untrained: Untrained) -> None:
    pixels = torch.randint(60, 180, (2, 256, 256, 3), generator=torch.Generator().manual_seed(5)).to(torch.uint8)
    maps = older.field_maps(untrained[0](pixels), torch.rand(2, 64, 64))
    verdict = StreamScorer(StreamRules(older.grid, older.fusion_, units=older.units_)).score(maps[0], 0.0)
    assert [field for field, _ in verdict.measures] == [""]
    assert older.fusion_
    tails = dict(verdict.fields)
    assert verdict.level >= verdict.causal_score
    assert set(tails) == {"appearance", "motion"}


def test_it_stays_one_when_it_is_taught(older: SceneModel) -> None:
    assert older.motion_
    before = older.motion_.moments.count
    fade(older, 0.25)
    assert isinstance(older.motion_, GaussianMotion)
    assert older.motion_.moments.count == round(0.75 * before)
