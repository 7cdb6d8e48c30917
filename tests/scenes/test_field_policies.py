"""Each field of each zone is judged by its own normal footage, and one camera keeps one budget."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamwatch.config.schema import Config
from streamwatch.events.tracker import EventTracker
from streamwatch.inference.engine import WatchedScene
from streamwatch.model.calibration.thresholds import DAY_S, NormalPeaks, calibrate, thresholds_for
from streamwatch.model.embedding.identity import EmbeddingIdentity
from streamwatch.model.scene import SceneModel
from streamwatch.model.scoring.fusion import FieldMaps, Fusion
from streamwatch.model.scoring.levels import APPEARANCE, MOTION, FieldUnits
from streamwatch.model.scoring.stream_scorer import StreamRules, StreamScorer
from streamwatch.model.scoring.tails import fit_tail
from streamwatch.records import Float32Array, Frame
from streamwatch.scenes.policy import ScenePolicy, scene_policy_for
from streamwatch.scores import FrameScore

RNG = np.random.default_rng(0)
GRID = (64, 64)
FUSION = Fusion(fit_tail(RNG.gamma(3, size=5000)), fit_tail(RNG.exponential(size=5000)), 0.8)
LEFT = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]


def peaks(zone: str, field: str, held: float, exposure_s: float = 120.0, count: int = 0) -> NormalPeaks:
    values = tuple(sorted(RNG.exponential(held / 8, count) + held / 4, reverse=True))
    return NormalPeaks(zone, held, held, exposure_s, values, 1.0, 30.0, field, held, held / 10, 0.0)


def model_of(*known: NormalPeaks) -> SceneModel:
    model = SceneModel(EmbeddingIdentity("resnet18", "untrained", "0" * 64, ("layer1",), 1, 0, (0,)), features="both")
    model.fusion_, model.units_ = FUSION, FieldUnits(10.0, 20.0)
    model.calibration_ = calibrate([0.5] * 100, known)
    return model


def config_of(**camera: object) -> Config:
    return Config.model_validate(
        {"version": 1, "data_dir": Path("data"), "cameras": {"cam": {"source": "rtsp://127.0.0.1:1/", **camera}}}
    )


def policy_of(model: SceneModel, **camera: object) -> ScenePolicy:
    return scene_policy_for(config_of(**camera), "cam", WatchedScene(model), lambda *_: False)


def scored(policy: ScenePolicy, at_s: float, appearance: float, motion: float, cell: tuple[int, int] = (10, 10)) -> FrameScore:
    """A frame in which both fields read this at one cell, no filter before it."""
    scene = policy.scene
    scorer = StreamScorer(StreamRules(GRID, scene.model.fusion_, units=scene.units or scene.model.units_))
    found = scorer.score(FieldMaps(spot(appearance, cell), spot(motion, cell)), at_s)
    frame = Frame("cam", int(at_s * 10), at_s, at_s, at_s, np.zeros((256, 256, 3), np.uint8))
    return FrameScore(frame, found.level, lambda: found)


def spot(value: float, cell: tuple[int, int]) -> Float32Array:
    grid = np.zeros(GRID, np.float32)
    grid[cell] = value
    return grid


def test_a_noisy_field_does_not_deafen_the_other() -> None:
    """Insects made the normal motion wild; what appearance held was little, and twice that is an event that says so."""
    policy = policy_of(model_of(peaks("", APPEARANCE, 20.0), peaks("", MOTION, 500.0)))
    tracker = EventTracker("cam", policy.policies[""], new_id=lambda _: "id")
    changes = [change for n in range(20) for change in tracker.observe(scored(policy, n / 10, 40.0, 400.0))]
    (started,) = changes
    assert started.event.peak.score == pytest.approx(40.0 / 25.0)
    assert (started.event.start_threshold, started.event.provisional) == (1.0, True)
    reason = started.event.peak.reason
    assert reason
    assert (reason.field, reason.value, reason.threshold, reason.highest_held) == (APPEARANCE, 40.0, 25.0, 20.0)
    assert reason.days_between is None


def test_the_level_is_one_where_any_field_of_any_zone_is_at_its_threshold() -> None:
    known = [peaks(zone, field, held) for zone, field, held in (
        ("", APPEARANCE, 20.0), ("", MOTION, 40.0), ("left", APPEARANCE, 40.0), ("left", MOTION, 80.0)
    )]  # fmt: skip
    policy = policy_of(model_of(*known), zones={"left": {"polygon": LEFT}})
    for zone, cell in (("", (30, 50)), ("left", (30, 10))):
        for row in range(2):
            start = 1.25 * known[2 * (zone == "left") + row].sustained
            values = (start, 0.0) if row == 0 else (0.0, start)
            frame = scored(policy, 0.0, *values, cell)
            assert policy.policies[zone].level_of(frame) == pytest.approx(1.0)
            other = "" if zone else "left"
            assert policy.policies[other].level_of(frame) == 0.0


def test_a_zone_that_was_not_calibrated_is_measured_as_the_model_measures() -> None:
    policy = policy_of(model_of(peaks("", APPEARANCE, 20.0), peaks("", MOTION, 40.0)), zones={"left": {"polygon": LEFT}})
    assert policy.policies["left"].level_of(scored(policy, 0.0, 10.0, 0.0, (30, 10))) == pytest.approx(1.0)
    assert policy.policies[""].level_of(scored(policy, 0.0, 25.0, 0.0, (30, 50))) == pytest.approx(1.0)


def test_a_budget_is_shared_by_the_fields() -> None:
    known = [peaks("", field, held, 30 * DAY_S, 400) for field, held in ((APPEARANCE, 20.0), (MOTION, 40.0))]
    (zone,) = policy_of(model_of(*known), alarm_budget="1/day").zones.values()
    assert [judged.thresholds.budget_per_day for judged in zone.fields] == [0.5, 0.5]
    assert [judged.thresholds.start for judged in zone.fields] == [thresholds_for(p, 0.5).start for p in known]
    assert not zone.policy.provisional
    assert zone.policy.alert_threshold > 1.0


def test_a_threshold_by_hand_is_a_multiple_of_what_the_models_own_footage_asks_for() -> None:
    policy = policy_of(model_of(peaks("", APPEARANCE, 20.0), peaks("", MOTION, 40.0)), threshold=1.5)
    assert policy.scene.units is None
    assert policy.policies[""].event_policy.start_threshold == 1.5
    assert policy.policies[""].level_of(scored(policy, 0.0, 15.0, 0.0)) == pytest.approx(1.5)


def test_a_threshold_in_the_unit_of_an_older_model_is_told(caplog: pytest.LogCaptureFixture) -> None:
    policy_of(model_of(peaks("", APPEARANCE, 20.0), peaks("", MOTION, 40.0)), threshold=12)
    assert "hardly anything reaches it" in caplog.text


def test_an_older_model_is_judged_as_it_was() -> None:
    together = NormalPeaks("", 3.0, 5.0, 3600.0, (5.0, 4.5, 4.2, 4.0), 1.0, 30.0)
    model = model_of(together)
    model.units_ = None
    policy = policy_of(model)
    assert policy.scene.units is None
    assert policy.policies[""].event_policy.start_threshold == pytest.approx(3 + 1.25 * (5 - 3))
    assert policy.policies[""].event_policy.end_threshold == 3.0
    frame = scored(policy, 0.0, 9.0, 3.0)
    assert [field for field, _ in frame.measures] == [""]
