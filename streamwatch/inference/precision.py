"""``precision: auto``: half the bits where the device computes them natively and a camera's own maps bear it.

Half precision changes an embedding by a share of a percent, and a Gaussian with a small variance makes much of it: whether a
map stays within a hundredth follows from the scene. So each camera's first frames are scored in both precisions. Whiteners
alone lose less, and what they do to a map follows from the model: it is asked when a camera begins.
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from streamwatch.inference.planned_sizes import PlannedEmbedder
from streamwatch.model.batches import sent
from streamwatch.model.embedding.embedder import Embedder
from streamwatch.model.normality.gaussian import GaussianField, drawn_normal, mahalanobis
from streamwatch.model.scene import SceneModel

log = logging.getLogger(__name__)
Scoring = Embedder | PlannedEmbedder
CHECKED_FRAMES = 8
"""Frames of a camera that are scored twice before one precision is chosen ..."""
HALF_FROM_FRAME = 32
"""... and the first that is scored in the one that was: so late that it is chosen by then whatever the batches. A frame's score
must not follow from its batch."""
MAP_ERROR_AT_MOST = 1e-2
"""Largest difference in a frame's map, as a share of the map's highest value."""
_NATIVE_ON_CPU = ("avx512_bf16", "amx_bf16", "bf16")
_ASKED_POSITIONS, _ASKED_FRAMES = 64, 16
"""Of how much drawn from a model's Gaussians it is asked what its whiteners bear: a thousand distances, in a moment. Positions
at random, because of a grid whose width divides their step all would lie in one column."""
_FP16_CAPABILITY, _BF16_CAPABILITY = (7, 0), (8, 0)
"""Of CUDA, from which on tensor cores compute fp16 (Volta) and bf16 (Ampere)."""


def half_precision(device: torch.device) -> str | None:
    """What ``device`` computes natively in 16 bits, ``fp16`` or ``bf16``; None if nothing.

    On CUDA fp16, whose 10 bits of mantissa change maps a quarter as much as bf16's 7; a network with batch norm folded in stays
    far within its range, and what would not fails the check. On a CPU bf16, which is what PyTorch has kernels for.
    """
    if device.type == "cuda":
        return "fp16" if torch.cuda.get_device_capability(device) >= _FP16_CAPABILITY else None
    capabilities = getattr(torch.cpu, "get_capabilities", dict[str, object])()
    return "bf16" if any(capabilities.get(name) for name in _NATIVE_ON_CPU) else None


def half_whiteners(device: torch.device) -> torch.dtype | None:
    """bf16 where ``device`` computes it natively, else None.

    Not fp16: whiteners go up to 1 / sqrt(eps), and distances to what never was go further than fp16.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= _BF16_CAPABILITY else None
    return torch.bfloat16 if half_precision(device) else None


def map_errors(half: Tensor, full: Tensor) -> list[float]:
    """Largest difference of each of (N, h, w) maps, as a share of its highest value; infinite where one is not finite."""
    share = (half - full).abs().amax(dim=(1, 2)) / full.amax(dim=(1, 2)).clamp(min=torch.finfo(full.dtype).tiny)
    return [float("inf") if math.isnan(error) else error for error in share.tolist()]


def map_error(half: Tensor, full: Tensor) -> float:
    """The largest of ``map_errors``."""
    return max(map_errors(half, full))


def with_rounded_whiteners(camera: str, model: SceneModel, half: torch.dtype) -> SceneModel:
    """A camera's model with whiteners in ``half`` if its maps bear it, else as it is.

    That is asked of what the model's Gaussians say that normal pictures are (``drawn_normal``).
    """
    field = model.require_gaussians()
    error = whitener_error(field, half, eps=model.eps)
    name, changes = str(half).removeprefix("torch."), f"changes its map by up to {error:.1%}"
    if error > MAP_ERROR_AT_MOST:
        what = f"whiteners in float32: {name} {changes}, and {MAP_ERROR_AT_MOST:.0%} is allowed"
        log.info("camera %s: %s", camera, what, extra={"camera": camera})
        return model
    log.info("camera %s: whiteners in %s, which %s", camera, name, changes, extra={"camera": camera})
    rounded = copy.copy(model)
    rounded.gaussians_ = field.rounded(half, error)
    return rounded


def whitener_error(field: GaussianField, half: torch.dtype, *, eps: float) -> float:
    """``map_error`` of whiteners in ``half``, of normal pictures as a model knows them; not 0."""
    positions = torch.randperm(len(field.mean), generator=torch.Generator().manual_seed(0))[:_ASKED_POSITIONS]
    asked = field.at(positions)
    drawn = drawn_normal(asked, _ASKED_FRAMES, eps=eps)
    full, rounded = (mahalanobis(one, drawn) for one in (asked, asked.rounded(half, 1.0)))
    return max(map_error(rounded.unsqueeze(1), full.unsqueeze(1)), torch.finfo(torch.float32).tiny)


@dataclass(frozen=True)
class _Check:
    """What a camera's first frames came to.

    Attributes:
        whiteners: how far its whiteners alone are off.
        frames: that were scored twice.
    """

    whiteners: float = 0.0
    frames: int = 0
    worst: float = 0.0

    @property
    def done(self) -> bool:
        return self.frames >= CHECKED_FRAMES

    @property
    def error(self) -> float:
        return self.worst + self.whiteners

    @property
    def passed(self) -> bool:
        return self.done and self.error <= MAP_ERROR_AT_MOST


@dataclass(frozen=True)
class Embeddings:
    """Of a batch.

    Attributes:
        chosen: (N, H, W, d) in each camera's precision; None if no scene of the batch sees appearance.
        half: (n, H, W, d) of the rows that are checked, in half precision; None if none is.
        checked: by camera, its rows among those n, and all n rows of the batch in their order.
    """

    chosen: Tensor | None
    half: Tensor | None = None
    checked: tuple[Mapping[str, list[int]], list[int]] = field(default_factory=lambda: ({}, []))


class CheckedPrecision:
    """Embeds each camera in half precision if its first frames' maps bear it, and else in full.

    Args:
        full: what models are learned with.
        half: the same network in half precision; None scores everything in full.
    """

    def __init__(self, full: Scoring, half: Scoring | None = None) -> None:
        self._full, self._half = full, half
        self._checks: dict[str, _Check] = {}
        self._seen: dict[str, int] = {}

    def begin(self, camera: str, whiteners: float = 0.0, *, sees: bool = True) -> None:
        """Check ``camera`` from its next frame on: its model is another one, whose whiteners alone are so far off.

        Args:
            sees: whether its model needs embeddings; else there is nothing to check.
        """
        self._checks[camera], self._seen[camera] = _Check(whiteners, frames=0 if sees else CHECKED_FRAMES), 0

    @contextmanager
    def undone_on_fault(self, cameras: Collection[str]) -> Iterator[None]:
        """What fails in here leaves these cameras' checks as they were: their frames may come again."""
        checks = {camera: self._checks[camera] for camera in cameras if camera in self._checks}
        seen = {camera: self._seen[camera] for camera in checks}
        with ExitStack() as undo:
            undo.callback(self._checks.update, checks)
            undo.callback(self._seen.update, seen)
            yield
            undo.pop_all()

    def forget(self, camera: str) -> None:
        """Its frames come no more."""
        self._checks.pop(camera, None)
        self._seen.pop(camera, None)

    def known_until(self, cameras: Sequence[str]) -> int:
        """Of a batch's frames, at least one, how many come before one whose precision these must be scored to know."""
        if self._half is None:
            return len(cameras)
        more: dict[str, int] = {}
        for row, camera in enumerate(cameras):
            number = self._seen[camera] + more.get(camera, 0)
            if row and number >= HALF_FROM_FRAME and self._seen[camera] < CHECKED_FRAMES and not self._checks[camera].done:
                return row
            more[camera] = more.get(camera, 0) + 1
        return len(cameras)

    def numbers(self, cameras: Sequence[str]) -> list[int]:
        """The number of each frame of a batch in its camera's stream, from 0; frames count from here on."""
        found = []
        for camera in cameras:
            found.append(self._seen[camera])
            self._seen[camera] += 1
        return found

    def embed(self, pixels: Tensor, rows_of: Mapping[str, list[int]], numbers: Sequence[int]) -> Embeddings:
        """Embed the cameras' rows of (N, 256, 256, 3) uint8 pictures, of which ``numbers`` says which frames they are."""
        if not rows_of:
            return Embeddings(None)
        halves = [row for camera, rows in rows_of.items() for row in rows if self._is_half(camera, numbers[row])]
        fulls = sorted({row for rows in rows_of.values() for row in rows}.difference(halves))
        chosen = _spread_out([(self._half, sorted(halves)), (self._full, fulls)], pixels)
        first = [(camera, row) for camera, rows in rows_of.items() for row in rows if numbers[row] < CHECKED_FRAMES]
        if self._half is None or not first:
            return Embeddings(chosen)
        of_camera: dict[str, list[int]] = {}
        for number, (camera, _) in enumerate(first):
            of_camera.setdefault(camera, []).append(number)
        checked = [row for _, row in first]
        return Embeddings(chosen, _rows(self._half, pixels, checked), (of_camera, checked))

    def _is_half(self, camera: str, number: int) -> bool:
        return self._half is not None and number >= HALF_FROM_FRAME and self._checks[camera].passed

    def record(self, camera: str, frames: int, error: float) -> None:
        """So many frames of a camera that is being checked had maps that differed by ``error`` at most."""
        before = self._checks[camera]
        if self._half is None or before.done:
            return
        check = replace(before, frames=before.frames + frames, worst=max(before.worst, error))
        self._checks[camera] = check
        if check.done:
            self._tell(camera, check, str(self._half.dtype).removeprefix("torch."))

    def _tell(self, camera: str, check: _Check, name: str) -> None:
        changes = f"changes its map by up to {check.error:.1%}"
        if check.passed:
            what = f"scored in {name}, which {changes}"
        else:
            what = f"scored in float32: {name} {changes}, and {MAP_ERROR_AT_MOST:.0%} is allowed"
        log.info("camera %s: %s", camera, what, extra={"camera": camera})


def _rows(embedder: Scoring, pixels: Tensor, rows: list[int]) -> Tensor:
    whole = rows == list(range(len(pixels)))
    embedded: Tensor = embedder(pixels if whole else pixels[sent(np.array(rows), pixels.device)])
    return embedded


def _spread_out(parts: list[tuple[Scoring | None, list[int]]], pixels: Tensor) -> Tensor:
    """(N, H, W, d) of all parts' rows; zeros in rows of none."""
    embedded = [(rows, _rows(embedder, pixels, rows)) for embedder, rows in parts if embedder and rows]
    first = embedded[0][1]
    if first.shape[0] == pixels.shape[0]:
        return first
    whole = first.new_zeros((pixels.shape[0], *first.shape[1:]))
    for rows, part in embedded:
        whole[sent(np.array(rows), pixels.device)] = part
    return whole
