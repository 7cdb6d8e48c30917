"""What is looked at of a picture: the middle, or each picture's own view."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.evaluation.pictures.views import (
    CROP_PX,
    MAX_ROTATION_DEG,
    MIDDLE,
    RandomViews,
    View,
    mask_seen_by,
    middle_view,
    seen_by,
)
from streamwatch.records import UInt8Array

SPARE_PX = 256 - CROP_PX


def smooth_picture() -> UInt8Array:
    noise = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (256, 256), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def test_the_middle_is_the_papers_crop() -> None:
    picture = smooth_picture()
    assert middle_view("anything") is MIDDLE
    np.testing.assert_array_equal(seen_by(MIDDLE, picture), picture[16:240, 16:240])


def test_the_same_seed_gives_the_same_views_on_every_machine() -> None:
    views = RandomViews(1024)
    assert views("bottle/train/good/000.png") == View(7, 11, 5.67)
    assert views("bottle/test/broken_large/000.png") == View(2, 4, 2.43)
    assert RandomViews(7)("bottle/train/good/000.png") != views("bottle/train/good/000.png")


def test_views_are_spread_evenly() -> None:
    drawn = [RandomViews(3)(f"{number}.png") for number in range(4000)]
    assert {view.left_px for view in drawn} == {view.top_px for view in drawn} == set(range(SPARE_PX + 1))
    degrees = np.array([view.degrees for view in drawn])
    assert np.abs(degrees).max() <= MAX_ROTATION_DEG
    assert abs(degrees.mean()) < 0.3
    assert degrees.std() == pytest.approx(20 / 12**0.5, rel=0.03)


@given(st.integers(0, SPARE_PX), st.integers(0, SPARE_PX), st.integers(-1000, 1000))
def test_a_turned_picture_is_what_opencv_makes_of_it(left: int, top: int, hundredths: int) -> None:
    view, picture = View(left, top, hundredths / 100), smooth_picture()
    matrix = cv2.getRotationMatrix2D((127.5, 127.5), view.degrees, 1.0)
    expected = cv2.warpAffine(picture, matrix, (256, 256), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    expected = expected[top : top + CROP_PX, left : left + CROP_PX]
    difference = np.abs(seen_by(view, picture).astype(int) - expected.astype(int))
    assert difference.mean() < 0.5
    assert np.quantile(difference, 0.99) <= 6, "OpenCV keeps places in 32nds of a pixel"


def test_a_mask_is_turned_with_its_picture() -> None:
    picture, mask = np.zeros((256, 256, 3), np.uint8), np.zeros((256, 256), dtype=bool)
    picture[60:100, 130:200], mask[60:100, 130:200] = 255, True
    view = View(3, 29, 8.0)
    seen, covered = seen_by(view, picture)[..., 0] > 127, mask_seen_by(view, mask)
    assert covered.shape == (CROP_PX, CROP_PX)
    assert covered.sum() == pytest.approx(mask.sum(), rel=0.01)
    assert (seen != covered).sum() < 0.02 * mask.sum()
    np.testing.assert_array_equal(mask_seen_by(MIDDLE, mask), mask[16:240, 16:240])


def test_beyond_the_edges_there_is_nothing_new() -> None:
    picture = np.full((256, 256, 3), 200, np.uint8)
    for degrees in (-10.0, 3.3, 10.0):
        assert (seen_by(View(0, 0, degrees), picture) == 200).all()
    edge = np.zeros((256, 256), dtype=bool)
    edge[:, :4] = True
    assert mask_seen_by(View(0, 0, 10.0), edge)[:, :60].any(), "a defect that is mirrored is one"
