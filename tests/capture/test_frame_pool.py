"""What is due is made when it is scored, in order, and one camera's fault is not another's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from streamwatch.capture.frame_pool import FramePool
from streamwatch.records import Frame

PIXELS = np.zeros((256, 256, 3), np.uint8)


@dataclass(frozen=True)
class Due:
    """Notes when it is made."""

    camera: str
    index: int
    order: list[int] = field(default_factory=list)
    fails: bool = False
    time_s: float = 0.0
    wall_s: float = 0.0
    captured_at_s: float = 0.0

    def captured(self, at_s: float, earlier_s: float = 0.0) -> Due:
        """The same, captured at another time."""
        return replace(self, captured_at_s=at_s)

    def make(self) -> Frame:
        """A black frame."""
        if self.fails:
            raise ValueError("flow of nothing")
        self.order.append(self.index)
        return Frame(self.camera, self.index, self.time_s, self.wall_s, self.captured_at_s, PIXELS)


@pytest.fixture
def pool() -> Iterator[FramePool]:
    made = FramePool(2)
    yield made
    made.close()


def test_frames_come_back_in_their_order_and_each_cameras_are_made_in_theirs(pool: FramePool) -> None:
    order = list[int]()
    made, faults = pool.made([Due("ab"[number % 2], number, order) for number in range(8)])
    assert [one.index for one in made] == list(range(8))
    assert not faults
    for camera in (0, 1):
        assert [index for index in order if index % 2 == camera] == list(range(camera, 8, 2))


def test_a_frame_that_is_made_is_left_as_it_is(pool: FramePool) -> None:
    known = Due("a", 0).make()
    made, faults = pool.made([known])
    assert made[0] is known
    assert not faults


def test_what_goes_wrong_with_one_camera_is_told_and_leaves_the_others(pool: FramePool) -> None:
    made, faults = pool.made([Due("a", 0), Due("b", 0), Due("b", 1, fails=True), Due("a", 1)])
    assert [(one.camera, one.index) for one in made] == [("a", 0), ("a", 1)]
    assert list(faults) == ["b"]
    assert "flow of nothing" in str(faults["b"])


def test_closing_ends_its_threads() -> None:
    before = set(threading.enumerate())
    pool = FramePool(2)
    own = set(threading.enumerate()) - before
    assert len(own) == 2
    assert all(thread.daemon for thread in own)  # one that hangs does not keep the process
    pool.made([Due("a", 0)])
    pool.close()
    for thread in own:
        thread.join(5)
    assert not any(thread.is_alive() for thread in own)
