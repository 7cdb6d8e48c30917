"""A model that was learned in another way than its camera is watched says so."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from streamwatch.config.schema import CameraDefaults
from streamwatch.model.calibration.normal_levels import NormalLevels
from streamwatch.model.embedding.embedder import Embedder
from streamwatch.model.embedding.identity import EmbeddingIdentity
from streamwatch.model.scene import SceneModel
from streamwatch.scenes.model_files import config_mismatches


def calibrated_at(rate_hz: float, identity: EmbeddingIdentity, frames: int = 50) -> SceneModel:
    """A model that knows nothing but when its normal frames were."""
    model = SceneModel(identity, features="both")
    at_s = np.arange(frames) / rate_hz
    at_s[frames // 2 :] += 60.0  # another file, which says nothing of the rate
    model.levels_ = {"": NormalLevels(("",), at_s, np.ones((1, frames)), np.ones((1, frames, 4), np.float16))}
    return model


@pytest.mark.parametrize(
    ("calibrated_hz", "watched_hz", "mismatch"),
    [
        (10.0, 10.0, None),
        (10.0, 5.0, None),
        (5.0, "native", None),
        (5.0, 25.0, None),
        (25.0, 5.0, "was calibrated at 25 frames/s and is watched at 5, where more alarms are false"),
        (10.0, 0.56, "was calibrated at 10 frames/s and is watched at 0.56, where more alarms are false"),
    ],
)
def test_a_lower_rate_than_the_thresholds_were_found_at_is_told(
    untrained: tuple[Embedder, EmbeddingIdentity],
    calibrated_hz: float,
    watched_hz: float | Literal["native"],
    mismatch: str | None,
) -> None:
    settings = CameraDefaults(fps=watched_hz)
    assert list(config_mismatches(calibrated_at(calibrated_hz, untrained[1]), settings)) == ([mismatch] if mismatch else [])


def test_other_fields_or_another_motion_step_are_told(untrained: tuple[Embedder, EmbeddingIdentity]) -> None:
    model = calibrated_at(5.0, untrained[1])
    assert list(config_mismatches(model, CameraDefaults(features="motion"))) == ["holds both, not motion"]
    assert list(config_mismatches(model, CameraDefaults(motion_step="400ms"))) == ["was learned with motion_step 0.2 s"]
    model.levels_ = None
    assert list(config_mismatches(model, CameraDefaults(fps=0.1))) == [], "nothing is known of its rate"
