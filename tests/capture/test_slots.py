"""Slots and batcher: newest wins live, nothing is lost lossless, no camera starves."""

from __future__ import annotations

import threading
from collections import Counter

import numpy as np

from streamwatch.capture.slots import FrameSlots
from streamwatch.detection.batcher import Batcher
from streamwatch.records import Frame

PIXELS = np.zeros((256, 256, 3), np.uint8)
NEVER = threading.Event()


def frame(camera: str, index: int) -> Frame:
    return Frame(camera, index, index / 10, index / 10, 0.0, PIXELS)


def live() -> tuple[FrameSlots, Counter[tuple[str, str]]]:
    drops: Counter[tuple[str, str]] = Counter()
    return FrameSlots(depth=1, lossless=False, on_drop=lambda *why: drops.update([why])), drops


def test_live_keeps_the_newest_and_counts_the_displaced() -> None:
    slots, drops = live()
    for index in range(5):
        slots.put(frame("a", index), NEVER)
    assert [f.index for f in slots.take(10)] == [4]
    assert drops == {("a", "displaced"): 4}


def test_lossless_makes_the_reader_wait_and_loses_nothing() -> None:
    slots = FrameSlots(depth=2, lossless=True, on_drop=lambda *_: None)
    reader = threading.Thread(target=lambda: [slots.put(frame("a", i), NEVER) for i in range(100)])
    reader.start()
    seen: list[int] = []
    while len(seen) < 100:
        assert slots.wait(5)
        taken = slots.take(3)
        assert len(taken) <= 2
        seen += [f.index for f in taken]
    reader.join(5)
    assert seen == list(range(100))


def test_stop_frees_a_waiting_reader() -> None:
    slots = FrameSlots(depth=1, lossless=True, on_drop=lambda *_: None)
    stop = threading.Event()
    assert slots.put(frame("a", 0), stop)
    stop.set()
    assert not slots.put(frame("a", 1), stop)


def test_a_fast_camera_does_not_starve_a_slow_one() -> None:
    slots = FrameSlots(depth=50, lossless=True, on_drop=lambda *_: None)
    for index in range(50):
        slots.put(frame("fast", index), NEVER)
    slots.put(frame("slow", 0), NEVER)
    slots.put(frame("slow", 1), NEVER)
    assert Counter(f.camera for f in slots.take(4)) == {"fast": 2, "slow": 2}


def test_turns_continue_where_the_last_batch_stopped() -> None:
    slots, _ = live()
    for camera in "abc":
        slots.put(frame(camera, 0), NEVER)
    first = [f.camera for f in slots.take(2)]
    for camera in first:
        slots.put(frame(camera, 1), NEVER)
    assert slots.take(1)[0].camera == "c"


def test_a_batch_is_full_by_size_or_goes_at_its_deadline() -> None:
    slots = FrameSlots(depth=20, lossless=True, on_drop=lambda *_: None)
    batcher = Batcher(slots, max_frames=4, gather_s=0.01, idle_s=0.01)
    assert batcher.next_batch() == []
    for index in range(6):
        slots.put(frame("a", index), NEVER)
    assert [f.index for f in batcher.next_batch()] == [0, 1, 2, 3]
    assert [f.index for f in batcher.next_batch()] == [4, 5]


def test_a_batch_goes_when_nothing_more_finds_room() -> None:
    """Of a GPU's 256 frames eight readers that wait for room never make a batch."""
    slots, (kept, _) = FrameSlots(depth=2, lossless=True, on_drop=lambda *_: None), live()
    assert not slots.wait(0.0, at_least=9), "where nobody has come yet nothing is full"
    for index, camera in enumerate("abab"):
        slots.put(frame(camera, index), NEVER)
        assert slots.wait(0.0, at_least=9) == (index == 3), camera
    for camera in "ab":
        kept.put(frame(camera, 0), NEVER)
    assert kept.wait(0.0, at_least=9), "live, every camera has one"
    kept.take(1)
    assert not kept.wait(0.0, at_least=9)
