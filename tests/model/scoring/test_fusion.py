"""Fusion by tails, and the stream scorer that applies it."""

from __future__ import annotations

import numpy as np
import pytest

from streamwatch.model.scoring.fusion import (
    APPEARANCE_CAP,
    APPEARANCE_WEIGHT,
    FieldMaps,
    Fusion,
    field_maps_of,
    fused,
    learn_fusion,
    level_of,
    merge_fusions,
)
from streamwatch.model.scoring.stream_scorer import StreamRules, StreamScorer

SHAPE = (64, 64)


def normal_maps(count: int, seed: int) -> list[FieldMaps]:
    rng = np.random.default_rng(seed)
    return [
        FieldMaps((8 + rng.gamma(3, 0.5, SHAPE)).astype(np.float32), rng.gamma(1, 0.3, SHAPE).astype(np.float32))
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def fusion() -> Fusion:
    return learn_fusion(normal_maps(40, 0))


def strange(field: str, value: float) -> FieldMaps:
    (maps,) = normal_maps(1, 5)
    grid = maps.appearance if field == "appearance" else maps.motion
    assert grid is not None
    grid[10:14, 20:24] = value
    return maps


def test_fused_is_motion_plus_half_of_capped_appearance() -> None:
    tails = FieldMaps(np.array([[1.0, 9.0]], np.float32), np.array([[2.0, 0.5]], np.float32))
    assert fused(tails).tolist() == [[2.5, 0.5 + APPEARANCE_WEIGHT * APPEARANCE_CAP]]
    assert fused(FieldMaps(tails.appearance, None)).tolist() == [[0.5, 1.5]]


def test_the_level_rises_with_an_appearance_that_is_far_out_and_the_score_does_not(fusion: Fusion) -> None:
    scorer = StreamScorer(StreamRules(SHAPE, fusion))
    calm = scorer.score(normal_maps(1, 6)[0], 0.0)
    still = StreamScorer(StreamRules(SHAPE, fusion)).score(strange("appearance", 40.0), 0.0)
    fast = StreamScorer(StreamRules(SHAPE, fusion)).score(strange("motion", 12.0), 0.0)
    assert still.score < 1.5 * calm.score
    assert still.level > 2 * calm.level
    assert fast.score > 2 * calm.score
    assert dict(still.fields)["appearance"] > 3 > dict(still.fields)["motion"]
    assert dict(fast.fields)["motion"] > 3 > dict(fast.fields)["appearance"]


def test_normal_frames_alone_never_reach_the_lift(fusion: Fusion) -> None:
    """By construction the lifted appearance of held-out frames stays a margin below the fused maximum."""
    held = [fusion.tails(m) for m in normal_maps(40, 0)]
    assert max(level_of(t, fusion.lift).max() for t in held) == max(fused(t).max() for t in held)


def test_ignored_cells_count_for_nothing(fusion: Fusion) -> None:
    ignored = np.zeros(SHAPE, bool)
    ignored[8:16, 18:26] = True
    verdict = StreamScorer(StreamRules(SHAPE, fusion, ignored)).score(strange("motion", 12.0), 0.0)
    assert verdict.level == pytest.approx(
        StreamScorer(StreamRules(SHAPE, fusion)).score(normal_maps(1, 5)[0], 0.0).level, rel=0.2
    )
    assert verdict.level_grid[ignored].max() == 0


def test_a_cut_starts_the_filter_anew(fusion: Fusion) -> None:
    scorer = StreamScorer(StreamRules(SHAPE, fusion))
    scorer.score(strange("motion", 12.0), 0.0)
    carried = scorer.score(normal_maps(1, 6)[0], 0.1)
    scorer.score(strange("motion", 12.0), 0.2)
    cut = scorer.score(normal_maps(1, 6)[0], 0.3, segment=1)
    assert carried.level > 1.5 * cut.level


def test_a_frame_without_motion_evidence_is_scored_by_appearance(fusion: Fusion) -> None:
    (maps,) = normal_maps(1, 7)
    verdict = StreamScorer(StreamRules(SHAPE, fusion)).score(FieldMaps(maps.appearance, None), 0.0)
    assert 0 < verdict.score <= APPEARANCE_WEIGHT * APPEARANCE_CAP
    assert [name for name, _ in verdict.fields] == ["appearance"]


def test_a_model_of_motion_alone_has_nothing_to_say_without_evidence() -> None:
    verdict = StreamScorer(StreamRules(SHAPE, None)).score(FieldMaps(None, None), 0.0)
    assert (verdict.score, verdict.level, verdict.fields) == (0.0, 0.0, ())
    assert verdict.grid.shape == SHAPE


def test_merging_takes_the_more_careful_lift(fusion: Fusion) -> None:
    other = learn_fusion(normal_maps(10, 9))
    merged = merge_fusions(fusion, other)
    assert merged.lift == min(fusion.lift, other.lift)
    assert merged.motion.count == fusion.motion.count + other.motion.count


def test_nan_maps_say_nothing_and_no_maps_do_not_fuse() -> None:
    assert field_maps_of(np.full(SHAPE, np.nan, np.float32), None) == FieldMaps(None, None)
    with pytest.raises(ValueError, match="both fields"):
        learn_fusion([FieldMaps(None, None)])
    with pytest.raises(ValueError, match="appearance"):
        fused(FieldMaps(None, None))
