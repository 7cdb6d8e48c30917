"""Heat maps over pictures, for people: colour where a patch is far from normal, nothing where it is not."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from streamwatch.records import Box, Float32Array, UInt8Array

_BAR_WIDTH_PX = 14
_MAX_HEIGHT_PX = 4320
_MAX_OPACITY = 0.65
_MIN_WIDTH_PX = 640
PIXELATED_COLUMNS = 32
_WHITE = (255, 255, 255)


def heat_overlay(
    picture: UInt8Array, grid: Float32Array, *, low: float, high: float, boxes: Sequence[Box] = (), caption: str = ""
) -> UInt8Array:
    """Blend an anomaly map over a picture.

    Args:
        picture: (H, W, 3) RGB.
        grid: (h, w) anomaly map, smoothed.
        low: map value at and below which the picture shows unchanged (a normal level).
        high: map value that is painted at full strength.
        boxes: regions to outline.
        caption: a line of text for the lower edge.

    Returns:
        (H', W', 3) RGB; a picture less than 640 pixels wide is enlarged by a whole factor to be readable.
    """
    picture = _enlarged(picture)
    height, width = picture.shape[:2]
    heat = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    level = np.clip((heat - low) / max(high - low, 1e-6), 0.0, 1.0).astype(np.float32)
    colours = heat_colours(level)
    opacity = (_MAX_OPACITY * np.sqrt(level))[..., None]
    blended: UInt8Array = (picture * (1 - opacity) + colours * opacity).astype(np.uint8)
    _draw_boxes(blended, boxes)
    _draw_bar(blended, low, high)
    if caption:
        _draw_text(blended, caption, (8, height - 8))
    return blended


def black_out(picture: UInt8Array, polygons: Sequence[Sequence[tuple[float, float]]]) -> UInt8Array:
    """A copy of an RGB picture with polygons (corners in 0..1) filled with black."""
    covered = picture.copy()
    height, width = picture.shape[:2]
    for polygon in polygons:
        corners = np.rint(np.asarray(polygon) * (width, height)).astype(np.int32)
        cv2.fillPoly(covered, [corners], (0, 0, 0))
    return covered


def pixelate(picture: UInt8Array, keep: Sequence[Box] = ()) -> UInt8Array:
    """A copy of an RGB picture in squares of 1/32 of its width, but for boxes in 0..1 and one square around them."""
    height, width = picture.shape[:2]
    side = max(1, round(width / PIXELATED_COLUMNS))
    small = cv2.resize(picture, (-(-width // side), -(-height // side)), interpolation=cv2.INTER_AREA)
    coarse = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
    for box in keep:
        rows = slice(max(0, round(box.top * height) - side), round(box.bottom * height) + side)
        columns = slice(max(0, round(box.left * width) - side), round(box.right * width) + side)
        coarse[rows, columns] = picture[rows, columns]
    return coarse


def write_picture(path: str, picture: UInt8Array) -> None:
    """Write an RGB picture as PNG or JPEG, by the name's ending.

    Raises:
        OSError: it cannot be written.
    """
    if not cv2.imwrite(path, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)):
        raise OSError(f"cannot write {path}")


def encode_jpeg(picture: UInt8Array, quality: int = 95) -> bytes:
    """An RGB picture as JPEG.

    Args:
        quality: 0 to 100, as libjpeg has it.

    Raises:
        OSError: it cannot be encoded.
    """
    encoded, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not encoded:
        raise OSError("a picture cannot be encoded")
    return bytes(data.tobytes())


def _enlarged(picture: UInt8Array) -> UInt8Array:
    height, width = picture.shape[:2]
    factor = min(-(-_MIN_WIDTH_PX // width), max(_MAX_HEIGHT_PX // height, 1))
    return np.asarray(picture.repeat(factor, axis=0).repeat(factor, axis=1)) if factor > 1 else picture


def heat_colours(level: Float32Array) -> UInt8Array:
    """(h, w) values of 0 to 1 as (h, w, 3) RGB."""
    bgr = cv2.applyColorMap((255 * level).astype(np.uint8), cv2.COLORMAP_TURBO)
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _draw_boxes(picture: UInt8Array, boxes: Sequence[Box]) -> None:
    height, width = picture.shape[:2]
    for box in boxes:
        corner = (round(box.left * width), round(box.top * height))
        opposite = (round(box.right * width) - 1, round(box.bottom * height) - 1)
        cv2.rectangle(picture, corner, opposite, _WHITE, 2, cv2.LINE_AA)


def _draw_bar(picture: UInt8Array, low: float, high: float) -> None:
    """A colour bar along the right edge, with the values of its ends."""
    height, width = picture.shape[:2]
    if width < _BAR_WIDTH_PX + 6:
        return  # of a picture that is a strip itself
    top, bottom = height // 8, height - height // 8
    ramp = np.linspace(1, 0, bottom - top, dtype=np.float32)[:, None].repeat(_BAR_WIDTH_PX, axis=1)
    picture[top:bottom, width - _BAR_WIDTH_PX - 6 : width - 6] = heat_colours(ramp)
    _draw_text(picture, f"{high:.1f}", (width - 42, top - 8))
    _draw_text(picture, f"{low:.1f}", (width - 42, bottom + 18))


def _draw_text(picture: UInt8Array, text: str, at: tuple[int, int]) -> None:
    """White text on a black plate, readable on anything."""
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)
    left, base = max(0, min(at[0], picture.shape[1] - width - 2)), at[1]
    cv2.rectangle(picture, (left - 3, base - height - 4), (left + width + 3, base + below), (0, 0, 0), -1)
    cv2.putText(picture, text, (left, base), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _WHITE, 1, cv2.LINE_AA)
