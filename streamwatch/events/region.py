"""Where in the picture an anomaly is: connected cells of the map over a threshold."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from streamwatch.records import Box, Float32Array

MAX_BOXES = 8


def boxes_over(grid: Float32Array, threshold: float) -> tuple[Box, ...]:
    """Boxes around the 8-connected cells at or over ``threshold``, strongest first, at most 8."""
    over = (grid >= threshold).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(over, connectivity=8)
    strongest = sorted(range(1, count), key=lambda label: -float(grid[labels == label].max()))
    return tuple(_box(stats[label], grid.shape) for label in strongest[:MAX_BOXES])


def centre_of(cell: int, shape: tuple[int, ...]) -> tuple[float, float]:
    """(x, y) in 0..1 of the centre of a cell, counted row by row."""
    rows, columns = shape
    row, column = divmod(cell, columns)
    return (column + 0.5) / columns, (row + 0.5) / rows


def _box(stats: npt.NDArray[np.int32], shape: tuple[int, ...]) -> Box:
    left, top, width, height = (int(v) for v in stats[:4])
    rows, columns = shape
    return Box(left / columns, top / rows, (left + width) / columns, (top + height) / rows)


def polygon_mask(polygons: list[list[tuple[float, float]]], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Cells whose centre lies in any of the polygons (corners in 0..1), as a boolean (rows, columns)."""
    rows, columns = shape
    x, y = np.meshgrid((np.arange(columns) + 0.5) / columns, (np.arange(rows) + 0.5) / rows)
    inside = np.zeros(shape, dtype=bool)
    for polygon in polygons:
        inside |= _inside_polygon(np.asarray(polygon, dtype=np.float64), x, y)
    return inside


def _inside_polygon(
    corners: npt.NDArray[np.float64], x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Even-odd rule: count the edges that a ray to the right crosses."""
    inside = np.zeros(x.shape, dtype=bool)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y1 == y2:
            continue
        crosses = (y1 > y) != (y2 > y)
        inside ^= crosses & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return inside
