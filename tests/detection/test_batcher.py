"""How large the next batch may be: by what waits, and by how long the last ones took."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwatch.capture.slots import FrameSlots
from streamwatch.detection.batcher import BATCH_AT_MOST_S, FIRST_LIMIT, Batcher, daemon_batcher
from streamwatch.inference.resilient_engine import MAX_BATCH_FRAMES
from streamwatch.records import Frame

NEVER = threading.Event()
PIXELS = np.zeros((256, 256, 3), np.uint8)


def batcher_of(waiting: int, *, batch_s: float | None = 0.4) -> Batcher:
    slots = FrameSlots(depth=1, lossless=False, on_drop=lambda *_: None)
    for number in range(waiting):
        slots.put(Frame(f"camera {number}", 0, 0.0, 0.0, 0.0, PIXELS), NEVER)
    return Batcher(slots, max_frames=MAX_BATCH_FRAMES, gather_s=0, idle_s=0, batch_s=batch_s)


def overloaded(seconds_for: dict[str, float], rounds: int = 60) -> Batcher:
    """After so many full batches, each of which costs a fixed time and a time per frame."""
    batcher = batcher_of(0)
    for _ in range(rounds):
        batcher.record(batcher.limit, seconds_for["batch"] + seconds_for["frame"] * batcher.limit)
    return batcher


@pytest.mark.parametrize("waiting", [1, 3])
def test_what_waits_is_taken_and_not_waited_for(waiting: int) -> None:
    assert len(batcher_of(waiting).next_batch()) == waiting


def test_batches_grow_while_full_ones_are_quick_and_more_waits() -> None:
    assert batcher_of(0).limit == FIRST_LIMIT
    assert overloaded({"batch": 0.0, "frame": 0.01}).limit == MAX_BATCH_FRAMES


def test_a_batch_that_costs_as_much_for_one_frame_as_for_two_still_grows() -> None:
    """Two workers score two frames in the time of one: judged by the cost of a frame alone, batches would stay at one."""
    batcher = overloaded({"batch": 0.2, "frame": 0.02})
    assert 8 <= batcher.limit <= 16


@given(frame_s=st.floats(0.001, 3.0), batch_s=st.floats(0.0, 0.3))
def test_under_any_cost_a_batch_ends_near_what_it_may_take(frame_s: float, batch_s: float) -> None:
    batcher = overloaded({"batch": batch_s, "frame": frame_s})
    took_s = batch_s + frame_s * batcher.limit
    assert FIRST_LIMIT <= batcher.limit <= MAX_BATCH_FRAMES
    assert took_s <= 1.5 * BATCH_AT_MOST_S + frame_s or batcher.limit == FIRST_LIMIT


@pytest.mark.parametrize("took_s", [0.05, 5.0])
def test_small_batches_say_nothing_of_large_ones_however_slow_they_were(took_s: float) -> None:
    batcher = overloaded({"batch": 0.0, "frame": 0.01})
    for taken in (0, 1, 3):
        batcher.record(taken, took_s)
    assert batcher.limit == MAX_BATCH_FRAMES


def test_after_a_slow_time_batches_grow_again() -> None:
    batcher = overloaded({"batch": 0.0, "frame": 0.5})
    assert batcher.limit == FIRST_LIMIT
    for _ in range(30):
        batcher.record(batcher.limit, 0.1)
    assert batcher.limit == MAX_BATCH_FRAMES


def test_recordings_are_scored_in_full_batches_however_long_they_take() -> None:
    batcher = batcher_of(0, batch_s=None)
    batcher.record(16, 60.0)
    assert batcher.limit == MAX_BATCH_FRAMES
    assert daemon_batcher(FrameSlots(depth=8, lossless=True, on_drop=lambda *_: None), lossless=True).limit == MAX_BATCH_FRAMES
