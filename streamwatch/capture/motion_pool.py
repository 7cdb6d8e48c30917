"""Measures the speed of frames that are about to be scored, on all cores; what is displaced before costs nothing.

Flow costs a frame several milliseconds. Measured when a frame comes, an overloaded machine spends them on frames that it
then drops, and scores the fewer the more it is offered.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from streamwatch.records import Frame
from streamwatch.retry import caught
from streamwatch.threads import Pool, usable_cores


class MotionPool:
    """A few threads that measure; each camera's frames in their order.

    Args:
        threads: None is one for each core.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._pool = Pool(threads or usable_cores(), "motion")

    def measured(self, frames: Sequence[Frame]) -> tuple[list[Frame], dict[str, Exception]]:
        """The frames with their speed, in their order, without those of cameras with which something went wrong; and what."""
        rows: dict[str, list[int]] = {}
        for row, frame in enumerate(frames):
            if frame.due_speed is not None:
                rows.setdefault(frame.camera, []).append(row)
        done: list[Frame | None] = list(frames)
        waiting = {camera: self._pool.submit(partial(_measure, done, own)) for camera, own in rows.items()}
        outcomes = {camera: caught(future.result) for camera, future in waiting.items()}
        faults = {camera: fault for camera, fault in outcomes.items() if fault is not None}
        return [frame for frame in done if frame is not None and frame.camera not in faults], faults

    def close(self) -> None:
        """End the threads; nobody waits for what is being measured."""
        self._pool.close()


def _measure(frames: list[Frame | None], rows: Sequence[int]) -> None:
    for row in rows:
        frame = frames[row]
        frames[row] = frame.measured() if frame else None
