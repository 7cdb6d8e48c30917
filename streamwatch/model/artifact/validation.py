"""A model file is a user's input: whatever its metadata and tensors hold is checked before any of it is used.

A checksum says that a file is what somebody wrote, not that it makes sense. One camera's file must not be able to stop a
daemon.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor

from streamwatch.model.embedding.backbone import ARCHITECTURES
from streamwatch.model.regime import REGIMES
from streamwatch.model.scoring.motion_field import SIZES_CELLS
from streamwatch.model.scoring.tails import KNOTS
from streamwatch.records import SPEED_GRID

MAX_GRID = 256
MAX_DIMS = 4096
MAX_UNIX_S = 1e11
"""Year 5138; what dates are made of is less than that."""

MIN_EPS = 1e-6
MAX_MEAN = 1e9
"""Embeddings are activations, of a few hundred at most; with a whitener within its bound no distance overflows then."""
_ROUNDING = 2.0
"""Moments in float32 give up to 1.1 times the bound, where activations are in the hundreds."""

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[float, Field(allow_inf_nan=False, gt=0)]
_Scale = Annotated[float, Field(allow_inf_nan=False, ge=1e-9, le=1e9)]
"""What something is divided or multiplied by: neither makes an infinity of what is measured."""
_NotNegative = Annotated[float, Field(allow_inf_nan=False, ge=0)]
_Count = Annotated[int, Field(ge=0, le=2**40)]
_Side = Annotated[int, Field(ge=1, le=MAX_GRID)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _Identity(_Part):
    backbone: str
    weights: str
    weights_sha256: str
    level_names: list[str] = Field(min_length=1)
    dims: int = Field(ge=1, le=MAX_DIMS)
    seed: int
    indices: list[int]
    input_size_px: int = Field(ge=1)
    resize_kernel: str

    @model_validator(mode="after")
    def _channels_are_the_backbones(self) -> _Identity:
        known = ARCHITECTURES.get(self.backbone)
        if known is None:
            raise ValueError(f"unknown backbone {self.backbone[:40]!r}")
        if self.level_names != list(known.layer_names):
            raise ValueError(f"`level_names` are not {', '.join(known.layer_names)}")
        if len(self.indices) != self.dims or not all(0 <= index < sum(known.channels) for index in self.indices):
            raise ValueError(f"{self.dims} channels of {sum(known.channels)} are not what `indices` names")
        return self


class _Motion(_Part):
    frames: _Count
    step_s: float = Field(allow_inf_nan=False, gt=0, le=60)
    size_cells: float | None = None
    shrinkage: float | None = Field(default=None, allow_inf_nan=False, ge=0, le=1)

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> _Motion:
        if (self.size_cells is None) == (self.shrinkage is None):
            raise ValueError("either `size_cells` or `shrinkage`")
        if self.size_cells is not None and self.size_cells not in SIZES_CELLS:
            raise ValueError(f"`size_cells` is one of {SIZES_CELLS}")
        return self


class _Tail(_Part):
    scale: _Scale
    count: _Count


class _Fusion(_Part):
    lift: _Scale
    appearance: _Tail
    motion: _Tail


class _Units(_Part):
    appearance: _Scale
    motion: _Scale


class _Zone(_Part):
    zone: str
    end_threshold: _Finite
    highest: _Finite
    exposure_s: _NotNegative
    peaks: _Count
    min_duration_s: _NotNegative
    closing_s: _NotNegative
    field: Literal["", "appearance", "motion"] = ""
    sustained: _Finite = 0.0
    floor: _NotNegative = 0.0
    error: _NotNegative = 0.0


class _Calibration(_Part):
    start_threshold: _Positive
    end_threshold: _Positive
    frames: _Count
    method: str
    zones: list[_Zone] = []
    calm_spread: _NotNegative | None = None
    usual_spread: _NotNegative | None = None


class _Provenance(_Part):
    sources: list[str] = []
    fitted_at_s: float = Field(default=0.0, ge=0, le=MAX_UNIX_S, allow_inf_nan=False)
    footage_s: _NotNegative = 0.0
    learned_at_s: float = Field(default=0.0, ge=0, le=MAX_UNIX_S, allow_inf_nan=False)


class _Document(_Part):
    """What every model file says; keys that are not known here are a later version's, and left alone."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    identity: _Identity
    grid: tuple[_Side, _Side]
    eps: float = Field(allow_inf_nan=False, ge=MIN_EPS, le=1)
    frames: _Count
    regime: str | None = None
    fields: list[Literal["appearance", "motion"]] = Field(min_length=1, max_length=2)
    motion: _Motion | None = None
    fusion: _Fusion | None = None
    normal_levels: dict[Literal["appearance", "motion"], list[str]] | list[str] | None = None
    samples: _NotNegative = 0.0
    units: _Units | None = None
    calibration: _Calibration
    provenance: _Provenance
    sha256: str

    @model_validator(mode="after")
    def _parts_fit(self) -> _Document:
        if self.regime is not None and self.regime not in REGIMES:
            raise ValueError(f"unknown regime {self.regime[:40]!r}")
        if self.fields not in (["appearance"], ["motion"], ["appearance", "motion"]):
            raise ValueError("`fields` are appearance, motion, or both in this order")
        if ("motion" in self.fields) != (self.motion is not None):
            raise ValueError("`motion` does not fit `fields`")
        if "motion" in self.fields and self.grid != (SPEED_GRID, SPEED_GRID):
            raise ValueError(f"`grid` is not that of speed, {SPEED_GRID}x{SPEED_GRID}")
        if (len(self.fields) == 2) != (self.fusion is not None):
            raise ValueError("`fusion` does not fit `fields`")
        return self


def check_document(document: Mapping[str, Any]) -> None:
    """Check what the metadata say.

    Raises:
        ValueError: naming the first thing that is wrong.
    """
    try:
        grid = document.get("grid")
        _Document.model_validate({**document, "grid": tuple(grid) if isinstance(grid, list) else grid})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the metadata"
        raise ValueError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None


def check_tensors(document: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Check the tensors of a file whose metadata passed ``check_document``: there, of their shape and kind, and finite.

    Raises:
        ValueError: naming the first that is not.
    """
    height, width = document["grid"]
    positions, dims = height * width, document["identity"]["dims"]
    shapes: dict[str, tuple[int | None, ...]] = {"calibration.tail": (None,)}
    peaks = sum(zone["peaks"] for zone in document["calibration"].get("zones", []))
    if peaks or "calibration.peaks" in tensors:
        shapes["calibration.peaks"] = (peaks,)
    if "appearance" in document["fields"]:
        triangle = dims * (dims + 1) // 2
        shapes |= dict.fromkeys(("mean", "moments.shift", "moments.s1"), (positions, dims))
        shapes |= dict.fromkeys(("whitener", "moments.s2"), (positions, triangle))
    if "motion" in document["fields"]:
        shapes |= dict.fromkeys(("motion.shift", "motion.s1", "motion.s2"), (positions, 1))
    if len(document["fields"]) == 2:
        shapes |= dict.fromkeys(("tail.appearance", "tail.motion"), (KNOTS,))
    if "allowance" in tensors:
        shapes["allowance"] = (height, width)
    shapes |= _shapes_of_levels(document.get("normal_levels"), tensors)
    for name, shape in shapes.items():
        _check(name, tensors.get(name), shape)
    _check_values(tensors, document["eps"])


def _shapes_of_levels(
    zones: dict[str, list[str]] | list[str] | None, tensors: Mapping[str, Tensor]
) -> dict[str, tuple[int | None, ...]]:
    shapes: dict[str, tuple[int | None, ...]] = {}
    for field, names in (zones if isinstance(zones, dict) else {"": zones or []}).items():
        if names:
            prefix = f"normal.{field}." if field else "normal."
            at_s = tensors.get(f"{prefix}at_s")
            frames = len(at_s) if at_s is not None and at_s.ndim == 1 else None
            shapes |= {f"{prefix}at_s": (None,), f"{prefix}levels": (len(names), frames)}
            shapes[f"{prefix}blocks"] = (len(names), frames, None)
    return shapes


def _check(name: str, tensor: Tensor | None, shape: tuple[int | None, ...]) -> None:
    if tensor is None:
        raise ValueError(f"{name} is missing")
    kinds = _kinds_of(name)
    if tensor.dtype not in kinds:
        raise ValueError(f"{name} is {tensor.dtype}, not {' or '.join(map(str, kinds))}")
    if tensor.ndim != len(shape) or any(want not in (None, have) for want, have in zip(shape, tensor.shape, strict=True)):
        raise ValueError(f"{name} has the shape {tuple(tensor.shape)}, not {shape}")
    # NaN if any is; isfinite takes eight times as long
    bounds = [float(bound) for bound in tensor.aminmax()] if tensor.numel() else []
    unbounded = math.isnan if name.endswith(".blocks") else _is_not_finite  # rounded up, a block may be infinite
    if any(map(unbounded, bounds)):
        raise ValueError(f"{name} holds values that are not finite")


def _is_not_finite(value: float) -> bool:
    return not math.isfinite(value)


def _kinds_of(name: str) -> tuple[torch.dtype, ...]:
    if name.endswith(".blocks"):
        return (torch.float16,)
    if name.startswith(("moments.", "motion.")):  # as precise as they were learned: `precision: reference` is float64
        return (torch.float32, torch.float64)
    return (torch.float32,) if name in {"mean", "whitener", "allowance"} else (torch.float64,)


def _check_values(tensors: Mapping[str, Tensor], eps: float) -> None:
    for name in ("tail.appearance", "tail.motion", "calibration.tail"):
        if name in tensors and not bool((tensors[name].diff() >= 0).all()):
            raise ValueError(f"{name} does not ascend")
    if "allowance" in tensors and not bool(((tensors["allowance"] >= 1e-6) & (tensors["allowance"] <= 1e9)).all()):
        raise ValueError("allowance is not positive, or beyond all measure")
    if "mean" in tensors:
        _check_gaussians(tensors["mean"], tensors["whitener"], eps)


def _check_gaussians(mean: Tensor, whitener: Tensor, eps: float) -> None:
    """W = L^-1 of Sigma + eps I = L L' has a positive diagonal, and nothing in it is over eps^-1/2: Sigma is not negative."""
    if mean.numel() and float(mean.abs().max()) > MAX_MEAN:
        raise ValueError("mean is beyond all that a network says")
    if not bool((whitener[:, _diagonal(whitener.shape[1])] > 0).all()):
        raise ValueError("whitener is of no covariance: its diagonal is not positive")
    if whitener.numel() and float(whitener.abs().max()) > _ROUNDING / math.sqrt(eps):
        raise ValueError("whitener is of no covariance: it is over one by the root of eps")


def _diagonal(packed: int) -> list[int]:
    """Where the diagonal lies in a triangle packed row by row."""
    at, row, found = 0, 0, list[int]()
    while at < packed:
        found.append(at)
        row += 1
        at += row + 1
    return found
