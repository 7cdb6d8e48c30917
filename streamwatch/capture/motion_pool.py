"""Measures the speed of frames that are about to be scored, on all cores; what is displaced before costs nothing.

Flow costs a frame several milliseconds. Measured when a frame comes, an overloaded machine spends them on frames that it
then drops, and scores the fewer the more it is offered.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from streamwatch.records import Frame
from streamwatch.retry import caught


class MotionPool:
    """A few threads that measure; each camera's frames in their order.

    Args:
        threads: None is one for each core.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._pool = ThreadPoolExecutor(threads or os.cpu_count() or 1, thread_name_prefix="motion")

    def measured(self, frames: Sequence[Frame]) -> tuple[list[Frame], dict[str, Exception]]:
        """The frames with their speed, in their order, without those of cameras with which something went wrong; and what."""
        rows: dict[str, list[int]] = {}
        for row, frame in enumerate(frames):
            if frame.due_speed is not None:
                rows.setdefault(frame.camera, []).append(row)
        done: list[Frame | None] = list(frames)
        waiting = {camera: self._pool.submit(caught, partial(_measure, done, own)) for camera, own in rows.items()}
        outcomes = {camera: future.result() for camera, future in waiting.items()}
        faults = {camera: fault for camera, fault in outcomes.items() if fault is not None}
        return [frame for frame in done if frame is not None and frame.camera not in faults], faults

    def close(self) -> None:
        """End the threads; what is being measured is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _measure(frames: list[Frame | None], rows: Sequence[int]) -> None:
    for row in rows:
        frame = frames[row]
        frames[row] = frame.measured() if frame else None
