"""No picture between damage and the next key frame is scored, and times only ever advance."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamwatch.video.streams.integrity import AWAIT_AT_MOST_S, LEAST_STEP_S, GapDetector, IntegrityGuard, Timeline
from streamwatch.video.wall_clock import MAX_AHEAD_S, SLEW_PER_S, STEP_BEYOND_S, WallClockMapper
from tests.test_retry import FakeClock

GOP = 10


def judged(times_s: list[float], damaged: frozenset[int] = frozenset(), gop: int = GOP) -> list[str | None]:
    guard = IntegrityGuard()
    return [guard.judge(t, key=n % gop == 0, corrupt=False, damaged=n in damaged) for n, t in enumerate(times_s)]


def steady(count: int, rate_hz: float = 10.0) -> list[float]:
    return [n / rate_hz for n in range(count)]


def test_a_whole_stream_passes() -> None:
    assert judged(steady(100)) == [None] * 100


def test_after_damage_nothing_passes_until_the_next_key_frame() -> None:
    verdicts = judged(steady(60), damaged=frozenset({33}))
    assert verdicts == [None] * 33 + ["await_keyframe"] * 7 + [None] * 20


def test_a_lost_picture_shows_as_a_gap() -> None:
    times_s = steady(60)
    verdicts = judged([t + (0.1 if n >= 25 else 0.0) for n, t in enumerate(times_s)])
    assert verdicts == [None] * 25 + ["await_keyframe"] * 5 + [None] * 30


def test_a_stream_joined_in_the_middle_waits_for_its_first_key_frame() -> None:
    guard = IntegrityGuard()
    assert [guard.judge(n / 10, key=n == 4, corrupt=False, damaged=False) for n in range(6)] == ["await_keyframe"] * 4 + [
        None
    ] * 2


def test_a_corrupt_picture_says_so_even_if_it_is_a_key_frame() -> None:
    guard = IntegrityGuard()
    assert guard.judge(0.0, key=True, corrupt=True, damaged=False) == "corrupt"
    assert guard.judge(0.1, key=False, corrupt=False, damaged=False) == "await_keyframe"
    assert guard.judge(0.2, key=True, corrupt=False, damaged=False) is None


def test_the_wait_is_capped_for_cameras_with_rare_key_frames() -> None:
    verdicts = judged(steady(400), damaged=frozenset({10}), gop=10_000)
    passed = [n for n, verdict in enumerate(verdicts) if verdict is None and n > 10]
    assert passed[0] == 10 + round(AWAIT_AT_MOST_S * 10)


def test_a_camera_with_a_variable_rate_has_no_gaps() -> None:
    times_s = np.cumsum(np.random.default_rng(0).choice([0.04, 0.08, 0.12], 400)).tolist()
    assert judged(times_s)[30:] == [None] * 370


def test_a_camera_that_slows_down_for_good_is_normal_again() -> None:
    gaps = GapDetector()
    flags = [gaps.is_gap(0.1) for _ in range(100)] + [gaps.is_gap(0.5) for _ in range(100)]
    assert not any(flags[:100])
    assert flags[100]
    assert not any(flags[110:])


@settings(max_examples=100)
@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=60))
@example([None] * 10 + [11.0, 11.0, None])
def test_times_only_ever_advance_whatever_the_camera_says(raw: list[float | None]) -> None:
    timeline = Timeline(0.1)
    times_s = [timeline.advance(r)[0] for r in raw]
    assert times_s[0] == 0
    assert all(LEAST_STEP_S / 2 < b - a <= 10 for a, b in pairwise(times_s))


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0, -0.05, 0.0])
def test_a_jump_is_told_and_time_goes_on(jump_s: float) -> None:
    timeline = Timeline(0.1)
    before = [timeline.advance(100 + n / 10) for n in range(5)]
    after = [timeline.advance(100.4 + jump_s + n / 10) for n in range(3)]
    assert [jumped for _, jumped in before] == [False] * 5
    assert after[0][1]
    assert [round(t, 6) for t, _ in after] == [0.5, 0.6, 0.7]


def test_a_cameras_drift_is_followed_and_wall_time_never_runs_backwards() -> None:
    clock = FakeClock()
    wall = WallClockMapper(clock, live=True)
    wall.connect()
    seen, errors_s = [], []
    for n in range(20_000):
        clock.now_s = n / 10
        seen.append(wall.at(n / 10 * 1.0005))  # 43 s a day fast
        errors_s.append(seen[-1] - clock.wall_s())
    assert np.all(np.diff(seen) > 0)
    assert max(map(abs, errors_s)) < 0.01
    assert SLEW_PER_S > 0.0005


@pytest.mark.parametrize("factor", [1.3, 8.0, 0.2])
def test_wall_time_is_never_far_from_arrival_whatever_the_camera_stamps(factor: float) -> None:
    clock = FakeClock()
    wall = WallClockMapper(clock, live=True)
    wall.connect()
    errors_s = []
    for n in range(6000):
        clock.now_s = n / 10
        errors_s.append(wall.at(n / 10 * factor) - clock.wall_s())
    assert max(errors_s) <= MAX_AHEAD_S + 1e-6
    assert min(errors_s) >= -STEP_BEYOND_S - 1e-6


@pytest.mark.parametrize("slower", [2.0, 5.0, 10.0])
def test_a_camera_that_slows_down_is_soon_known_to_be_slower(slower: float) -> None:
    times_s = [*(n / 10 for n in range(40)), *(3.9 + n * slower / 10 for n in range(1, 30))]
    assert judged(times_s, gop=1000) == [None] * 40 + ["await_keyframe"] * 2 + [None] * 27


def test_a_gap_is_no_slower_rate_and_damage_is_not_forgotten_for_one() -> None:
    times_s = [*(n / 10 for n in range(40)), *(4.5 + n / 10 for n in range(40))]
    assert judged(times_s, gop=60) == [None] * 40 + ["await_keyframe"] * 20 + [None] * 20
    slowed_s = [*(n / 10 for n in range(40)), *(4.9 + n for n in range(15))]
    assert judged(slowed_s, frozenset({40}), gop=50) == [None] * 40 + ["await_keyframe"] * 10 + [None] * 5


def test_a_slower_rate_is_no_damage_where_the_streams_own_numbers_go_on() -> None:
    times_s = [*(n / 10 for n in range(40)), *(4.0 + n for n in range(10))]
    guard = IntegrityGuard()
    told = [guard.judge(t, key=n == 0, corrupt=False, damaged=False, unbroken=True) for n, t in enumerate(times_s)]
    assert told == [None] * 50


def test_wall_time_does_not_run_backwards_over_a_reconnect_nor_when_the_clock_is_set_back() -> None:
    clock = FakeClock()
    wall = WallClockMapper(clock, live=True)
    wall.connect()
    before = [wall.at(n / 10) for n in range(50)]
    clock.now_s = -3600.0
    wall.connect()
    assert wall.at(0.0) >= before[-1]


def test_a_recordings_times_keep_their_distances() -> None:
    clock = FakeClock()
    wall = WallClockMapper(clock, live=False)
    wall.connect()
    clock.now_s = 500
    assert [wall.at(t) - 1e9 for t in (0.0, 1.0, 7.5)] == [0.0, 1.0, 7.5]
