"""The kernel of ``grouped_distances``, which alone imports it, and where there is a GPU: Triton takes a while to import."""

from __future__ import annotations

import triton
import triton.language as tl


def distances(
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


compiled = triton.jit(distances)
