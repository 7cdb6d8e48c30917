"""Makes the frames that are about to be scored, on all cores; what is displaced before costs nothing but its decoding.

Scaling and flow cost a frame several milliseconds. Done when a frame comes, an overloaded machine spends them on frames that it
then drops, and scores the fewer the more it is offered.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from streamwatch.records import DueFrame, Frame
from streamwatch.retry import caught
from streamwatch.threads import Pool, usable_cores


class FramePool:
    """A few threads that make frames; each camera's in their order.

    Args:
        threads: None is one for each core.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._pool = Pool(threads or usable_cores(), "frames")

    def made(self, due: Sequence[DueFrame]) -> tuple[list[Frame], dict[str, Exception]]:
        """The frames, in their order, without those of cameras with which something went wrong; and what."""
        rows: dict[str, list[int]] = {}
        for row, frame in enumerate(due):
            rows.setdefault(frame.camera, []).append(row)
        made: dict[int, Frame] = {}
        waiting = {camera: self._pool.submit(partial(_make, made, due, own)) for camera, own in rows.items()}
        outcomes = {camera: caught(future.result) for camera, future in waiting.items()}
        faults = {camera: fault for camera, fault in outcomes.items() if fault is not None}
        return [made[row] for row, frame in enumerate(due) if frame.camera not in faults], faults

    def close(self) -> None:
        """End the threads; nobody waits for what is being made."""
        self._pool.close()


def _make(made: dict[int, Frame], due: Sequence[DueFrame], rows: Sequence[int]) -> None:
    for row in rows:
        made[row] = due[row].make()
