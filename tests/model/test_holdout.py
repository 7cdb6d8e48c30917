"""Held-out blocks: contiguous, spread, bounded, and together with the rest the whole stream."""

from __future__ import annotations

from itertools import pairwise

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwatch.model.batches import FrameBatch
from streamwatch.model.holdout import BLOCK_FRAMES, MAX_BLOCKS, MIN_FRAMES, HoldOut


def split(frames: int, batch: int) -> tuple[list[int], list[list[int]]]:
    held_out = HoldOut()
    numbers = torch.arange(frames)
    stream = FrameBatch(numbers.unsqueeze(1), numbers.float(), numbers.double()).split(batch)
    learned = [int(i) for part in held_out.split(stream) for i in part.pixels]
    held = held_out.held()
    assert all(torch.equal(block.pixels.squeeze(1).double(), block.time_s) for block in held)
    return learned, [block.pixels.squeeze(1).tolist() for block in held]


@settings(max_examples=60)
@given(st.integers(1, 4000), st.integers(1, 40))
def test_every_frame_is_learned_or_held_once(frames: int, batch: int) -> None:
    learned, held = split(frames, batch)
    assert sorted(learned + [i for block in held for i in block]) == list(range(frames))
    assert len(held) <= MAX_BLOCKS
    assert all(block == list(range(block[0], block[0] + BLOCK_FRAMES)) for block in held)
    if frames >= MIN_FRAMES:
        assert held
        assert learned


def test_held_blocks_are_spread_evenly() -> None:
    starts = sorted(block[0] for block in split(4000, 32)[1])
    gaps = {b - a for a, b in pairwise(starts)}
    assert len(gaps) == 1
    assert starts[-1] > 3000
