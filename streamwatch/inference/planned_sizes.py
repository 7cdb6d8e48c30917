"""A GPU's network is given batches of a few sizes, for each of which its plans are made before a frame waits for them.

cuDNN makes a plan for each convolution, each size of a batch and each thread. On an H100 the first batch of a size takes 18 ms
in float32 and 30 to 57 ms in fp16, the next ones of it 1 to 3 ms. Live, where every batch has another size, frames waited for
plans most of the time.
"""

from __future__ import annotations

import contextlib
import threading

import torch
from torch import Tensor

from streamwatch.inference.upload import part_frames
from streamwatch.model.embedding.embedder import Embedder
from streamwatch.records import INPUT_SIZE_PX


def planned_size(count: int) -> int:
    """The smallest size that holds ``count`` frames: a power of two, or halfway to one. At most a third of it stays empty."""
    power = 1 << (count - 1).bit_length()
    halfway = 3 * power // 4
    return halfway if power >= 4 and count <= halfway else power


def planned_sizes(most: int) -> list[int]:
    """All sizes that batches of up to ``most`` frames are given."""
    return sorted({min(planned_size(count), most) for count in range(1, most + 1)})


class PlannedEmbedder:
    """An embedder that is given batches of planned sizes alone.

    Args:
        most: frames of its largest batch.
    """

    def __init__(self, embedder: Embedder, most: int) -> None:
        self._embedder, self._most = embedder, most
        self._of_thread = threading.local()

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return self._embedder.dtype

    def __call__(self, pixels: Tensor) -> Tensor:
        """(N, H, W, d) embeddings of (N, 256, 256, 3) uint8 pictures; a thread's first call makes all plans before."""
        if not getattr(self._of_thread, "planned", False):
            self._plan(pixels.device)
        count = len(pixels)
        size = max(count, min(planned_size(count), self._most))
        blank = pixels.new_zeros((size - count, *pixels.shape[1:]))
        embedded: Tensor = self._embedder(torch.cat([pixels, blank]) if len(blank) else pixels)
        return embedded[:count]

    def _plan(self, device: torch.device) -> None:
        self._of_thread.planned = True
        for size in reversed(planned_sizes(self._most)):  # the largest first: the others' activations fit into its memory
            with contextlib.suppress(RuntimeError):  # no room, as cuDNN or PyTorch says it: nor has a batch of this size, then
                self._embedder(torch.zeros((size, INPUT_SIZE_PX, INPUT_SIZE_PX, 3), dtype=torch.uint8, device=device))


def planned_for(device: torch.device, embedder: Embedder) -> Embedder | PlannedEmbedder:
    """What scores on ``device``: a CPU needs no plans."""
    return PlannedEmbedder(embedder, part_frames(embedder.dims)) if device.type == "cuda" else embedder
