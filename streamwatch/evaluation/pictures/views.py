"""How a picture of a data set is looked at: the middle of it, or turned and cropped at random (Rd-MVTec).

Section 4.1 of Defard et al. 2020: pictures are resized to 256x256 and cropped to 224x224; of Rd-MVTec, a rotation within 10
degrees and the place of the crop are drawn for each picture, of training and test alike.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from streamwatch.records import INPUT_SIZE_PX, UInt8Array

CROP_PX = 224
_SPARE_PX = INPUT_SIZE_PX - CROP_PX
MAX_ROTATION_DEG = 10
_HUNDREDTHS = 100
_FRACTION = 256
"""Places between pixels are kept in so many parts, so that a turned picture is the same on every machine."""

Indices = npt.NDArray[np.int64]
A = TypeVar("A", bound=np.generic)


@dataclass(frozen=True, slots=True)
class View:
    """What of a 256x256 picture is looked at.

    Attributes:
        left_px, top_px: of the crop, in the turned picture.
        degrees: it is turned by, counter-clockwise.
    """

    left_px: int
    top_px: int
    degrees: float = 0.0


MIDDLE = View(_SPARE_PX // 2, _SPARE_PX // 2)
ViewOf = Callable[[str], View]
"""The view of a picture by its name within the data set."""


def middle_view(_name: str) -> View:
    """The middle of every picture."""
    return MIDDLE


@dataclass(frozen=True)
class RandomViews:
    """Each picture's own: of its name and the seed alone, whatever else is read, in whatever order, on whatever machine."""

    seed: int

    def __call__(self, name: str) -> View:
        """Drawn from the sha256 of seed and name; uniform to 1e-15."""
        digest = hashlib.sha256(f"{self.seed}/{name}".encode()).digest()
        turn, left, top = (int.from_bytes(digest[at : at + 8]) for at in (0, 8, 16))
        steps = MAX_ROTATION_DEG * _HUNDREDTHS
        degrees = (turn % (2 * steps + 1) - steps) / _HUNDREDTHS
        return View(left % (_SPARE_PX + 1), top % (_SPARE_PX + 1), degrees)


def seen_by(view: View, picture: UInt8Array) -> UInt8Array:
    """(224, 224, 3) of a (256, 256, 3) picture, between pixels bilinear; beyond its edges it is mirrored.

    Black there, a corner that few of the training pictures show would be an anomaly that no mask knows.
    """
    if view.degrees:
        picture = _turned(picture, view.degrees)
    return np.ascontiguousarray(_cropped(picture, view))


def mask_seen_by(view: View, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(224, 224) of a (256, 256) mask, of the nearest pixels; mirrored as its picture is."""
    if view.degrees:
        x, y = _sources(view.degrees)
        mask = _at(mask, (x + _FRACTION // 2) // _FRACTION, (y + _FRACTION // 2) // _FRACTION)
    return np.ascontiguousarray(_cropped(mask, view))


def _cropped(picture: npt.NDArray[A], view: View) -> npt.NDArray[A]:
    return picture[view.top_px : view.top_px + CROP_PX, view.left_px : view.left_px + CROP_PX]


def _sources(degrees: float) -> tuple[Indices, Indices]:
    """(256, 256) each: where every pixel of the turned picture was, in 256ths of a pixel."""
    middle = (INPUT_SIZE_PX - 1) / 2
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    down, across = np.mgrid[:INPUT_SIZE_PX, :INPUT_SIZE_PX] - middle
    x, y = (middle + cosine * across - sine * down, middle + sine * across + cosine * down)
    return np.rint(x * _FRACTION).astype(np.int64), np.rint(y * _FRACTION).astype(np.int64)


def _turned(picture: UInt8Array, degrees: float) -> UInt8Array:
    x, y = _sources(degrees)
    left, right_part = np.divmod(x, _FRACTION)
    top, lower_part = np.divmod(y, _FRACTION)
    total = np.zeros(picture.shape, dtype=np.int64)
    for down, of_row in ((0, _FRACTION - lower_part), (1, lower_part)):
        for across, of_column in ((0, _FRACTION - right_part), (1, right_part)):
            total += (of_row * of_column)[..., None] * _at(picture, left + across, top + down)
    return ((total + _FRACTION**2 // 2) // _FRACTION**2).astype(np.uint8)


def _at(picture: npt.NDArray[A], x: Indices, y: Indices) -> npt.NDArray[A]:
    """The picture's pixels at these places, mirrored at its outermost pixels."""
    height, width = picture.shape[:2]
    return np.asarray(picture[_mirrored(y, height), _mirrored(x, width)])


def _mirrored(places: Indices, size: int) -> Indices:
    return np.asarray((size - 1) - np.abs((size - 1) - np.abs(places)))
