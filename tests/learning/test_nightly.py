"""The nightly update: what it learns and forgets, what it must prove, and when it runs."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime, time
from pathlib import Path

import numpy as np
import pytest
import torch

from streamwatch.daemon.nightly_process import NightlyProcess
from streamwatch.evidence.event_frames import EventFrames
from streamwatch.evidence.normal_frames import KeptFrames
from streamwatch.inference.engine import Engine
from streamwatch.inference.factory import build_engine
from streamwatch.learning.nightly import DAY_SHARE, MAX_WEIGHT, acceptance_of, parts_of, update_model, weight_of_day
from streamwatch.model.calibration.thresholds import Calibration
from streamwatch.model.fitting import fit
from streamwatch.model.scene import SceneModel
from streamwatch.records import UInt8Array
from tests.conftest import QUICK_PRECISION, UNTRAINED, batch_of, encode, inputs, moving_square, read
from tests.test_retry import FakeClock

pytestmark = pytest.mark.slow(30)
NOTHING = np.full((1, 64, 64), np.nan, np.float32)
THING = (slice(150, 210), slice(20, 90))


@pytest.fixture(scope="module")
def engine() -> Engine:
    return build_engine(UNTRAINED, device="cpu", precision=QUICK_PRECISION)


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> UInt8Array:
    """330 model inputs of a normal day."""
    video = encode(tmp_path_factory.mktemp("nightly") / "day.mp4", moving_square(330))
    return inputs(read(video)).numpy()


@pytest.fixture(scope="module")
def fitted(engine: Engine, footage: UInt8Array) -> SceneModel:
    """Learned from the first 240."""
    fitted = fit(SceneModel(engine.identity), engine.embedder, [batch_of(torch.from_numpy(footage[:240]))])
    assert fitted.calibration_
    return fitted


@pytest.fixture
def model(fitted: SceneModel) -> SceneModel:
    """One that may be changed."""
    return deepcopy(fitted)


def day_of(pixels: UInt8Array) -> KeptFrames:
    return KeptFrames(np.arange(len(pixels), dtype=np.float64), pixels, NOTHING.repeat(len(pixels), 0))


def with_thing(pixels: UInt8Array) -> UInt8Array:
    shown = pixels.copy()
    shown[:, *THING] = (255, 240, 0)
    return shown


def alarm_of(pixels: UInt8Array) -> EventFrames:
    level = np.zeros((64, 64), np.float32)
    level[37:53, 5:23] = 50
    return EventFrames(with_thing(pixels), NOTHING.repeat(len(pixels), 0), level)


def darker(pixels: UInt8Array) -> UInt8Array:
    return (pixels * 0.93).astype(np.uint8)


def test_a_slow_change_is_learned_and_the_model_weighs_what_it_weighed(
    model: SceneModel, engine: Engine, footage: UInt8Array
) -> None:
    frames = model.frames
    verdict = update_model(model, engine, day_of(darker(footage[240:])), [alarm_of(footage[:4])])
    assert verdict.accepted, verdict
    assert verdict.share <= DAY_SHARE
    assert verdict.after[0] < 0.98 * verdict.before[0]
    assert verdict.alarms == (1, 1)
    assert abs(model.frames - frames) <= 1


def test_a_day_that_hides_an_alarm_is_refused(model: SceneModel, engine: Engine, footage: UInt8Array) -> None:
    seen = model.levels(engine.embedder, batch_of(torch.from_numpy(with_thing(footage[:1])))).max()
    calibration = model.calibration_
    assert calibration
    model.calibration_ = Calibration(float(0.9 * seen), calibration.end_threshold, 1, "", ())
    verdict = update_model(model, engine, day_of(with_thing(footage[240:])), [alarm_of(footage[:4])])
    assert not verdict.accepted
    assert "would not be raised again" in verdict.why


def test_what_is_farther_from_normal_or_blind_is_refused() -> None:
    assert acceptance_of((10, 12), (10.1, 12.1), [True])[0]
    assert not acceptance_of((10, 12), (10.3, 12), [])[0]
    assert not acceptance_of((10, 12), (10, 12.3), [])[0]
    assert acceptance_of((10, 12), (9, 11), [True, False, True]) == (False, "1 of 3 alarms would not be raised again")


def test_too_little_is_refused(model: SceneModel, engine: Engine, footage: UInt8Array) -> None:
    assert "80 are needed" in update_model(model, engine, day_of(footage[:79]), []).why


def test_no_day_weighs_more_than_its_share_and_no_frame_more_than_four() -> None:
    for known in (200, 1_000, 20_000, 10**6):
        for frames in (80, 200, 480):
            learned, held = parts_of(frames, known)
            weight = weight_of_day(known, len(learned))
            assert not set(learned) & set(held)
            assert weight * len(learned) <= DAY_SHARE * known + 1e-9
            assert weight <= MAX_WEIGHT
            assert len(held) >= 16


class Process:
    def __init__(self) -> None:
        self.code: int | None = None

    def poll(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.code = -15


def at(clock: FakeClock, text: str) -> None:
    clock.now_s = datetime.fromisoformat(text).timestamp() - 1e9


def test_the_update_runs_once_a_night_and_says_when_models_are_others(tmp_path: Path) -> None:
    clock, started = FakeClock(), list[Process]()
    at(clock, "2026-03-01 12:00:00")

    def start() -> Process:
        started.append(Process())
        return started[-1]

    run = NightlyProcess(clock, start)
    three = time(3)
    assert not run.poll(three)
    at(clock, "2026-03-02 02:59:59")
    assert not run.poll(three)
    assert started == []
    at(clock, "2026-03-02 03:00:00")
    assert not run.poll(three)
    assert len(started) == 1
    assert not run.poll(three)
    started[0].code = 0
    assert run.poll(three)
    assert not run.poll(three)
    at(clock, "2026-03-03 03:00:01")
    run.poll(three)
    started[1].code = 1
    assert not run.poll(three)
    assert not run.poll(None)
    assert len(started) == 2
