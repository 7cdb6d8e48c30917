"""Pictures are held for those who look, and for nobody else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from streamwatch.evidence.privacy import NO_PRIVACY, Privacy
from streamwatch.records import Frame
from streamwatch.scores import FrameScore
from streamwatch.web.live.levels import KEPT_POINTS, LevelHistory
from streamwatch.web.live.load import EngineLoad
from streamwatch.web.live.pictures import PICTURE_EVERY_S, WANTED_FOR_S, LivePictures, heat_png
from tests.scores import frame_score
from tests.test_retry import FakeClock
from tests.web.sites import PIXELS, Striped


def scored(index: int = 0) -> FrameScore:
    return frame_score(Frame("gate", index, 0.0, 100.0 + index, 0.0, PIXELS, Striped()), np.zeros((8, 8), np.float32), 0.5)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def pictures(clock: FakeClock) -> LivePictures:
    return LivePictures(clock, lambda _camera: NO_PRIVACY, lambda _camera: 1.0)


def test_a_frame_is_held_only_while_somebody_looks(pictures: LivePictures, clock: FakeClock) -> None:
    pictures.record(scored(), True)
    assert pictures.picture("gate", 320) is None
    assert not pictures.want("gate")
    pictures.record(scored(1), True)
    assert pictures.want("gate")
    assert pictures.picture("gate", 320)
    clock.now_s += WANTED_FOR_S + 1
    pictures.record(scored(2), True)
    assert pictures.picture("gate", 320) is None, "nobody looked for a while: it is let go"


def test_many_viewers_cost_what_one_costs(pictures: LivePictures, clock: FakeClock) -> None:
    pictures.want("gate")
    pictures.record(scored(1), True)
    first = pictures.picture("gate", 300)
    pictures.record(scored(2), True)
    assert pictures.picture("gate", 320) is first, "a newer one is made no sooner than that"
    clock.now_s += PICTURE_EVERY_S
    newer = pictures.picture("gate", 310)
    assert newer
    assert first
    assert newer is not first
    assert newer.tag == first.tag, "it shows the same, and is not sent again"
    assert newer.wall_s == 102


def test_heat_grows_with_the_level() -> None:
    grid = np.array([[0.0, 0.4], [1.0, 3.0]], np.float32)
    image = cv2.imdecode(np.frombuffer(heat_png(grid, 1.0), np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    alpha = image[..., 3]
    assert (alpha[0, 0], alpha[0, 1], alpha[1, 1]) == (0, 0, 255)
    assert 0 < alpha[1, 0] < 255


def test_levels_are_bounded_and_their_rate_is_that_of_the_last_seconds(clock: FakeClock) -> None:
    history = LevelHistory(clock)
    for number in range(KEPT_POINTS + 10):
        clock.now_s += 0.2
        history.record(scored(number), True)
    assert len(history.points("gate")) == KEPT_POINTS
    assert history.rate_per_s("gate") == pytest.approx(5.0, abs=0.3)
    clock.now_s += 10
    assert history.rate_per_s("gate") == 0
    history.forget("gate")
    assert history.newest("gate") is None


def test_load_is_of_the_last_minute(clock: FakeClock) -> None:
    load = EngineLoad(clock)
    assert load.now().frames_per_busy_s is None
    clock.now_s += 100
    load.record(8, 0.5)
    clock.now_s += 30
    load.record(16, 0.5)
    now = load.now()
    assert (now.frames_per_s, now.busy_share, now.frames_per_busy_s, now.batch_frames) == (24 / 60, 1 / 60, 24.0, 12.0)
    clock.now_s += 45
    assert load.now().batch_frames == 16


def test_what_becomes_private_is_black_in_the_picture_that_is_there(clock: FakeClock) -> None:
    hidden = [Privacy(), Privacy((((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)),)), None]
    pictures = LivePictures(clock, lambda _camera: hidden[0], lambda _camera: 1.0)
    pictures.want("gate")
    pictures.record(scored(1), True)
    before = pictures.picture("gate", 320)
    del hidden[0]
    after = pictures.picture("gate", 320)
    assert before
    assert after
    assert before.tag != after.tag
    image = cv2.imdecode(np.frombuffer(after.content, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert int(image.max()) < 10
    del hidden[0]
    assert pictures.picture("gate", 320) is None, "it is in no configuration any more"


def test_of_a_camera_that_is_gone_nothing_is_held(pictures: LivePictures) -> None:
    pictures.want("gate")
    pictures.record(scored(1), True)
    assert pictures.picture("gate", 320)
    pictures.forget("gate")
    assert pictures.picture("gate", 320) is None
