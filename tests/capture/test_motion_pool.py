"""Speed that is due is measured when a frame is scored, in order, and one camera's fault is not another's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from streamwatch.capture.motion_pool import MotionPool
from streamwatch.records import Float32Array, Frame

PIXELS = np.zeros((256, 256, 3), np.uint8)


@dataclass
class Due:
    """Notes when it is measured."""

    value: float
    order: list[float] = field(default_factory=list)
    fails: bool = False

    def measure(self) -> Float32Array | None:
        """A grid of its value."""
        if self.fails:
            raise ValueError("flow of nothing")
        self.order.append(self.value)
        return np.full((64, 64), self.value, np.float32)


def frame(camera: str, index: int, due: Due | None) -> Frame:
    return Frame(camera, index, float(index), 0.0, 0.0, PIXELS, due_speed=due)


@pytest.fixture
def pool() -> Iterator[MotionPool]:
    made = MotionPool(2)
    yield made
    made.close()


def test_frames_come_back_in_their_order_with_their_speed(pool: MotionPool) -> None:
    order = list[float]()
    frames = [frame("ab"[number % 2], number, Due(number, order)) for number in range(8)]
    measured, faults = pool.measured(frames)
    assert [one.index for one in measured] == list(range(8))
    assert [one.speed[0, 0] for one in measured if one.speed is not None] == list(range(8))
    assert all(one.due_speed is None for one in measured)
    assert not faults
    for camera in (0, 1):  # of one camera in the order of its frames
        assert [value for value in order if value % 2 == camera] == sorted(value for value in order if value % 2 == camera)


def test_a_frame_whose_speed_is_known_or_not_asked_for_is_left_as_it_is(pool: MotionPool) -> None:
    known = frame("a", 0, None)
    assert pool.measured([known]) == ([known], {})


def test_what_goes_wrong_with_one_camera_is_told_and_leaves_the_others(pool: MotionPool) -> None:
    measured, faults = pool.measured([frame("a", 0, Due(1.0)), frame("b", 0, Due(2.0, fails=True)), frame("a", 1, Due(3.0))])
    assert [(one.camera, one.index) for one in measured] == [("a", 0), ("a", 1)]
    assert list(faults) == ["b"]
    assert "flow of nothing" in str(faults["b"])


def test_closing_ends_its_threads() -> None:
    before = set(threading.enumerate())
    pool = MotionPool(2)
    own = set(threading.enumerate()) - before
    assert len(own) == 2
    assert all(thread.daemon for thread in own)  # one that hangs does not keep the process
    pool.measured([frame("a", 0, Due(1.0))])
    pool.close()
    for thread in own:
        thread.join(5)
    assert not any(thread.is_alive() for thread in own)
