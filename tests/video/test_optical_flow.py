"""Speed from pictures: known motion, pixels per second at any rate, and what must not look like motion."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamwatch.records import Float32Array, UInt8Array
from streamwatch.video.optical_flow import MotionEstimator, common_shift, flow_estimator, lengths, same_place
from streamwatch.video.scaling import InputPicture, grey_of
from tests.conftest import encode, read_moving, shared_file

SPEED_TOLERANCE = 0.2
"""Of the mean speed over a walker-sized patch of known motion."""
TIMES_THE_FLOW_AT_MOST = 1.5
SHAKE_GROWTH_AT_MOST = 1.35
FLICKER_GROWTH_AT_MOST = 1.35
JUMP_GROWTH_AT_MOST = 1.25
PATCH_PX = (28, 14)


def place(seed: int = 0) -> UInt8Array:
    """A textured place, (256, 256, 3)."""
    rng = np.random.default_rng(seed)
    image = np.zeros((256, 256), np.float32)
    for size, strength in ((8, 30), (32, 20), (128, 12)):
        image += cv2.resize(rng.normal(0, strength, (size, size)).astype(np.float32), (256, 256), interpolation=cv2.INTER_CUBIC)
    return np.clip(120 + image, 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)


def with_walker(at_px: float, seed: int = 1, scene: UInt8Array | None = None) -> UInt8Array:
    """A walker-sized textured patch whose left edge is at ``at_px``, moved to a fraction of a pixel."""
    picture = (place() if scene is None else scene).copy()
    height, width = PATCH_PX
    small = np.random.default_rng(seed).integers(20, 235, (height // 4, width // 4)).astype(np.float32)
    patch = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)[..., None].repeat(3, axis=2)
    matrix = np.array([[1, 0, at_px], [0, 1, 120]], np.float32)
    moved = cv2.warpAffine(patch, matrix, (256, 256))
    inside = cv2.warpAffine(np.ones((height, width), np.float32), matrix, (256, 256))[..., None]
    return (picture * (1 - inside) + moved * inside).astype(np.uint8)


def speed_of(motion: MotionEstimator, picture: UInt8Array, time_s: float) -> Float32Array | None:
    return motion.speed(InputPicture.scaled(picture), time_s)


def measured(speed_px_s: float, step_s: float, estimator: MotionEstimator | None = None) -> Float32Array:
    motion = estimator or MotionEstimator(0.2)
    speed_of(motion, with_walker(100), 0.0)
    speed = speed_of(motion, with_walker(100 + speed_px_s * step_s), step_s)
    assert speed is not None
    return speed


def inside(speed: Float32Array, at_px: float) -> float:
    """Mean speed over the cells inside the patch."""
    return float(speed[31:36, round(at_px / 4) + 1 : round(at_px / 4) + 3].mean())


@pytest.mark.parametrize(
    ("speed_px_s", "step_s"), [(20.0, 0.1), (40.0, 0.1), (60.0, 0.1), (10.0, 0.2), (25.0, 0.2), (35.0, 0.2), (20.0, 0.3)]
)
def test_known_motion_is_measured_in_pixels_per_second_at_any_step(speed_px_s: float, step_s: float) -> None:
    speed = measured(speed_px_s, step_s)
    assert inside(speed, 100 + speed_px_s * step_s) == pytest.approx(speed_px_s, rel=SPEED_TOLERANCE)
    assert speed[:20].max() < 0.2 * speed_px_s, "the place itself stands still"


def test_patches_of_sixteen_pixels_measure_a_walker_better_than_the_fast_preset() -> None:
    """What the estimator's finest scale was chosen by: known motion of a walker-sized patch, and no label."""
    errors = {"ours": 0.0, "fast": 0.0}
    fast = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    for name, flow in (("ours", flow_estimator()), ("fast", fast)):
        for seed in range(8):
            for moved_px in (2.0, 4.0, 6.0):
                scene = place(seed)
                now, before = (grey_of(with_walker(100 + at, seed, scene)) for at in (moved_px, 0.0))
                field = np.linalg.norm(flow.calc(now, before, np.zeros((1, 1, 2), np.float32)), axis=2)
                found = float(field[124:144, round(100 + moved_px) + 3 : round(100 + moved_px) + 11].mean())
                errors[name] += abs(found - moved_px) / moved_px / 24
    print(f"\nrelative error of a walker's speed: ours {errors['ours']:.3f}, fast preset {errors['fast']:.3f}")
    assert errors["ours"] < 0.5 * errors["fast"]
    assert errors["ours"] < SPEED_TOLERANCE


def test_a_jump_of_the_recording_is_no_speed() -> None:
    """Ten pictures are missing and the time stamps do not say so: the walker has moved by as much as he would in a second."""
    walker = [100 + 2.5 * number for number in range(30)]
    jumped = [*walker[:10], *(at + 25 for at in walker[10:])]
    calm, seen = (MotionEstimator(0.2) for _ in range(2))
    highest = [
        max(
            float(speed.max())
            for n, at in enumerate(places)
            if (speed := speed_of(motion, with_walker(at), n / 10)) is not None
        )
        for motion, places in ((calm, walker), (seen, jumped))
    ]
    print(f"\nhighest speed of a walker {highest[0]:.0f} px/s, with a jump {highest[1]:.0f} px/s")
    assert highest[1] <= JUMP_GROWTH_AT_MOST * highest[0]


def test_what_begins_to_be_fast_is_fast_one_step_later() -> None:
    motion, at, found = MotionEstimator(0.2), 60.0, []
    for number in range(16):
        at += 1.0 if number < 8 else 3.5
        speed = speed_of(motion, with_walker(at), number / 10)
        found.append(0.0 if speed is None else float(speed.max()))
    assert found[8] < 1.5 * found[7]
    assert found[12] > 2.5 * found[7]


def test_without_a_valid_earlier_picture_there_is_no_evidence() -> None:
    motion = MotionEstimator(0.2)
    assert speed_of(motion, with_walker(100), 0.0) is None, "the first picture"
    assert speed_of(motion, with_walker(101), 0.04) is None, "too young"
    assert speed_of(motion, with_walker(105), 0.2) is not None
    assert speed_of(motion, with_walker(125), 1.0) is None, "after a gap"
    assert speed_of(motion, place(7), 1.2) is None, "after a cut"
    assert speed_of(motion, place(7), 1.4) is not None


def test_the_nearest_age_is_taken_and_its_true_age_counts() -> None:
    motion = MotionEstimator(0.2)
    for number in (0, 1, 3, 4, 5):  # at 10 fps, the second of them lost
        speed = speed_of(motion, with_walker(100 + 2.5 * number), number / 10)
    assert speed is not None
    assert inside(speed, 112.5) == pytest.approx(25, rel=SPEED_TOLERANCE)


def test_a_picture_without_features_stands_still() -> None:
    black = np.zeros((256, 256), np.uint8)
    assert same_place(black, black)
    assert not same_place(black, grey_of(place()))


def test_the_cameras_own_shift_is_told_from_a_crowds() -> None:
    shifted = np.roll(grey_of(place()), 2, axis=1)
    still = grey_of(place())
    flow = flow_estimator().calc(shifted, still, np.zeros((1, 1, 2), np.float32))
    shift = common_shift(np.asarray(flow), shifted)
    assert shift is not None
    assert shift == pytest.approx((-2, 0), abs=0.3)
    walker = grey_of(with_walker(106))
    flow = flow_estimator().calc(walker, grey_of(with_walker(100)), np.zeros((1, 1, 2), np.float32))
    assert common_shift(np.asarray(flow), walker) is None


@pytest.fixture(scope="module")
def courtyard() -> list[UInt8Array]:
    """Model inputs of 12 s of a real courtyard, 10 fps."""
    return [frame.pixels for frame in read_moving(shared_file("courtyard.avi"))[:120]]


def peaks(pictures: list[UInt8Array]) -> list[float]:
    motion = MotionEstimator(0.2)
    speeds = [speed_of(motion, picture, number / 10) for number, picture in enumerate(pictures)]
    return [0.0 if speed is None else float(speed.max()) for speed in speeds][40:80]


def shaken(picture: UInt8Array, dx: float, dy: float) -> UInt8Array:
    matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    return np.asarray(cv2.warpAffine(picture, matrix, (256, 256), borderMode=cv2.BORDER_REFLECT), dtype=np.uint8)


def test_a_shake_of_two_pixels_is_no_motion(courtyard: list[UInt8Array]) -> None:
    rng = np.random.default_rng(0)
    moved = [shaken(p, *rng.uniform(-2, 2, 2)) if 40 <= n < 80 else p for n, p in enumerate(courtyard)]
    calm, shaky = peaks(courtyard), peaks(moved)
    print(f"\nhighest speed, calm {max(calm):.0f} px/s, shaken {max(shaky):.0f} px/s")
    assert max(shaky) <= SHAKE_GROWTH_AT_MOST * max(calm)


def test_a_light_flicker_is_no_motion(courtyard: list[UInt8Array]) -> None:
    rng = np.random.default_rng(1)
    gains = [rng.uniform(0.8, 1.2) if 40 <= n < 80 else 1.0 for n in range(len(courtyard))]
    lit = [np.clip(p * g, 0, 255).astype(np.uint8) for p, g in zip(courtyard, gains, strict=True)]
    calm, flickering = peaks(courtyard), peaks(lit)
    print(f"\nhighest speed, calm {max(calm):.0f} px/s, flickering {max(flickering):.0f} px/s")
    assert max(flickering) <= FLICKER_GROWTH_AT_MOST * max(calm)


def milliseconds_each(works: list[Callable[[], object]], rounds: int = 15, times: int = 12) -> list[float]:
    """Of this thread's processor time, for each work its best round.

    The works take turns, so that a core that is slow for a second is slow for all of them.
    """
    best_s = [float("inf")] * len(works)
    for _ in range(rounds):
        for at, work in enumerate(works):
            began_s = time.thread_time()
            for _ in range(times):
                work()
            best_s[at] = min(best_s[at], time.thread_time() - began_s)
    return [1000 * best / times for best in best_s]


@pytest.mark.alone
def test_measuring_speed_costs_little_more_than_its_flow(courtyard: list[UInt8Array]) -> None:
    """As a ratio, because machines differ; what the flow costs beside the network is in test_claims.py."""
    cv2.setNumThreads(1)
    motion, flow = MotionEstimator(0.2), flow_estimator()
    pictures = itertools.cycle(courtyard)
    greys = [grey_of(picture) for picture in courtyard]
    pairs = itertools.cycle(zip(greys[2:], greys, strict=False))
    nothing = np.zeros((1, 1, 2), np.float32)
    clock = itertools.count()
    whole_ms, flow_ms = milliseconds_each(
        [lambda: speed_of(motion, next(pictures), next(clock) / 10), lambda: flow.calc(*next(pairs), nothing)]
    )
    print(f"\nspeed: {whole_ms:.2f} ms per frame on one core, of which the flow is {flow_ms:.2f} ms")
    assert whole_ms < TIMES_THE_FLOW_AT_MOST * flow_ms


def test_the_reader_measures_speed_between_frames_that_are_not_scored_too(tmp_path: Path) -> None:
    """At 2 fps from 10 fps the picture 200 ms earlier is one that nobody scores."""
    pictures = [with_walker(20 + 2.5 * number) for number in range(40)]
    video = encode(tmp_path / "walker.mp4", iter(pictures))
    frames = read_moving(video, fps=2)
    assert [round(f.time_s, 3) for f in frames] == [0.5 * n for n in range(8)]
    assert frames[0].speed is None
    for frame in frames[1:]:
        assert frame.speed is not None
        assert inside(frame.speed, 20 + 25 * frame.time_s) == pytest.approx(25, rel=SPEED_TOLERANCE)


def test_a_new_file_is_a_cut(tmp_path: Path) -> None:
    for name in ("a", "b"):
        encode(tmp_path / f"{name}.mp4", iter([with_walker(20 + 2 * n) for n in range(6)]))
    speeds = [frame.speed is not None for frame in read_moving(tmp_path)]
    assert speeds == [False, True, True, True, True, True] * 2  # one picture earlier is half a step: old enough


@pytest.mark.parametrize("offset", [4, 16, 32, 48])
def test_lengths_are_the_same_wherever_vectors_lie_in_memory(offset: int) -> None:
    """OpenCV's are not, and a file that is read twice must have the same scores."""
    flow = np.random.default_rng(0).normal(size=(256, 256, 2)).astype(np.float32)
    raw = np.zeros(flow.nbytes + 128, np.uint8)
    start = -raw.ctypes.data % 64 + offset
    moved = raw[start : start + flow.nbytes].view(np.float32).reshape(flow.shape)
    moved[:] = flow
    assert (lengths(moved) == lengths(flow)).all()
    assert lengths(flow) == pytest.approx(np.hypot(flow[..., 0], flow[..., 1]), rel=1e-6)


def test_speed_that_is_measured_later_is_the_same_to_the_bit(courtyard: list[UInt8Array]) -> None:
    now, later = MotionEstimator(), MotionEstimator()
    pictures = [*courtyard[:8], *(255 - picture for picture in courtyard[:8])]  # a cut after eight
    at_once = [speed_of(now, picture, 0.1 * number) for number, picture in enumerate(pictures)]
    due = [later.due(InputPicture.scaled(picture), 0.1 * number) for number, picture in enumerate(pictures)]
    for expected, one in zip(at_once, due, strict=True):
        found = one.measure() if one else None
        assert (expected is None) == (found is None)
        if found is not None and expected is not None:
            np.testing.assert_array_equal(found, expected)


def test_a_jump_is_told_although_few_frames_are_scored(courtyard: list[UInt8Array]) -> None:
    """Of ten due one is measured, and what it is compared with: the same as if all had been."""
    scene = place()
    every, few = MotionEstimator(), MotionEstimator()
    for number in range(40):
        at_px = 20 + 4.0 * number + (60 if number >= 30 else 0)  # a picture is missing before the 30th
        picture = with_walker(at_px, scene=scene)
        whole, due = speed_of(every, picture, 0.1 * number), few.due(InputPicture.scaled(picture), 0.1 * number)
        if number % 10 == 0 and due is not None and whole is not None:
            np.testing.assert_array_equal(due.measure(), whole)


def test_a_cut_that_was_displaced_is_no_speed(courtyard: list[UInt8Array]) -> None:
    """Neither between the two places, nor held against a speed of the place before."""
    every, few = MotionEstimator(), MotionEstimator()
    street = [with_walker(20 + 4.0 * number) for number in range(12)]
    for number, picture in enumerate([*courtyard[:12], *street]):
        whole, due = speed_of(every, picture, 0.1 * number), few.due(InputPicture.scaled(picture), 0.1 * number)
        if number in (4, 15):  # the cut is at the 12th
            found = due.measure() if due else None
            assert found is not None
            assert whole is not None
            np.testing.assert_array_equal(found, whole)


def test_pictures_of_frames_that_are_never_scored_are_never_scaled(courtyard: list[UInt8Array]) -> None:
    estimator, scaled = MotionEstimator(), list[int]()

    def scale(number: int) -> UInt8Array:
        scaled.append(number)
        return courtyard[number]

    due = [estimator.due(InputPicture(partial(scale, number)), 0.2 * number) for number in range(8)]
    last = due[-1]
    assert not scaled
    assert last is not None
    speed = last.measure()
    assert speed is not None
    assert speed.max() > 0
    assert sorted(scaled) == [5, 6, 7], "its own, the one before it, and what that one's speed is measured against"
    last.measure()
    assert len(scaled) == 3, "each once"
