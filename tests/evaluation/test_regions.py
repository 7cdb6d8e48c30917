"""RBDC and TBDC on cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from streamwatch.evaluation.regions import RegionCounts, TruthRegion, boxes_of, iou, link_tracks, threshold_ladder

THRESHOLDS = np.array([1.0, 2.0, 3.0])
LEFT = TruthRegion("a", (0.0, 0.0, 0.25, 0.25))


def grid(*blobs: tuple[slice, slice, float]) -> np.ndarray:
    heat = np.zeros((16, 16), np.float32)
    for rows, columns, value in blobs:
        heat[rows, columns] = value
    return heat


HIT = (slice(0, 4), slice(0, 4))
MISS = (slice(10, 12), slice(10, 12))


def test_iou_by_hand() -> None:
    a = np.array([[0, 0, 2, 2], [0, 0, 1, 1]], float)
    b = np.array([[1, 1, 3, 3], [0, 0, 2, 2]], float)
    np.testing.assert_allclose(iou(a, b), [[1 / 7, 1], [0, 1 / 4]])


def test_a_perfect_detector_has_one() -> None:
    counts = RegionCounts(THRESHOLDS)
    counts.add(grid((*HIT, 9)), [LEFT])
    assert (counts.rbdc(), counts.tbdc()) == (1.0, 1.0)
    assert counts.false_positives.tolist() == [0, 0, 0]


def test_a_detector_that_finds_nothing_has_zero() -> None:
    counts = RegionCounts(THRESHOLDS)
    counts.add(grid((*MISS, 9)), [LEFT])
    assert (counts.rbdc(), counts.tbdc()) == (0.0, 0.0)
    assert counts.false_positives.tolist() == [1, 1, 1]


def test_the_area_between_two_points_by_hand() -> None:
    """Two frames: at thresholds 3 and 2 one of two regions and no false positive; at 1 both, and one false positive.

    So (0 per frame, 1/2), (1/2 per frame, 1), held to 1: the area is 0.75 * 0.5 + 1 * 0.5 = 0.875.
    """
    counts = RegionCounts(THRESHOLDS)
    counts.add(grid((*HIT, 9)), [LEFT])
    counts.add(grid((*HIT, 1.5), (*MISS, 1.5)), [TruthRegion("b", LEFT.box)])
    assert counts.rbdc() == pytest.approx(0.875)


def test_a_track_counts_when_a_tenth_of_its_regions_is_found() -> None:
    counts = RegionCounts(THRESHOLDS)
    for number in range(10):
        counts.add(grid((*HIT, 9)) if number == 0 else grid(), [LEFT])
    assert counts.rbdc() == pytest.approx(0.1)
    assert counts.tbdc() == 1.0
    counts.add(grid(), [LEFT])
    assert counts.tbdc() == 0.0


def test_a_small_overlap_is_a_miss_and_a_false_positive() -> None:
    counts = RegionCounts(np.array([1.0]))
    counts.add(grid((slice(3, 16), slice(3, 16), 9)), [LEFT])
    assert counts.rbdc() == 0.0
    assert counts.false_positives.tolist() == [1]


def test_without_truth_it_is_undefined() -> None:
    counts = RegionCounts(THRESHOLDS)
    counts.add(grid((*MISS, 9)), [])
    assert (counts.rbdc(), counts.tbdc()) == (None, None)


def test_merging_keeps_tracks_of_different_clips_apart() -> None:
    one, two = RegionCounts(THRESHOLDS), RegionCounts(THRESHOLDS)
    one.add(grid((*HIT, 9)), [LEFT])
    two.add(grid(), [LEFT])
    whole = RegionCounts(THRESHOLDS)
    whole.merge(one, "1/")
    whole.merge(two, "2/")
    assert set(whole.detected) == {"1/a", "2/a"}
    assert whole.tbdc() == 0.5
    assert whole.frames == 2


def test_components_are_linked_over_time() -> None:
    masks = np.zeros((4, 16, 16), bool)
    for t in range(3):
        masks[t, 2:6, 2 + t : 6 + t] = True
    masks[3, 12:14, 12:14] = True
    tracks = [[region.track for region in frame] for frame in link_tracks(masks)]
    assert tracks == [["0"], ["0"], ["0"], ["1"]]
    assert boxes_of(masks[0]).tolist() == [[2 / 16, 2 / 16, 6 / 16, 6 / 16]]


def test_the_ladder_spans_a_hundred() -> None:
    ladder = threshold_ladder(2.0)
    assert ladder[0] == 2
    assert 90 < ladder[-1] / ladder[0] < 120
