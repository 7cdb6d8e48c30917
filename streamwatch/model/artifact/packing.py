"""Triangles packed row by row: half the size of the squares that they are of."""

from __future__ import annotations

import torch
from torch import Tensor

from streamwatch.model.normality.gaussian import GaussianField
from streamwatch.model.normality.moments import chunks


def pack_triangles(square: Tensor) -> Tensor:
    """Lower triangles of (P, d, d) as (P, d(d+1)/2), row by row."""
    dims = int(square.shape[-1])
    rows, columns = torch.tril_indices(dims, dims)
    packed = square.new_empty((square.shape[0], rows.numel()))
    for at in chunks(int(square.shape[0])):
        packed[at] = square[at][:, rows, columns]
    return packed


def pack_whiteners(field: GaussianField) -> Tensor:
    """W of (P, d, d) as (P, d(d+1)/2), row by row; never as a whole, which at d = 550 takes 5 GB."""
    positions, dims = field.mean.shape
    packed = field.mean.new_empty((positions, dims * (dims + 1) // 2))
    for at in chunks(positions):
        packed[at] = pack_triangles(field.whiteners_t(at).transpose(1, 2))
    return packed


def unpack_whiteners(packed: Tensor, mean: Tensor) -> GaussianField:
    """The field of packed W and (P, d) means, likewise never as a whole."""
    dims, field = int(mean.shape[1]), GaussianField.empty_of(mean)
    for at in chunks(len(mean)):
        field.fill(at, unpack_triangles(packed[at], dims, symmetric=False, transposed=True))
    return field


def unpack_triangles(packed: Tensor, dims: int, *, symmetric: bool, transposed: bool = False) -> Tensor:
    """(P, d(d+1)/2) back to (P, d, d): triangular, its transpose, or symmetric."""
    rows, columns = torch.tril_indices(dims, dims)
    square = packed.new_zeros((packed.shape[0], dims, dims))
    for at in chunks(int(packed.shape[0])):
        if symmetric or not transposed:
            square[at, rows, columns] = packed[at]
        if symmetric or transposed:
            square[at, columns, rows] = packed[at]
    return square
