"""Levels of normal footage in blocks of cells: exact without a suppression map, never too low with one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from streamwatch.model.calibration import normal_levels
from streamwatch.model.calibration.normal_levels import (
    NormalLevelRecorder,
    NormalLevels,
    highest_of_blocks,
    lowest_of_blocks,
    rounded_up,
)
from streamwatch.model.calibration.prequential import GAP_S
from streamwatch.records import Float32Array

FRAMES = 9
GRID = (10, 13)
HALF_PRECISION = 1e-3


def grids(seed: int) -> Float32Array:
    return np.random.default_rng(seed).gamma(2.0, 3.0, (FRAMES, *GRID)).astype(np.float32)


def noted(frames: Float32Array, *, masked: bool = False) -> NormalLevels:
    mask = np.zeros(GRID, bool)
    mask[3:7, 2:] = True
    collected = NormalLevelRecorder({"": None, "gate": mask} if masked else {"": None})
    for number, grid in enumerate(frames):
        collected.add(float(number), grid)
    found = collected.found()
    assert found
    return found


def test_what_is_just_too_large_for_sixteen_bits_is_infinite() -> None:
    assert rounded_up(np.array([65504.0, 65510.0, 65519.0, 70000.0], np.float32)).tolist() == [65504.0, np.inf, np.inf, np.inf]


@given(arrays.arrays(np.float32, (40,), elements=st.floats(0, 1e5, width=32)))
def test_sixteen_bits_are_never_below(values: Float32Array) -> None:
    up = rounded_up(values)
    assert (up >= values).all()
    within = values < 60_000
    assert (up[within].astype(np.float64) <= values[within] * (1 + HALF_PRECISION) + 1e-7).all()


def test_blocks_at_the_edges_are_smaller() -> None:
    grid = np.arange(130, dtype=np.float32).reshape(GRID)
    assert highest_of_blocks(grid).tolist() == [grid[r : r + 4, c : c + 4].max() for r in (0, 4, 8) for c in (0, 4, 8, 12)]
    assert lowest_of_blocks(grid)[-1] == grid[8, 12]


@given(st.integers(0, 1000))
def test_levels_are_exact_without_an_allowance_and_bounded_with_one(seed: int) -> None:
    frames = grids(seed)
    levels = noted(frames, masked=True)
    (plain,) = levels.streams("", None, GAP_S)
    assert plain.levels.tolist() == frames.max(axis=(1, 2)).tolist()
    (gate,) = levels.streams("gate", None, GAP_S)
    assert gate.levels.tolist() == frames[:, 3:7, 2:].max(axis=(1, 2)).tolist()
    suppression = np.ones(GRID, np.float32)
    suppression[2:9, 3:11] = 1 + np.random.default_rng(seed).gamma(1.0, 5.0, (7, 8))
    (bounded,) = levels.streams("", suppression, GAP_S)
    true = (frames / suppression).max(axis=(1, 2))
    assert (bounded.levels >= true * (1 - 1e-6)).all()
    assert (bounded.levels <= plain.levels).all()


def test_an_allowance_of_a_whole_block_divides_it() -> None:
    frames = np.ones((3, 8, 8), np.float32)
    frames[1, 5, 5] = 9.0
    collected = NormalLevelRecorder({"": None})
    for number, grid in enumerate(frames):
        collected.add(float(number), grid)
    found = collected.found()
    assert found
    suppression = np.ones((8, 8), np.float32)
    suppression[4:, 4:] = 3.0
    assert found.streams("", suppression, GAP_S)[0].levels.tolist() == [1.0, 3.0, 1.0]


def test_gaps_cut_and_times_that_do_not_advance_are_left_out() -> None:
    collected = NormalLevelRecorder({"": None})
    for at_s in (0.0, 1.0, 1.0, 0.5, 30.0):
        collected.add(at_s, np.ones(GRID, np.float32))
    found = collected.found()
    assert found
    assert [stream.at_s.tolist() for stream in found.streams("", None, GAP_S)] == [[0.0, 1.0], [30.0]]
    twice = found.followed_by(found, GAP_S)
    assert twice
    assert [len(stream.at_s) for stream in twice.streams("", None, GAP_S)] == [2, 1, 2, 1]
    assert found.followed_by(NormalLevels(("gate",), found.at_s, found.levels, found.blocks), GAP_S) is None
    with pytest.raises(ValueError, match="fit"):
        NormalLevels(("", "gate"), found.at_s, found.levels, found.blocks)


@pytest.mark.parametrize("at_s", [(0.0, 0.0), (1.0, 0.0), (0.0, float("nan"))])
def test_times_that_do_not_ascend_are_no_levels(at_s: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="ascend"):
        NormalLevels(("",), np.array(at_s), np.ones((1, 2)), np.ones((1, 2, 4), np.float16))


def test_of_too_many_frames_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normal_levels, "MAX_FRAMES", 2)
    collected = NormalLevelRecorder({"": None})
    assert collected.found() is None
    for number in range(4):
        collected.add(float(number), np.ones(GRID, np.float32))
    assert collected.found() is None
