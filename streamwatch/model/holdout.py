"""Setting aside contiguous blocks of a stream of unknown length, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import Tensor

from streamwatch.model.batches import FrameBatch

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
        self._places: list[Tensor] = []
        self._place_of: dict[int, int] = {}

    def split(self, batches: Iterable[FrameBatch]) -> Iterator[FrameBatch]:
        """Yield batches to learn; hold the others."""
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

    def held(self) -> list[FrameBatch]:
        """The held-out blocks of 16 frames, in the order of the footage."""
        return [self._block_at(self._place_of[number]) for number in sorted(self._place_of)]

    def _block_at(self, place: int) -> FrameBatch:
        return FrameBatch(*(tensor[place] for tensor in self._places))

    def _hold(self, number: int, block: FrameBatch) -> None:
        if not self._places:
            # Filled, not only asked for: untouched pages would be counted as they are taken, and look like a leak.
            self._places = [tensor.new_empty((MAX_BLOCKS, *tensor.shape)).fill_(0) for tensor in block.tensors]
        place = min(set(range(MAX_BLOCKS)) - set(self._place_of.values()))
        for places, tensor in zip(self._places, block.tensors, strict=True):
            places[place] = tensor
        self._place_of[number] = place

    def _thin(self) -> Iterator[FrameBatch]:
        self.period *= 2
        for number in [n for n in self._place_of if n % self.period != 1]:
            block = self._block_at(self._place_of.pop(number))
            yield FrameBatch(*(tensor.clone() for tensor in block.tensors))


def _blocks(batches: Iterable[FrameBatch]) -> Iterator[FrameBatch]:
    """Re-cut batches into blocks of BLOCK_FRAMES; the last may be shorter."""
    rest: FrameBatch | None = None
    for batch in batches:
        joined = batch if rest is None else FrameBatch.joined([rest, batch])
        whole = len(joined) // BLOCK_FRAMES * BLOCK_FRAMES
        yield from joined.part(0, whole).split(BLOCK_FRAMES)
        rest = joined.part(whole, len(joined))
    if rest is not None and len(rest):
        yield rest
