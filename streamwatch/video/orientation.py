"""How a picture is to be turned before anybody looks at it: phones and ceiling cameras store theirs as the sensor lies.

The display matrix of a stream (ISO/IEC 14496-12, section 6.2.2) or the orientation of a picture file (Exif 2.3, tag 0x0112).
Only quarter turns and flips are told apart; any other angle is taken as the nearest quarter turn.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import av
import numpy as np
from PIL import Image, UnidentifiedImageError

from streamwatch.records import UInt8Array

_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class Orientation:
    """What is done to the stored picture, in this order.

    Attributes:
        transposed: rows become columns.
        flipped_x, flipped_y: mirrored left to right, top to bottom.
    """

    transposed: bool = False
    flipped_x: bool = False
    flipped_y: bool = False

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) as shown, of a picture that is stored so large."""
        return (height, width) if self.transposed else (width, height)

    def turn(self, picture: UInt8Array) -> UInt8Array:
        """A stored picture (height, width, channels) as it is to be shown."""
        if self == UPRIGHT:
            return picture
        turned = picture.swapaxes(0, 1) if self.transposed else picture
        rows = slice(None, None, -1 if self.flipped_y else 1)
        columns = slice(None, None, -1 if self.flipped_x else 1)
        return np.ascontiguousarray(turned[rows, columns])


UPRIGHT = Orientation()
_OF_EXIF = {
    2: Orientation(flipped_x=True),
    3: Orientation(flipped_x=True, flipped_y=True),
    4: Orientation(flipped_y=True),
    5: Orientation(transposed=True),
    6: Orientation(transposed=True, flipped_x=True),
    7: Orientation(transposed=True, flipped_x=True, flipped_y=True),
    8: Orientation(transposed=True, flipped_y=True),
}


def orientation_of(frame: av.VideoFrame, coded: bytes | Path | None = None) -> Orientation:
    """How a decoded frame is to be turned.

    Args:
        coded: the picture file that it was decoded from, where it is one: PyAV (18.1) cannot show the side data of a frame
            that has Exif beside its display matrix, and its ``rotation`` is half a turn for a mirror image.
    """
    return _said(frame, coded) or UPRIGHT


def _said(frame: av.VideoFrame, coded: bytes | Path | None) -> Orientation | None:
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        return _exif_orientation(coded)
    return None if matrix is None else _of_matrix(bytes(cast("bytes", matrix)))


class TurnedStream:
    """How the frames of one stream are to be turned, one after the other.

    H.264 and HEVC may say it in a message of their own (ITU-T H.264, D.2.27), once at the beginning or with each key frame;
    FFmpeg gives it with that picture, and with none that follows.
    """

    def __init__(self) -> None:
        self._last = UPRIGHT

    def orientation(self, frame: av.VideoFrame, coded: bytes | Path | None = None) -> Orientation:
        """As ``orientation_of``; a frame that says nothing is turned as the one before it."""
        self._last = _said(frame, coded) or self._last
        return self._last


def _of_matrix(matrix: bytes) -> Orientation:
    """Row by row a b u, c d v, x y w, of which a pixel (p, q) is shown at (a p + c q, b p + d q)."""
    a, b, _, c, d = struct.unpack_from("=5i", matrix)
    if abs(a) >= abs(b):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)


def _exif_orientation(coded: bytes | Path | None) -> Orientation:
    if coded is None:
        return UPRIGHT
    try:
        with Image.open(io.BytesIO(coded) if isinstance(coded, bytes) else coded) as image:
            return _OF_EXIF.get(image.getexif().get(_EXIF_ORIENTATION, 1), UPRIGHT)
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError):
        return UPRIGHT
