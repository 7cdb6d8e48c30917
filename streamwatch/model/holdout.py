"""Setting aside contiguous blocks of a stream of unknown length, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

BLOCK_FRAMES = 16
MAX_BLOCKS = 16
FIRST_PERIOD = 5
MIN_FRAMES = 2 * BLOCK_FRAMES
"""Fewest frames that give a block to learn from and a block to hold out."""


class HoldOut:
    """Every ``period``-th block of 16 frames is held out; the others pass.

    When all 16 places are taken, every second block is handed back to be learned and the period doubles, so that
    the held blocks stay spread evenly over footage of any length. The places (256 frames, 50 MB) are taken once,
    with the first held block.
    """

    def __init__(self) -> None:
        self.period = FIRST_PERIOD
        self._places: Tensor | None = None
        self._place_of: dict[int, int] = {}

    def split(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield (N, ...) batches to learn; hold the others."""
        for number, block in enumerate(_blocks(batches)):
            if number % self.period != 1 or len(block) < BLOCK_FRAMES:
                yield block
                continue
            if len(self._place_of) == MAX_BLOCKS:
                yield from self._thin()
            if number % self.period == 1:
                self._hold(number, block)
            else:
                yield block

    def held(self) -> list[Tensor]:
        """The held-out blocks, each (16, ...), in the order of the footage."""
        if self._places is None:
            return []
        return [self._places[self._place_of[number]] for number in sorted(self._place_of)]

    def _hold(self, number: int, block: Tensor) -> None:
        if self._places is None:
            self._places = block.new_zeros((MAX_BLOCKS, *block.shape))
        place = min(set(range(MAX_BLOCKS)) - set(self._place_of.values()))
        self._places[place] = block
        self._place_of[number] = place

    def _thin(self) -> Iterator[Tensor]:
        self.period *= 2
        for number in [n for n in self._place_of if n % self.period != 1]:
            place = self._place_of.pop(number)
            if self._places is not None:
                yield self._places[place].clone()


def _blocks(batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """Re-cut batches into blocks of BLOCK_FRAMES; the last may be shorter."""
    rest: Tensor | None = None
    for batch in batches:
        joined = batch if rest is None else torch.cat([rest, batch])
        *whole, last = torch.split(joined, BLOCK_FRAMES) if len(joined) else (joined,)
        yield from whole
        rest = last
        if len(last) == BLOCK_FRAMES:
            yield last
            rest = None
    if rest is not None and len(rest):
        yield rest
