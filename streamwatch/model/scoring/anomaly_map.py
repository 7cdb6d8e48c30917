"""From distances on the grid to a smoothed anomaly map, its picture-sized form and its score."""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from streamwatch.records import INPUT_SIZE_PX

SMOOTHING_SIGMA_PX = 4.0
"""Gaussian smoothing at 256x256 (section 4.2, Defard et al. 2020)."""

_TRUNCATE_SIGMAS = 4.0


@functools.lru_cache(maxsize=16)
def smoothing_matrix(size: int, sigma: float) -> Tensor:
    """(size, size) float64 matrix K such that K v is v blurred by a Gaussian, borders mirrored with the edge repeated.

    The kernel is cut at 4 sigma and sums to one, as scipy.ndimage.gaussian_filter1d(mode="reflect") has it.
    """
    radius = int(_TRUNCATE_SIGMAS * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1)
    kernel = torch.exp(-0.5 * (offsets.double() / sigma) ** 2)
    kernel /= kernel.sum()
    matrix = torch.zeros(size, size, dtype=torch.float64)
    for row in range(size):
        folded = (row + offsets) % (2 * size)
        source = torch.where(folded < size, folded, 2 * size - 1 - folded)
        matrix[row].index_add_(0, source, kernel)
    return matrix


@functools.lru_cache(maxsize=16)
def _smoothing_matrix_on(device: torch.device, dtype: torch.dtype, size: int, sigma: float) -> Tensor:
    """Kept on the device: sending it again and again waits for all that is computed there."""
    return smoothing_matrix(size, sigma).to(device, dtype)


def smooth(maps: Tensor, sigma: float) -> Tensor:
    """Separable Gaussian blur of (N, H, W) maps, sigma in cells: K_H M K_W'."""
    rows, columns = (_smoothing_matrix_on(maps.device, maps.dtype, int(size), sigma) for size in maps.shape[1:])
    return rows @ maps @ columns.T


def smooth_on_grid(maps: Tensor) -> Tensor:
    """Blur (N, H, W) grid maps by 4 pixels of the 256-pixel input, i.e. one cell of a 64-cell grid."""
    return smooth(maps, SMOOTHING_SIGMA_PX * maps.shape[1] / INPUT_SIZE_PX)


def upsample(maps: Tensor, height: int, width: int) -> Tensor:
    """Bicubic upsampling of (N, H, W) maps to (N, height, width)."""
    return interpolate(maps.unsqueeze(1), size=(height, width), mode="bicubic", align_corners=False).squeeze(1)


def paper_order_map(maps: Tensor) -> Tensor:
    """Upsample first, blur afterwards, as the paper describes: (N, H, W) distances to (N, 256, 256).

    Kept as the reference that ``smooth_on_grid`` is measured against; see docs/method.md.
    """
    return smooth(upsample(maps, INPUT_SIZE_PX, INPUT_SIZE_PX), SMOOTHING_SIGMA_PX)
