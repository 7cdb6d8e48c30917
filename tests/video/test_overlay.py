"""Overlays: colour only where the map is high, privacy black whatever lies below."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from streamwatch.records import Box
from streamwatch.video.overlay import black_out, heat_overlay, write_picture

PICTURE = np.full((480, 720, 3), 100, np.uint8)


def test_only_the_hot_part_is_coloured() -> None:
    grid = np.full((64, 64), 10, np.float32)
    grid[40:48, 8:16] = 50
    overlay = heat_overlay(PICTURE, grid, low=20, high=50)
    assert (overlay[:200, 200:600] == 100).all()
    assert (overlay[310:350, 100:170] != 100).any(axis=2).all()


def test_a_small_picture_is_enlarged_to_be_readable() -> None:
    overlay = heat_overlay(PICTURE[:240, :360], np.zeros((64, 64), np.float32), low=1, high=2, boxes=[Box(0, 0, 1, 1)])
    assert overlay.shape == (480, 720, 3)
    assert (overlay[0, :, :] == 255).any()


def test_privacy_is_black() -> None:
    covered = black_out(PICTURE, [[(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)]])
    assert (covered[130:350, 190:530] == 0).all()
    assert (covered[:110] == 100).all()
    assert (PICTURE == 100).all()


def test_a_written_picture_reads_back_in_its_colours(tmp_path: Path) -> None:
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 200
    write_picture(str(tmp_path / "r.png"), red)
    assert np.asarray(cv2.imread(str(tmp_path / "r.png")))[0, 0].tolist() == [0, 0, 200]


def test_an_unwritable_picture_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot write"):
        write_picture(str(tmp_path / "none" / "r.png"), PICTURE)


@pytest.mark.parametrize("width", [1, 6, 14, 19, 20, 40])
def test_a_picture_that_is_a_strip_is_drawn_on_as_far_as_there_is_room(width: int) -> None:
    strip = np.full((1280, width, 3), 100, np.uint8)
    overlay = heat_overlay(strip, np.full((64, 64), 2, np.float32), low=1, high=2, boxes=[Box(0, 0, 1, 1)], caption="strip")
    assert overlay.shape[0] % 1280 == 0
    assert (overlay != 100).any()
