"""A data set of exactly MVTec AD's form, of two classes with defects that are known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from streamwatch.records import UInt8Array

SIZE_PX = 320
TRAINED, TESTED = 34, 4
DEFECTS = {"bottle": ("broken_large", "contamination"), "grid": ("bent",)}


def write(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)


def normal(name: str, rng: np.random.Generator) -> UInt8Array:
    """A disc, or a grid of lines, in the same place but for its light and its noise."""
    picture = np.full((SIZE_PX, SIZE_PX, 3), 90.0)
    if name == "bottle":
        cv2.circle(picture, (160, 160), 90, (40, 140, 200), -1)
    else:
        picture[::20], picture[:, ::20] = 200, 200
    picture = picture * rng.uniform(0.95, 1.05) + rng.normal(0, 8, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def make(root: Path) -> Path:
    """Write it; a defect is a square that is a little lighter, some hardly to be seen; each class's last picture has two."""
    rng = np.random.default_rng(5)
    for name, defects in DEFECTS.items():
        for number in range(TRAINED):
            write(root / name / f"train/good/{number:03d}.png", normal(name, rng))
        for number in range(TESTED):
            write(root / name / f"test/good/{number:03d}.png", normal(name, rng))
        for defect in defects:
            for number in range(TESTED):
                picture, mask = normal(name, rng), np.zeros((SIZE_PX, SIZE_PX), np.uint8)
                for _ in range(1 + (number == TESTED - 1)):
                    left, top, side = int(rng.integers(60, 220)), int(rng.integers(60, 220)), int(rng.integers(8, 40))
                    lighter = picture[top : top + side, left : left + side] + rng.uniform(8, 30)
                    picture[top : top + side, left : left + side] = np.clip(lighter, 0, 255)
                    mask[top : top + side, left : left + side] = 255
                write(root / name / f"test/{defect}/{number:03d}.png", picture)
                write(root / name / f"ground_truth/{defect}/{number:03d}_mask.png", mask)
    return root
