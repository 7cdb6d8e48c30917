"""What waits to be written: bounded, in order, and of what is too much the oldest pictures are given up first."""

from __future__ import annotations

import threading
from collections import deque

from streamwatch.evidence.collector import EventEvidence
from streamwatch.records import Frame

MAX_WITH_PICTURES = 64
"""Events' pictures that may wait: of a camera with 1080 lines one takes 3 MB, and an event's end has two."""
MAX_WAITING = 20 * MAX_WITH_PICTURES
Job = EventEvidence | Frame


class EvidenceQueue:
    """Events' evidence, and frames for the nightly update, from the threads that have them to the one that writes.

    Args:
        lossless: make who puts wait rather than give anything up; for recordings that are read as fast as may be.
    """

    def __init__(self, *, lossless: bool = False) -> None:
        self._lossless = lossless
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._taken = False

    def __len__(self) -> int:
        return len(self._jobs)

    def open(self) -> None:
        """Somebody takes what is put from now on."""
        self._taken = True

    def put(self, job: Job) -> int:
        """Add a job; at once unless it is lossless. Returns how many events lost their pictures, or everything, for it."""
        with self._changed:
            if self._lossless:  # who puts before it is opened, or after it is closed, would wait for ever
                self._changed.wait_for(lambda: not self._taken or len(self._jobs) < MAX_WITH_PICTURES)
            self._jobs.append(job)
            self._changed.notify_all()
            return self._make_room()

    def take(self) -> Job | None:
        """The oldest job, waited for while the queue is open; None when it is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or not self._taken)
            self._changed.notify_all()
            return self._jobs.popleft() if self._jobs else None

    def close(self) -> None:
        """Nobody waits any more; what is there can still be taken."""
        with self._changed:
            self._taken = False
            self._changed.notify_all()

    def _make_room(self) -> int:
        pictured = [index for index, job in enumerate(self._jobs) if _holds_pictures(job)]
        given_up = 0
        for index in reversed(pictured[: max(len(pictured) - MAX_WITH_PICTURES, 0)]):
            job = self._jobs[index]
            if isinstance(job, EventEvidence):
                self._jobs[index] = job.without_pictures()
                given_up += 1
            else:
                del self._jobs[index]  # a frame for the nightly update: others follow
        while len(self._jobs) > MAX_WAITING:
            given_up += isinstance(self._jobs.popleft(), EventEvidence)
        return given_up


def _holds_pictures(job: Job) -> bool:
    return isinstance(job, Frame) or job.holds_pictures
