"""The distances of a whole batch, each frame's to its own camera's Gaussians, in one launch on a GPU.

Camera by camera, batched products take 0.27 ms of each camera on an H100, whether it has one frame or sixteen: that is what
their launches take. Here a program takes one position of up to ``ROWS`` frames of one camera, and all cameras' programs are one
launch. Triton, which comes with PyTorch, compiles it for the GPU at hand at the first use.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamwatch.model.batches import sent
from streamwatch.model.normality.gaussian import GaussianField

ROWS = 16
"""Frames of one program: the fewest rows that a tensor core takes. One warp suffices them: 100 cameras' 256 frames took 4.6 ms,
with two warps 6.1, with four 7.5 (bf16 whiteners, H100)."""


def available() -> bool:
    """Whether Triton is there; that it can compile is only known when it has."""
    return importlib.util.find_spec("triton") is not None


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
    width = max(1 << (widest - 1).bit_length(), ROWS)  # a power of 2
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
    return importlib.import_module("streamwatch.model.normality.distance_kernel").compiled
