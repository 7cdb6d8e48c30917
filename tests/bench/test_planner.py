"""How many cameras a machine carries, on machines that are made up: what is said is what was run."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.bench.planner import LATENCY_P99_S, holds, plan
from streamwatch.bench.trial import SETTLE_AT_MOST_S, SETTLE_S, Scores, Trial, trial_of
from streamwatch.records import Frame
from tests.scores import frame_score
from tests.test_retry import FakeClock

GRID = np.zeros((64, 64), np.float32)


def machine(capacity_fps: float, fps: float, knee: float) -> tuple[list[int], object]:
    """One that scores at most so much, and is late beyond a share of it."""
    asked = list[int]()

    def run(cameras: int) -> Trial:
        asked.append(cameras)
        offered = cameras * fps
        late_s = 0.1 if offered <= knee * capacity_fps else 0.9
        return Trial(cameras, offered, min(offered, capacity_fps), (late_s / 2, late_s, late_s), fps)

    return asked, run


@given(capacity_fps=st.floats(6, 5000), fps=st.sampled_from([1.0, 5.0, 25.0]), knee=st.floats(0.3, 1.0))
def test_what_is_said_was_run_and_held(capacity_fps: float, fps: float, knee: float) -> None:
    asked, run = machine(capacity_fps, fps, knee)
    found = plan(run, fps=fps, overload_cameras=math.ceil(3 * capacity_fps / fps))  # type: ignore[arg-type]
    if found.cameras:
        assert found.cameras == asked[-1] == found.trials[-1].cameras
        assert holds(found.trials[-1])
        assert found.cameras * fps <= max(0.6 * capacity_fps, fps) + 1e-6
    else:
        assert not any(map(holds, found.trials))


def test_a_machine_that_carries_none_says_so() -> None:
    _, run = machine(0.5, 5.0, 1.0)
    assert plan(run, fps=5.0, overload_cameras=2).cameras == 0  # type: ignore[arg-type]


def test_a_trial_counts_what_comes_after_the_daemon_has_settled() -> None:
    early = [(0.1 * n, 5.0, "a") for n in range(10)]
    later = [(SETTLE_S + 0.1 * n, 0.05, "ab"[n % 2]) for n in range(101)]
    found = trial_of(early + later, 2, 10.0, SETTLE_S)
    assert found.scored_fps == pytest.approx(9.9), "the batch with which it settled begins the time and is not counted"
    assert found.latency_s[1] == pytest.approx(0.05)
    assert found.slowest_fps == pytest.approx(4.9)
    assert found.dropped == pytest.approx(0.01)


def test_a_trial_in_which_nothing_was_scored_holds_nothing() -> None:
    found = trial_of([], 2, 10.0, float("inf"))
    assert found.dropped == 1.0
    assert found.latency_s[1] > LATENCY_P99_S
    assert not holds(found)


def test_a_camera_that_was_never_served_is_told() -> None:
    scored = [(0.1 * n, 0.05, "a") for n in range(100)]
    assert trial_of(scored, 2, 10.0, 0.0).slowest_fps == 0.0


def frame_of(camera: str) -> Frame:
    return Frame(camera, 0, 0.0, 0.0, 0.0, np.zeros((256, 256, 3), np.uint8))


def scores_of(cameras: int, first_frames: int) -> tuple[Scores, FakeClock, list[float]]:
    clock, told = FakeClock(), list[float]()
    return Scores(clock, cameras, first_frames, lambda: told.append(clock.monotonic_s())), clock, told


def test_a_trial_has_settled_when_each_cameras_precision_is_chosen() -> None:
    scores, clock, told = scores_of(2, 8)
    began_s = clock.monotonic_s()
    for n in range(90):
        clock.now_s += 0.2
        scores.on_score(frame_score(frame_of("ab"[n % 10 == 0]), GRID), True)
    assert told == [scores.settled_s] == [pytest.approx(began_s + 71 * 0.2)], "the slower has had its eighth frame then"


def test_a_trial_does_not_wait_for_a_camera_that_is_not_served_or_begin_at_once() -> None:
    for cameras, settled_s in ((2, SETTLE_AT_MOST_S), (1, SETTLE_S)):
        scores, clock, told = scores_of(cameras, 1)
        for _ in range(int(2 * SETTLE_AT_MOST_S) + 5):
            scores.on_score(frame_score(frame_of("a"), GRID), True)
            clock.now_s += 0.5
        assert told == [pytest.approx(scores.began_s + settled_s)]  # type: ignore[operator]
