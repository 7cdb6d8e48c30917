"""Between the readers and the engine: a short queue per camera.

Live, a slot holds one frame: the newest. A frame that is displaced is counted. Lossless, a full slot makes its
reader wait, and nothing is ever dropped.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from streamwatch.enums import DropReason
from streamwatch.records import DueFrame

OnDrop = Callable[[str, DropReason], None]
_POLL_S = 0.1


class FrameSlots:
    """One bounded slot per camera.

    Args:
        depth: frames that a slot holds.
        lossless: make readers wait rather than drop.
        on_drop: told (camera, reason) for every dropped frame.
    """

    def __init__(self, *, depth: int, lossless: bool, on_drop: OnDrop) -> None:
        self._depth, self._lossless, self._on_drop = depth, lossless, on_drop
        self._queues: dict[str, deque[DueFrame]] = {}
        self._order: deque[str] = deque()
        self._changed = threading.Condition()

    def put(self, frame: DueFrame, stop: threading.Event) -> bool:
        """Hand a frame over; False if ``stop`` was set while waiting for room."""
        with self._changed:
            queue = self._queue(frame.camera)
            while self._lossless and len(queue) >= self._depth:
                if stop.is_set():
                    return False
                self._changed.wait(_POLL_S)
            while len(queue) >= self._depth:
                queue.popleft()
                self._on_drop(frame.camera, DropReason.DISPLACED)
            queue.append(frame)
            self._changed.notify_all()
        return True

    def wait(self, timeout_s: float, *, at_least: int = 1) -> bool:
        """Wait until ``at_least`` frames are there, or as many as there is room for; False if the time ran out first."""

        def full() -> bool:
            return 0 < len(self._queues) * self._depth <= self._waiting()

        with self._changed:
            return self._changed.wait_for(lambda: self._waiting() >= at_least or full(), timeout_s)

    def take(self, limit: int) -> list[DueFrame]:
        """Up to ``limit`` frames, one camera after the other in turn, oldest first within a camera.

        The camera served last comes last next time, so that a fast camera cannot starve a slow one.
        """
        taken: list[DueFrame] = []
        with self._changed:
            while len(taken) < limit and self._waiting():
                camera = self._order[0]
                self._order.rotate(-1)
                if self._queues[camera]:
                    taken.append(self._queues[camera].popleft())
            self._changed.notify_all()
        return taken

    def discard(self, camera: str) -> None:
        """Forget a camera and what it has waiting."""
        with self._changed:
            if self._queues.pop(camera, None) is not None:
                self._order.remove(camera)
            self._changed.notify_all()

    def waiting(self) -> int:
        """Frames waiting now."""
        with self._changed:
            return self._waiting()

    def _waiting(self) -> int:
        return sum(map(len, self._queues.values()))

    def _queue(self, camera: str) -> deque[DueFrame]:
        if camera not in self._queues:
            self._queues[camera] = deque()
            self._order.append(camera)
        return self._queues[camera]
