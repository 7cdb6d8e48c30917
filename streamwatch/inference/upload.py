"""Frames from the host's memory to the device's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from streamwatch.inference.workers import Workers
from streamwatch.model.batches import FrameBatch
from streamwatch.records import INPUT_SIZE_PX, SPEED_GRID, Frame
from streamwatch.threads import usable_cores

Upload = Callable[[Sequence[Frame]], FrameBatch]
"""Frames as tensors on the device."""
PART_FRAMES = 128
"""Frames that a GPU is given at once, at most: while it computes one part, the host collects the next ..."""
_PART_BYTES = 2**28
"""... and bytes of their embeddings: 128 frames of 100 dimensions, 29 of 550."""
_BUFFERS = 2
_COPIERS, _COPIED_AT_ONCE = 4, 32
"""Threads that collect a part, and the frames that are worth one: alone, one collects 256 frames in 5.5 ms, four in 2.5."""
_NO_SPEED = np.full((SPEED_GRID, SPEED_GRID), np.nan, dtype=np.float32)


def part_frames(dims: int) -> int:
    """Frames of a part, for embeddings of so many dimensions."""
    return max(1, min(PART_FRAMES, _PART_BYTES // (4 * SPEED_GRID**2 * dims)))


def upload_for(device: torch.device) -> Upload:
    """The fastest to ``device``."""
    return PinnedUpload(device) if device.type == "cuda" else host_batch


def host_batch(frames: Sequence[Frame]) -> FrameBatch:
    """Frames as tensors in the host's memory."""
    pixels = torch.from_numpy(np.stack([frame.pixels for frame in frames]))
    speed = torch.from_numpy(np.stack([_NO_SPEED if frame.speed is None else frame.speed for frame in frames]))
    return FrameBatch(pixels, speed, _times(frames))


class PinnedUpload:
    """Through page-locked buffers, in turn, on a stream of its own: the device computes meanwhile. For one thread at a time.

    Page-locked memory is copied by the device itself, 256 frames in 0.9 ms and not in 3.3 (H100).
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._stream = device, torch.cuda.Stream(device)
        copiers = Workers(min(_COPIERS, usable_cores()), prepare=lambda: None)
        self._buffers = [_Buffer(device, copiers) for _ in range(_BUFFERS)]
        self._next = 0

    def __call__(self, frames: Sequence[Frame]) -> FrameBatch:
        """Frames as tensors on the device, which are there before what is launched after this."""
        buffer = self._buffers[self._next]
        self._next = (self._next + 1) % _BUFFERS
        tensors = buffer.filled(frames)
        with torch.cuda.stream(self._stream):
            pixels, speed = (tensor.to(self._device, non_blocking=True) for tensor in tensors)
            buffer.sent.record(self._stream)
        present = torch.cuda.current_stream(self._device)
        present.wait_event(buffer.sent)
        for tensor in (pixels, speed):
            tensor.record_stream(present)
        return FrameBatch(pixels, speed, _times(frames).to(self._device, non_blocking=True))


class _Buffer:
    """Page-locked room for a part's pictures and speeds."""

    def __init__(self, device: torch.device, copiers: Workers) -> None:
        self.sent, self._device, self._copiers = torch.cuda.Event(), device, copiers
        self._make_room(PART_FRAMES)  # page-locking takes up to 70 ms, which no frame is to wait for

    def _make_room(self, frames: int) -> None:
        with torch.cuda.device(self._device):
            self._pixels = torch.empty((frames, INPUT_SIZE_PX, INPUT_SIZE_PX, 3), dtype=torch.uint8, pin_memory=True)
            self._speed = torch.empty((frames, SPEED_GRID, SPEED_GRID), pin_memory=True)

    def filled(self, frames: Sequence[Frame]) -> tuple[Tensor, Tensor]:
        """The frames' pictures and speeds, once what was here before is sent."""
        self.sent.synchronize()
        count = len(frames)
        if len(self._pixels) < count:
            self._make_room(count)
        pixels, speed = self._pixels[:count], self._speed[:count]

        def copy(rows: list[int]) -> None:
            at = slice(rows[0], rows[-1] + 1)
            np.stack([frame.pixels for frame in frames[at]], out=pixels[at].numpy())
            np.stack([_NO_SPEED if frame.speed is None else frame.speed for frame in frames[at]], out=speed[at].numpy())

        self._copiers.map(copy, self._copiers.split(range(count), multiple=_COPIED_AT_ONCE))
        return pixels, speed


def _times(frames: Sequence[Frame]) -> Tensor:
    return torch.tensor([frame.time_s for frame in frames], dtype=torch.float64)
