"""The distances of a whole batch, each frame's to its own camera's Gaussians, in one launch on a GPU.

Camera by camera, batched products take 0.27 ms of each camera on an H100, whether it has one frame or sixteen: that is what
their launches take. Here a program takes one position of up to ``ROWS`` frames of one camera, and all cameras' programs are one
launch. Triton, which comes with PyTorch, compiles it for the GPU at hand at the first use.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamwatch.model.batches import sent
from streamwatch.model.normality.gaussian import GaussianField

try:
    import triton
    import triton.language as tl
except ImportError:  # not on every platform: there the products are taken camera by camera
    triton = tl = None

ROWS = 16
"""Frames of one program: the fewest rows that a tensor core takes. One warp suffices them: 100 cameras' 256 frames took 4.6 ms,
with two warps 6.1, with four 7.5 (bf16 whiteners, H100)."""


def available() -> bool:
    """Whether Triton is there; that it can compile is only known when it has."""
    return triton is not None


def grouped_distances(fields: Sequence[GaussianField], x: Tensor, rows_of: Sequence[Sequence[int]]) -> Tensor:
    """M(x) (eq. 2, Defard et al. 2020) of (N, P, d) float32 embeddings, each row's to its own field; (N, P), NaN of no field.

    Args:
        fields: of one precision each, on the device of ``x``, which is contiguous.
        rows_of: by field, its rows of ``x``.

    Raises:
        Exception: the device fails, or Triton does not compile: each of its own kind.
    """
    found = x.new_full(x.shape[:2], torch.nan)
    for dtype in {field.blocks[0].dtype for field in fields}:
        own = [(field, rows) for field, rows in zip(fields, rows_of, strict=True) if field.blocks[0].dtype == dtype]
        _launch([field for field, _ in own], x, [rows for _, rows in own], found)
    return found


def _launch(fields: Sequence[GaussianField], x: Tensor, rows_of: Sequence[Sequence[int]], found: Tensor) -> None:
    first, positions, dims = fields[0], int(x.shape[1]), int(x.shape[2])
    groups = sent(np.array(_groups(rows_of), dtype=np.int32), x.device)
    addresses = sent(np.array([_addresses(field) for field in fields], dtype=np.int64), x.device)
    widest = max(int(block.shape[2]) for block in first.blocks)
    half = first.blocks[0].dtype == torch.bfloat16
    width = max(triton.next_power_of_2(widest), ROWS)
    launch, sizes = _kernel()[len(groups), positions], (positions, dims, len(first.blocks), width)
    with torch.cuda.device_of(x):  # Triton launches on the current device, which need not be that of its arguments
        launch(x, groups, addresses, found, *sizes, ROWS, half, num_warps=1, enable_fp_fusion=True)


def _groups(rows_of: Sequence[Sequence[int]]) -> list[list[int]]:
    """By program, the number of its field and up to ROWS rows, -1 where there are fewer."""
    parts = [(n, rows[at : at + ROWS]) for n, rows in enumerate(rows_of) for at in range(0, len(rows), ROWS)]
    return [[number, *rows, *([-1] * (ROWS - len(rows)))] for number, rows in parts]


def _addresses(field: GaussianField) -> list[int]:
    return [field.mean.data_ptr(), *(block.data_ptr() for block in field.blocks)]


@functools.cache
def _kernel() -> Any:
    return triton.jit(_distances)


def _distances(
    x: tl.tensor,
    groups: tl.tensor,
    addresses: tl.tensor,
    found: tl.tensor,
    positions: tl.tensor,
    dims: tl.constexpr,
    blocks: tl.constexpr,
    width: tl.constexpr,
    rows_at_once: tl.constexpr,
    half: tl.constexpr,
) -> None:
    """||W (x - mu)|| of one position: columns of W' block by block, of each 32 rows at once."""
    step: tl.constexpr = 32
    kept: tl.constexpr = tl.bfloat16 if half else tl.float32
    exact: tl.constexpr = "tf32" if half else "ieee"  # bf16's 8 bits of mantissa fit into tf32's 11
    group, position = tl.program_id(0), tl.program_id(1)
    of_group = groups + group * (rows_at_once + 1)
    of_field = addresses + tl.load(of_group) * (blocks + 1)
    rows = tl.load(of_group + 1 + tl.arange(0, rows_at_once)).to(tl.int64)
    there = rows >= 0
    mean = tl.load(of_field).to(tl.pointer_type(tl.float32)) + position * dims
    embeddings = x + (rows * positions + position) * dims
    squared = tl.zeros((rows_at_once,), dtype=tl.float32)
    column = tl.arange(0, width)
    for number in tl.static_range(blocks):
        end = dims * (number + 1) // blocks
        columns = end - dims * number // blocks
        whitener = tl.load(of_field + 1 + number).to(tl.pointer_type(kept)) + position.to(tl.int64) * end * columns
        z = tl.zeros((rows_at_once, width), dtype=tl.float32)
        for first in range(0, end, step):
            k = first + tl.arange(0, step)
            inside = k < end
            value = tl.load(embeddings[:, None] + k[None, :], mask=there[:, None] & inside[None, :], other=0.0)
            centred = value - tl.load(mean + k, mask=inside, other=0.0)[None, :]
            part = tl.load(
                whitener + k[:, None] * columns + column[None, :],
                mask=inside[:, None] & (column < columns)[None, :],
                other=0.0,
            )
            z += tl.dot(centred.to(kept).to(tl.float32), part.to(tl.float32), input_precision=exact)
        squared += tl.sum(z * z, axis=1)
    tl.store(found + rows * positions + position, tl.sqrt(squared), mask=there)
