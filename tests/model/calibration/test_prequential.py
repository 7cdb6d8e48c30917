"""The prequential scoring keeps of each frame what thresholds are derived from, and skips what it must not count."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from streamwatch.model.calibration.prequential import GAP_S, PrequentialScorer
from streamwatch.model.normality.moments import Moments
from streamwatch.model.scoring.fusion import FieldMaps
from streamwatch.model.scoring.levels import APPEARANCE, MOTION, FieldUnits
from streamwatch.model.scoring.motion_field import SIZES_CELLS, MotionField
from streamwatch.model.scoring.stream_scorer import StreamRules, StreamScorer
from streamwatch.records import BoolGrid, Float32Array
from tests.conftest import batch_of

RNG = np.random.default_rng(0)
GRID = (16, 16)
HALF_PRECISION = 1e-3


def map_of() -> Float32Array:
    return RNG.gamma(3, size=GRID).astype(np.float32)


def left_half(grid: tuple[int, int] = GRID) -> BoolGrid:
    mask = np.zeros(grid, bool)
    mask[:, : grid[1] // 2] = True
    return mask


def test_distances_are_those_that_the_scorer_measures_live() -> None:
    """For a zone as for ignored cells."""
    mask = left_half()
    prequential = PrequentialScorer({"": None, "left": mask})
    whole, left = (
        StreamScorer(StreamRules(GRID, None, units=FieldUnits())),
        StreamScorer(StreamRules(GRID, None, ~mask, units=FieldUnits())),
    )
    expected: dict[str, list[float]] = {"": [], "left": []}
    for number in range(40):
        grid, at_s = map_of(), 0.2 * number
        prequential.observe(grid, at_s, seen=100)
        for zone, scorer in (("", whole), ("left", left)):
            expected[zone].append(float(dict(scorer.score(FieldMaps(grid, None), at_s).measures)[APPEARANCE].max()))
    for zone, levels in expected.items():
        (stretch,) = prequential.appearance_streams(zone, frames=200)
        assert stretch.levels == pytest.approx(levels, rel=1e-5)


@pytest.mark.parametrize("size", SIZES_CELLS)
def test_speeds_are_those_that_the_scorer_measures_live_of_all_frames_and_without_a_model(size: float) -> None:
    """Also after a time without evidence."""
    grid = (64, 64)
    speed = torch.from_numpy(RNG.exponential(5, (40, *grid)).astype(np.float32))
    speed[10:13] = torch.nan
    pixels = torch.zeros(40, 256, 256, 3, dtype=torch.uint8)
    batch = batch_of(pixels, speed)
    prequential = PrequentialScorer({"": None, "left": left_half(grid)})
    assert [len(part) for part in prequential.watching(batch.split(16))] == [16, 16, 8]
    field = MotionField(Moments.starting_with(torch.zeros(2, 64 * 64, 1)), size, 0.2)
    scorer, expected = StreamScorer(StreamRules(grid, None, units=FieldUnits())), []
    for frame, at_s in zip(field.maps(speed, grid).numpy(), batch.time_s.tolist(), strict=True):
        measured = dict(scorer.score(FieldMaps(None, None if np.isnan(frame[0, 0]) else frame), at_s).measures)
        expected += [float(measured[MOTION].max())] if MOTION in measured else []
    found = [level for stream in prequential.motion_streams("", size) for level in stream.levels]
    assert found == pytest.approx(expected, rel=1e-5)
    left = [level for stream in prequential.motion_streams("left", size) for level in stream.levels]
    assert all(part <= whole for part, whole in zip(left, found, strict=True))


def test_frames_of_a_model_that_knew_too_little_do_not_count() -> None:
    prequential = PrequentialScorer()
    for number in range(40):
        prequential.observe(map_of(), 0.2 * number, seen=100 if number < 10 else 200)
    assert sum(len(s.levels) for s in prequential.appearance_streams("", frames=800)) == 30
    assert sum(len(s.levels) for s in prequential.appearance_streams("", frames=400)) == 40


def test_a_gap_begins_a_new_stretch_and_what_comes_late_is_left_out() -> None:
    prequential = PrequentialScorer()
    for at_s in (0.0, 0.2, 0.4, 2.0, 0.6, 2.2):
        prequential.observe(map_of(), at_s, seen=100)
    first, second = prequential.appearance_streams("", frames=100)
    assert first.at_s.tolist() == [0.0, 0.2, 0.4]
    assert second.at_s.tolist() == [2.0, 2.2]


def test_a_zone_without_cells_measures_nothing() -> None:
    prequential = PrequentialScorer({"nowhere": np.zeros(GRID, bool)})
    prequential.observe(map_of(), 0.0, seen=100)
    assert prequential.appearance_streams("nowhere", frames=100)[0].levels.tolist() == [0.0]


def test_where_values_were_is_kept_with_them() -> None:
    prequential = PrequentialScorer({"": None, "left": left_half()})
    for number in range(20):
        prequential.observe(map_of(), 0.2 * number, seen=100)
    levels = prequential.normal_appearance(frames=100)
    assert levels
    for zone in ("", "left"):
        (stream,) = prequential.appearance_streams(zone, frames=100)
        (again,) = levels.streams(zone, None, GAP_S)
        assert again.levels.tolist() == stream.levels.tolist()
        blocks = levels.blocks[levels.zones.index(zone)].astype(np.float64)
        assert blocks.max(axis=1) == pytest.approx(stream.levels, rel=HALF_PRECISION)
    assert prequential.normal_motion(SIZES_CELLS[0]) is None


def test_models_are_made_at_a_quarter_and_at_half_or_else_at_every_doubling() -> None:
    def made_at(prequential: PrequentialScorer, frames: int) -> list[int]:
        seen, made = 0, []
        for known in range(0, frames, 32):
            if prequential.wants_model(known, seen):
                seen = known
                made.append(known)
        return made

    assert made_at(PrequentialScorer(expected_frames=1000), 1000) == [256, 512]
    assert made_at(PrequentialScorer(expected_frames=200), 200) == [64, 128]
    assert made_at(PrequentialScorer(expected_frames=80), 80) == [32, 64]
    assert made_at(PrequentialScorer(), 1200) == [128, 256, 512, 1024]
