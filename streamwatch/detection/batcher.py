"""Batches by what waits, by size, by deadline, and by how long the last ones took."""

from __future__ import annotations

from streamwatch.capture.slots import FrameSlots
from streamwatch.inference.resilient_engine import MAX_BATCH_FRAMES
from streamwatch.records import DueFrame

GATHER_S = 0.01
LOSSLESS_GATHER_S = 0.1
BATCH_AT_MOST_S = 0.4
"""Live, how long a batch may take. What comes meanwhile waits for it and then for its own: at most 0.8 s together."""
FIRST_LIMIT = 4
"""And the least: a smaller batch is hardly quicker where several cores score side by side, and shares no read."""
_TOO_LONG = 1.25
"""A batch that took so many times what it may makes the next one smaller: less is a busy moment of the machine."""


class Batcher:
    """Collects frames of all cameras: the more wait, the larger the batch, up to what can be scored in time.

    A larger batch costs less for each frame, and makes its first frame wait for its last. While little waits, batches are
    small and quick; under overload they grow frame by frame while a full one takes less than ``batch_s``, and shrink by a
    quarter when it takes clearly more.

    Args:
        max_frames: a batch is full at this size.
        gather_s: how long the first frame of a batch waits for company.
        idle_s: how long to wait for a first frame before returning an empty batch.
        batch_s: how long a batch may take; None for recordings, where nobody waits for one frame.
    """

    def __init__(
        self, slots: FrameSlots, *, max_frames: int, gather_s: float, idle_s: float = 0.2, batch_s: float | None = None
    ) -> None:
        self._slots = slots
        self._max_frames, self._gather_s, self._idle_s = max_frames, gather_s, idle_s
        self._batch_s = batch_s
        self._limit = max_frames if batch_s is None else min(FIRST_LIMIT, max_frames)

    @property
    def limit(self) -> int:
        """Frames of the next batch at most."""
        return self._limit

    def next_batch(self) -> list[DueFrame]:
        """The next batch, oldest frames first; empty if nothing came."""
        if not self._slots.wait(self._idle_s):
            return []
        limit = self.limit
        self._slots.wait(self._gather_s, at_least=limit)
        return self._slots.take(limit)

    def record(self, taken: int, took_s: float) -> None:
        """A batch of so many taken frames took so long, from being taken to its last effect.

        Only a full one says something of what may be taken: a lone frame that was slow is a busy moment.
        """
        if self._batch_s is None or taken < self._limit:
            return
        if took_s > _TOO_LONG * self._batch_s:
            self._limit = max(3 * self._limit // 4, min(FIRST_LIMIT, self._max_frames))
        elif took_s < self._batch_s:
            self._limit = min(self._limit + 1, self._max_frames)


def daemon_batcher(slots: FrameSlots, *, lossless: bool, max_frames: int = MAX_BATCH_FRAMES) -> Batcher:
    """As a daemon wants it, or as recordings that are read as fast as they are scored."""
    gather_s, batch_s = (LOSSLESS_GATHER_S, None) if lossless else (GATHER_S, BATCH_AT_MOST_S)
    return Batcher(slots, max_frames=max_frames, gather_s=gather_s, batch_s=batch_s)
