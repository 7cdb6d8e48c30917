"""Setting aside contiguous blocks of a stream of unknown length, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

BLOCK_FRAMES = 16
MAX_BLOCKS = 16
FIRST_PERIOD = 5
MIN_FRAMES = 2 * BLOCK_FRAMES
"""Fewest frames that give a block to learn from and a block to hold out."""


@dataclass
class HoldOut:
    """Every ``period``-th block of 16 frames is held out; the others pass.

    When more than 16 blocks are held, every second one is handed back to be learned and the period doubles,
    so that the held blocks stay spread evenly over footage of any length, in at most 256 frames (50 MB).
    """

    period: int = FIRST_PERIOD
    held: dict[int, Tensor] = field(default_factory=dict)

    def split(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield (N, ...) batches to learn; keep the held-out blocks in ``held``."""
        for number, block in enumerate(_blocks(batches)):
            if number % self.period != 1 % self.period or len(block) < BLOCK_FRAMES:
                yield block
                continue
            self.held[number] = block.clone()
            if len(self.held) > MAX_BLOCKS:
                yield from self._thin()

    def _thin(self) -> Iterator[Tensor]:
        self.period *= 2
        for number in sorted(self.held):
            if number % self.period != 1:
                yield self.held.pop(number)


def _blocks(batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """Re-cut batches into blocks of BLOCK_FRAMES; the last may be shorter."""
    pending: list[Tensor] = []
    count = 0
    for batch in batches:
        for part in torch.split(batch, 1):
            pending.append(part)
            count += 1
            if count == BLOCK_FRAMES:
                yield torch.cat(pending)
                pending, count = [], 0
    if pending:
        yield torch.cat(pending)
