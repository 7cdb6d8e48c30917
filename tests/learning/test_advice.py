"""What a fit says of its footage."""

from __future__ import annotations

from dataclasses import replace

from streamwatch.learning.advice import advice_for
from streamwatch.model.calibration.thresholds import DAY_S, NormalPeaks, calibrate
from streamwatch.model.embedding.identity import EmbeddingIdentity
from streamwatch.model.fitting import SAMPLE_S
from streamwatch.model.scene import SceneModel
from streamwatch.model.scoring.levels import APPEARANCE, MOTION, FieldUnits


def model_of(exposure_s: float, moved_px_s: float = 40.0) -> SceneModel:
    identity = EmbeddingIdentity("resnet18", "untrained", "0" * 64, ("layer1",), 100, 0, tuple(range(100)))
    model = SceneModel(identity, features="both")
    appearance = NormalPeaks("", 10.0, 20.0, exposure_s, (), 1.0, 30.0, APPEARANCE, 18.0, 10.0)
    motion = replace(appearance, field=MOTION, sustained=moved_px_s)
    model.calibration_, model.units_, model.samples_ = (
        calibrate([1.0], (appearance, motion)),
        FieldUnits(),
        exposure_s / SAMPLE_S,
    )
    return model


def test_little_footage_is_enough_to_watch_with_and_longer_would_help() -> None:
    enough, longer = advice_for(model_of(48.0), {"": 1.0}, 0)
    assert "enough to watch with, not for the alarm budget: it would take 3.0 days more, which `streamwatch run` adds" in enough
    assert longer.startswith("longer: 48 s leave 51 %")


def test_a_still_scene_and_outliers_are_told() -> None:
    lines = list(advice_for(model_of(48.0, moved_px_s=3.0), {"": 1.0}, 2))
    assert any(line.startswith("busier hours: nothing moved") for line in lines)
    assert any("2 stretches stand out" in line and "leave out" in line for line in lines)


def test_footage_that_supports_the_budget_is_enough() -> None:
    assert list(advice_for(model_of(7 * DAY_S), {"": 1.0}, 0)) == ["enough: the footage supports the alarm budget"]


def test_an_older_model_gets_no_advice() -> None:
    model = model_of(48.0)
    model.units_ = None
    assert list(advice_for(model, {"": 1.0}, 1)) == []
