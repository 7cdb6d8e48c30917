"""Batches by size or deadline."""

from __future__ import annotations

from streamwatch.capture.slots import FrameSlots
from streamwatch.records import Frame


class Batcher:
    """Collects frames of all cameras.

    Args:
        max_frames: a batch is full at this size.
        gather_s: how long the first frame of a batch waits for company.
        idle_s: how long to wait for a first frame before returning an empty batch.
    """

    def __init__(self, slots: FrameSlots, *, max_frames: int, gather_s: float, idle_s: float = 0.2) -> None:
        self._slots = slots
        self._max_frames, self._gather_s, self._idle_s = max_frames, gather_s, idle_s

    def next_batch(self) -> list[Frame]:
        """The next batch, oldest frames first; empty if nothing came."""
        if not self._slots.wait(self._idle_s):
            return []
        self._slots.wait(self._gather_s, at_least=self._max_frames)
        return self._slots.take(self._max_frames)
