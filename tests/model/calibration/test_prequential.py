"""The prequential scoring keeps of each frame only what can decide its level, and skips what it must not count."""

from __future__ import annotations

import numpy as np
import pytest

from streamwatch.model.calibration.prequential import PrequentialScorer
from streamwatch.model.scoring.fusion import FieldMaps, Fusion
from streamwatch.model.scoring.stream_scorer import StreamScorer
from streamwatch.model.scoring.tails import fit_tail
from streamwatch.records import BoolGrid

RNG = np.random.default_rng(0)
GRID = (16, 16)
FUSION = Fusion(fit_tail(RNG.gamma(3, size=5000)), fit_tail(RNG.exponential(size=5000)), 0.8)


def maps(motion: bool = True) -> FieldMaps:
    appearance = RNG.gamma(3, size=GRID).astype(np.float32)
    return FieldMaps(appearance, RNG.exponential(size=GRID).astype(np.float32) if motion else None)


def left_half() -> BoolGrid:
    mask = np.zeros(GRID, bool)
    mask[:, :8] = True
    return mask


@pytest.mark.parametrize("fusion", [FUSION, None])
def test_levels_are_those_that_the_scorer_gives_live(fusion: Fusion | None) -> None:
    """With motion, without it for a while, and for a zone as for ignored cells."""
    mask = left_half()
    prequential = PrequentialScorer({"": None, "left": mask})
    whole, left = StreamScorer(GRID, fusion), StreamScorer(GRID, fusion, ~mask)
    expected: dict[str, list[float]] = {"": [], "left": []}
    for number in range(40):
        frame, at_s = maps(motion=number % 10 > 1), 0.2 * number
        if fusion is None:
            frame = FieldMaps(frame.appearance, None)
        prequential.observe(frame, at_s, seen=100)
        expected[""].append(whole.score(frame, at_s).level)
        expected["left"].append(left.score(frame, at_s).level)
    for zone, levels in expected.items():
        (stretch,) = prequential.stretches(zone, fusion, frames=200)
        assert stretch.levels == pytest.approx(levels, rel=1e-5)


def test_frames_of_a_model_that_knew_too_little_do_not_count() -> None:
    prequential = PrequentialScorer()
    for number in range(40):
        prequential.observe(maps(), 0.2 * number, seen=100 if number < 10 else 200)
    assert sum(len(s.levels) for s in prequential.stretches("", FUSION, frames=800)) == 30
    assert sum(len(s.levels) for s in prequential.stretches("", FUSION, frames=400)) == 40


def test_a_gap_begins_a_new_stretch_and_what_comes_late_is_left_out() -> None:
    prequential = PrequentialScorer()
    for at_s in (0.0, 0.2, 0.4, 10.0, 0.6, 10.2):
        prequential.observe(maps(), at_s, seen=100)
    first, second = prequential.stretches("", FUSION, frames=100)
    assert first.at_s.tolist() == [0.0, 0.2, 0.4]
    assert second.at_s.tolist() == [10.0, 10.2]


def test_a_zone_without_cells_has_the_level_nothing() -> None:
    prequential = PrequentialScorer({"nowhere": np.zeros(GRID, bool)})
    prequential.observe(maps(), 0.0, seen=100)
    assert prequential.stretches("nowhere", FUSION, frames=100)[0].levels.tolist() == [0.0]


def test_models_are_made_at_a_quarter_and_at_half_or_else_at_every_doubling() -> None:
    def made_at(prequential: PrequentialScorer, frames: int) -> list[int]:
        seen, made = 0, []
        for known in range(0, frames, 32):
            if prequential.wants_model(known, seen):
                seen = known
                made.append(known)
        return made

    assert made_at(PrequentialScorer(expected_frames=1000), 1000) == [256, 512]
    assert made_at(PrequentialScorer(expected_frames=200), 200) == [128]
    assert made_at(PrequentialScorer(), 1200) == [128, 256, 512, 1024]
