"""A camera that goes from day to infrared night and back: the switch raises nothing, and what was not learned is not judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamwatch.detection.camera_monitor import CameraMonitor
from streamwatch.events.decision import EventPolicy
from streamwatch.events.tamper import TamperDetector
from streamwatch.events.tracker import EventTracker
from streamwatch.ids import uuid7
from streamwatch.model.regime import DAY, GREY
from streamwatch.records import UInt8Array
from streamwatch.scenes.regimes import SceneSet
from streamwatch.scores import Spread
from tests.detection.test_pipeline import RNG, SCENE, Bench, sample, scene_policy

COLOURED = SCENE.reshape(32, 8, 32, 8, 3)[:, 0, :, 0].repeat(8, 0).repeat(8, 1)
GREYED = np.repeat(COLOURED.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
DARKENED = COLOURED // 8
FAR = Spread(1000.0, 0.9)
AS_LEARNED = Spread(8.0, 0.3)


class DayAndNight(Bench):
    """The bench's camera, with a scene of the day and perhaps one of the night."""

    def __init__(self, folder: Path, *, with_night: bool) -> None:
        super().__init__(folder)
        self.day, self.night = scene_policy(EventPolicy(10, 5, 0.5, 0.5, 0.5)), scene_policy(EventPolicy(40, 20, 0.5, 0.5, 0.5))
        scenes = SceneSet(
            {DAY: self.day, GREY: self.night} if with_night else {DAY: self.day},
            DAY,
        )
        tracker = EventTracker("cam", self.day.policies[""], new_id=uuid7)
        tamper = TamperDetector(calm_spread=10.0)
        self.pipeline.add(CameraMonitor("cam", [tracker], tamper, 2.0, self.day.drift, scenes))

    def show_for(self, picture: UInt8Array, seconds: float, *, level: float = 1.0, spread: Spread = AS_LEARNED) -> None:
        self.engine.spread = spread
        for _ in range(round(5 * seconds)):
            noise = RNG.integers(-2, 3, (*picture.shape[:2], 1))
            self.show(np.clip(picture.astype(int) + noise, 0, 255).astype(np.uint8), level=level)


@pytest.fixture
def bench(tmp_path: Path) -> DayAndNight:
    return DayAndNight(tmp_path, with_night=True)


def test_dusk_and_dawn_raise_nothing_and_bring_the_scene_of_the_hour(bench: DayAndNight) -> None:
    bench.show_for(COLOURED, 2)
    bench.show_for(GREYED, 5, level=99, spread=FAR)  # what the day's model says of the night
    bench.show_for(GREYED, 10, level=39)
    assert bench.switches == [(GREY, True)]
    assert sample(bench, "threshold") == 40
    bench.show_for(COLOURED, 5, level=99, spread=FAR)
    bench.show_for(COLOURED, 10)
    assert bench.switches == [(GREY, True), (DAY, True)]
    assert sample(bench, "threshold") == 10
    assert (bench.told, bench.notices) == ([], [])


def test_each_scene_judges_by_its_own_threshold(bench: DayAndNight) -> None:
    bench.show_for(COLOURED, 2)
    bench.show_for(GREYED, 6)
    bench.show_for(GREYED, 2, level=39)
    assert bench.told == []
    bench.show_for(GREYED, 2, level=41)
    assert bench.told == ["anomaly.started"]


def test_an_open_event_ends_when_its_scene_does(bench: DayAndNight) -> None:
    bench.show_for(COLOURED, 2, level=20)
    bench.show_for(GREYED, 5, level=99)
    bench.show_for(GREYED, 2)
    assert bench.told == ["anomaly.started", "anomaly.ended"]
    assert bench.changes[-1].event.reason == "model_replaced"


def test_a_night_that_was_not_learned_is_not_judged(tmp_path: Path) -> None:
    bench = DayAndNight(tmp_path, with_night=False)
    bench.show_for(COLOURED, 2)
    bench.show_for(GREYED, 60, level=99, spread=FAR)
    assert bench.switches == [(GREY, False)]
    assert (bench.told, bench.notices) == ([], [])
    bench.show_for(COLOURED, 6)
    bench.show_for(COLOURED, 2, level=20)
    assert bench.told == ["anomaly.started"]


def test_darkness_that_was_not_learned_is_a_fault_of_the_picture(bench: DayAndNight) -> None:
    bench.show_for(COLOURED, 2)
    bench.show_for(DARKENED, 6, level=99, spread=FAR)
    assert bench.switches == []
    assert [dict(notice.detail)["tamper"] for notice in bench.notices] == ["ImageTooDark"]


def test_a_lightning_changes_no_scene(bench: DayAndNight) -> None:
    bench.show_for(GREYED, 6)
    for _ in range(5):
        bench.show_for(COLOURED, 1, level=99, spread=FAR)
        bench.show_for(GREYED, 2)
    assert bench.switches == [(GREY, True)]
    assert (bench.told, bench.notices) == ([], [])
