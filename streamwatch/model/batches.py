"""What a scene is learned from: batches of model inputs, with the motion that the reader measured between pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor


def sent(values: npt.NDArray[Any], device: torch.device) -> Tensor:
    """A few numbers as a tensor on ``device``, without waiting for what is computed there, as ``torch.tensor`` would."""
    return torch.from_numpy(values).to(device, non_blocking=True)


@dataclass(frozen=True, slots=True)
class FrameBatch:
    """N frames.

    Attributes:
        pixels: (N, 256, 256, 3) uint8 RGB.
        speed: (N, h, w) float32, speed per cell in pixels of the model's input per second; rows of NaN where a frame
            had no earlier picture to compare with.
        time_s: (N,) float64 presentation times.
    """

    pixels: Tensor
    speed: Tensor
    time_s: Tensor

    def __post_init__(self) -> None:
        if not len(self.pixels) == len(self.speed) == len(self.time_s):
            raise ValueError("pixels, speed and time differ in length")

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels, speed and time."""
        return self.pixels, self.speed, self.time_s

    def part(self, start: int, stop: int) -> FrameBatch:
        """Frames ``start`` to ``stop``, as views."""
        return FrameBatch(*(tensor[start:stop] for tensor in self.tensors))

    def split(self, frames: int) -> list[FrameBatch]:
        """Parts of ``frames`` frames, the last one shorter."""
        return [self.part(at, at + frames) for at in range(0, len(self), frames)]

    def known_speed(self) -> Tensor:
        """(M, h w, 1) motion features of the frames that have them."""
        flat = self.speed.flatten(1)
        return flat[torch.isfinite(flat[:, 0])].unsqueeze(2)

    @classmethod
    def joined(cls, batches: Sequence[FrameBatch]) -> FrameBatch:
        """Batches in a row as one."""
        return cls(*(torch.cat(tensors) for tensors in zip(*(b.tensors for b in batches), strict=True)))
