"""The maps of a batch of many cameras, each frame's by its own camera's model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from streamwatch.model.batches import sent
from streamwatch.model.normality import grouped_distances as at_once
from streamwatch.model.normality.gaussian import GaussianField, mahalanobis
from streamwatch.model.scene import SceneModel
from streamwatch.model.scoring.anomaly_map import smooth_on_grid
from streamwatch.model.scoring.motion_field import MotionField
from streamwatch.retry import caught

log = logging.getLogger(__name__)
RowsOf = Mapping[str, list[int]]
AppearanceMaps = Callable[[Mapping[str, SceneModel], Tensor, RowsOf], Tensor]
"""(N, h, w) float32 maps of (N, H, W, d) embeddings, of the rows of some cameras; NaN in the others'."""
_CHECKED_POSITIONS, _CHECKED_FRAMES = 16, 20
"""Positions as many as a grid's but for a factor: Triton compiles another kernel for a number that 16 does not divide."""
_KERNEL_ERROR_AT_MOST = {torch.float32: 1e-4, torch.bfloat16: 1e-2}
"""Relative, by what whiteners are kept in: other orders of sums, and in 16 bits other roundings of one value."""


def appearance_maps_for(device: torch.device, dims: int, tile_frames: int) -> AppearanceMaps:
    """All cameras at once on a GPU that Triton compiles for, else one after the other; of ``dims`` dimensions."""

    def one_by_one(scenes: Mapping[str, SceneModel], embeddings: Tensor, rows_of: RowsOf) -> Tensor:
        grids = embeddings.new_full(embeddings.shape[:3], torch.nan, dtype=torch.float32)
        for camera, rows in rows_of.items():
            part = embeddings if len(rows) == len(embeddings) else embeddings[_at(rows, embeddings)]
            grids[_at(rows, embeddings)] = scenes[camera].maps(part, tile_frames=tile_frames).grids.to(torch.float32)
        return grids

    def all_at_once(scenes: Mapping[str, SceneModel], embeddings: Tensor, rows_of: RowsOf) -> Tensor:
        fields = [scenes[camera].require_gaussians() for camera in rows_of]
        if embeddings.dtype != torch.float32 or any(field.mean.dtype != torch.float32 for field in fields):
            return one_by_one(scenes, embeddings, rows_of)
        flat = embeddings.flatten(1, 2).contiguous()
        distances = at_once.grouped_distances(fields, flat, list(rows_of.values()))
        return smooth_on_grid(distances.reshape(embeddings.shape[:3]))

    return all_at_once if device.type == "cuda" and kernel_works(device, dims) else one_by_one


def kernel_works(device: torch.device, dims: int) -> bool:
    """Whether all cameras' distances can be had in one launch on ``device``; compiles it, and says so if not."""
    reason = "Triton is not installed" if not at_once.available() else None
    for whiteners, at_most in _KERNEL_ERROR_AT_MOST.items():
        reason = reason or _fault_of_kernel(device, dims, whiteners, at_most)
    if reason:
        log.warning("distances are computed camera by camera, which is slower: %s", reason)
    return reason is None


def _fault_of_kernel(device: torch.device, dims: int, whiteners: torch.dtype, at_most: float) -> str | None:
    """What is wrong with it for whiteners of one precision; None if nothing is."""
    generator = torch.Generator().manual_seed(0)
    shape = (_CHECKED_POSITIONS, dims)
    field = GaussianField.of(
        torch.randn(shape, generator=generator), torch.randn((*shape, dims), generator=generator).triu()
    ).to(device)
    field = field if whiteners == torch.float32 else field.rounded(whiteners, at_most)
    x = torch.randn((_CHECKED_FRAMES, *shape), generator=generator).to(device)
    errors = list[float]()

    def compare() -> None:
        found = at_once.grouped_distances([field], x, [range(_CHECKED_FRAMES)])
        errors.append(float((found / mahalanobis(field, x) - 1).abs().max()))

    failure = caught(compare)  # a compiler that is missing or fails raises whatever it likes
    if failure is not None:
        return _first_line(failure)
    return None if errors[0] <= at_most else f"at once they are off by {errors[0]:.0e}"


def motion_maps(scenes: Mapping[str, SceneModel], speed: Tensor, rows_of: RowsOf) -> Tensor:
    """(N, h, w) float32 motion maps of (N, h, w) speeds; NaN where a frame or its model has no motion.

    Speed is averaged over the size of a scene's things: the scenes of one size together.
    """
    grids = torch.full_like(speed, torch.nan)
    for scene, rows in _alike(scenes, rows_of):
        at = _at(rows, speed)
        grids[at] = scene.motion_maps(speed[at])
    return grids


def _alike(scenes: Mapping[str, SceneModel], rows_of: RowsOf) -> Sequence[tuple[SceneModel, list[int]]]:
    """A scene of each kind of motion, and the rows of all of that kind."""
    kinds: dict[object, tuple[SceneModel, list[int]]] = {}
    for camera, rows in rows_of.items():
        scene = scenes[camera]
        if scene.sees_motion:
            kind = scene.motion_.size_cells if isinstance(scene.motion_, MotionField) else camera
            kinds.setdefault(kind, (scene, []))[1].extend(rows)
    return list(kinds.values())


def _at(rows: Sequence[int], like: Tensor) -> Tensor:
    return sent(np.array(rows, dtype=np.int64), like.device)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
