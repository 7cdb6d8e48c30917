"""The gate closes where nothing has changed, and for nothing else."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwatch.clock import SystemClock
from streamwatch.model.scoring.temporal import TIME_CONSTANT_S
from streamwatch.records import UInt8Array
from streamwatch.video.motion_gate import FILTERED_S, RESCORE_S, MotionGate, blocks_of, changed
from streamwatch.video.optical_flow import OLDEST_STEPS
from streamwatch.video.pace import Pace
from streamwatch.video.reader import FrameReader
from streamwatch.video.sources import parse_source
from streamwatch.video.streams.opener import PyAvOpener
from tests.conftest import encode

STEP_S = 0.2
PLACE = np.random.default_rng(0).integers(60, 180, (16, 16), dtype=np.uint8).repeat(16, 0).repeat(16, 1)


def seen(number: int, noise: float = 3.0, at_px: int | None = None, contrast: int = 30, size_px: int = 12) -> UInt8Array:
    """The place through a noisy sensor, perhaps with a thing in it."""
    picture = PLACE.astype(np.float32)
    if at_px is not None:
        picture[100 : 100 + size_px, at_px : at_px + size_px] += contrast
    rng = np.random.default_rng(number)
    return np.asarray(np.clip(picture + rng.normal(0, noise, picture.shape), 0, 255), dtype=np.uint8)


def holds(pictures: list[UInt8Array], rate_hz: float = 10.0, step_s: float | None = STEP_S) -> list[bool]:
    gate = MotionGate(step_s)
    return [gate.holds(picture, number / rate_hz) for number, picture in enumerate(pictures)]


@pytest.mark.parametrize("noise", [0.0, 1.0, 3.0, 5.0])
def test_of_a_still_scene_a_frame_every_two_seconds_is_scored(noise: float) -> None:
    found = holds([seen(number, noise) for number in range(100)])
    settled = int((FILTERED_S + OLDEST_STEPS * STEP_S) * 10) + 1
    assert not any(found[: settled + 1]), "what speed is measured from must have stood still, too"
    scored = [number for number, one in enumerate(found) if not one and number > settled]
    assert np.diff(scored).max() <= RESCORE_S * 10
    assert len(scored) <= 40, "four, and a chance change or two with what settles after them"


@pytest.mark.parametrize("contrast", [-30, -12, 12, 30])
def test_a_thing_that_comes_is_scored_at_once_and_until_it_stands(contrast: int) -> None:
    """Of a walker's size, 12 pixels of the input, and a tenth of the contrast of a face against a wall."""
    there = [seen(n, at_px=None if n < 20 else min(40 + 2 * (n - 20), 100), contrast=contrast) for n in range(80)]
    found = holds(there)
    assert found[19]
    assert not any(found[20:65]), "it moves until the 50th, and after 1.55 s what is measured and filtered stands, too"
    assert any(found[70:])


def test_it_waits_for_the_filter() -> None:
    assert FILTERED_S == 4 * TIME_CONSTANT_S


def test_what_changes_slowly_is_scored() -> None:
    """A tenth of a grey level a frame: no two frames one after the other differ."""
    found = holds([np.asarray(seen(n, 0.0) + np.uint8(n // 10), np.uint8) for n in range(200)])
    assert found.count(False) > 3 * len(found) / (RESCORE_S * 10)


def test_half_a_picture_that_moves_is_no_noise() -> None:
    shifted = [np.roll(seen(0, 0.0), 4 * number, axis=1) for number in range(30)]
    assert not any(holds([np.asarray(picture, np.uint8) for picture in shifted]))


def test_a_model_without_motion_waits_for_the_filter_alone() -> None:
    assert holds([seen(0)] * 15, step_s=None) == [False] * 13 + [True] * 2


@given(st.lists(st.tuples(st.floats(0.01, 3.0), st.booleans()), max_size=60))
@settings(deadline=None, max_examples=60)
def test_no_result_is_older_than_two_seconds_and_none_holds_over_a_change(steps: list[tuple[float, bool]]) -> None:
    gate, time_s, scored_s, on, scored_on = MotionGate(STEP_S), 0.0, None, False, False
    for elapsed_s, turns in steps:
        time_s, on = time_s + elapsed_s, on != turns
        if gate.holds(seen(0, 0.0, 40 if on else None), time_s):
            assert scored_s is not None
            assert time_s - scored_s < RESCORE_S
            assert on == scored_on
        else:
            scored_s, scored_on = time_s, on


def test_time_that_goes_back_holds_nothing() -> None:
    gate, times_s = MotionGate(None), (5.0, 6.3, 6.4, 1.0, 1.1)
    assert [gate.holds(seen(0, 0.0), time_s) for time_s in times_s] == [False, False, True, False, False]


def test_looking_costs_little() -> None:
    before, now = (blocks_of(seen(number)) for number in range(2))
    began_s = time.thread_time()
    for number in range(50):
        changed(blocks_of(seen(0) if number < 0 else PLACE), before)
    assert not changed(now, before)
    print(f"\n{20 * (time.thread_time() - began_s):.2f} ms a frame")


def test_a_reader_tells_what_is_still_and_measures_no_speed_of_it(tmp_path: Path) -> None:
    pictures = [PLACE[..., None].repeat(3, axis=2)] * 40
    video = encode(tmp_path / "still.mp4", iter(pictures))  # 4 s
    source, opener = parse_source(str(video)), PyAvOpener()
    gated = FrameReader("cam", source, opener=opener, clock=SystemClock(), pace=Pace(None, gated=True), motion_step_s=STEP_S)
    frames = list(gated.frames())
    still = [frame.still for frame in frames]
    assert still.count(True) > 20
    assert all((frame.speed is None) == frame.still for frame in frames[1:])
    off = FrameReader("cam", source, opener=opener, clock=SystemClock(), motion_step_s=STEP_S)
    assert {frame.still for frame in off.frames()} == {None}
