"""What happened and is not stored yet: in order, complete, and with the pictures of the newest alone."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, replace
from itertools import islice

from streamwatch.clock import Clock
from streamwatch.enums import EventType
from streamwatch.evidence.collector import EventEvidence
from streamwatch.evidence.queue import MAX_WITH_PICTURES
from streamwatch.records import EventChange, Notice


@dataclass(frozen=True)
class Publication:
    """Something to be stored and told.

    Attributes:
        evidence: what is to be written of it; None for nothing.
        captured_at_s: when the deciding frame left the decoder, on the monotonic clock; None if no frame decided.
        token: of the camera's lease when it happened; None where cameras are not leased.
    """

    item: EventChange | Notice
    evidence: EventEvidence | None = None
    captured_at_s: float | None = None
    token: int | None = None

    @property
    def camera(self) -> str:
        """Whose it is; empty for a notice of the whole process."""
        return self.item.camera if isinstance(self.item, Notice) else self.item.event.camera

    @property
    def holds_pictures(self) -> bool:
        """Whether what is to be written of it holds pictures, which are what is large."""
        return self.evidence is not None and self.evidence.holds_pictures

    def without_pictures(self) -> Publication:
        """The same change, its documents alone to be written."""
        return self if self.evidence is None else replace(self, evidence=self.evidence.without_pictures())


class WaitingChanges:
    """Publications, from any thread to the one that stores them.

    Args:
        lossless: make who puts wait rather than give pictures up; for recordings that are read as fast as may be.
    """

    def __init__(self, clock: Clock, *, lossless: bool) -> None:
        self._clock, self._lossless = clock, lossless
        self._waiting: deque[Publication] = deque()
        self._changed = threading.Condition()
        self._taken, self._storing = False, 0
        self._head_since_s = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def open(self) -> None:
        """Somebody stores what is put from now on."""
        self._taken = True

    def close(self) -> None:
        """Nobody waits any more; what is there can still be stored."""
        with self._changed:
            self._taken = False
            self._changed.notify_all()

    def put(self, publication: Publication) -> int:
        """Add one, at once unless it holds pictures and is lossless; how many events' pictures were given up for it."""
        with self._changed:
            if self._lossless and publication.holds_pictures:
                self._changed.wait_for(lambda: not self._taken or self._pictured() < MAX_WITH_PICTURES)
            if not self._waiting:
                self._head_since_s = self._clock.monotonic_s()
            self._waiting.append(publication)
            self._changed.notify_all()
            return 0 if self._lossless else self._give_up_pictures()

    def oldest(self, at_most: int) -> list[Publication]:
        """The oldest, in order, which stay until ``done``; none if nothing waits."""
        with self._changed:
            found = list(islice(self._waiting, at_most))
            self._storing = len(found)
            return found

    def done(self) -> None:
        """The oldest is stored."""
        with self._changed:
            self._waiting.popleft()
            self._storing -= 1
            self._head_since_s = self._clock.monotonic_s()
            self._changed.notify_all()

    def give_up_oldest(self) -> int:
        """Forget one that is not being stored: an update, of which another follows, before a start, an end or a notice.

        Returns how many were forgotten.
        """
        with self._changed:
            behind = range(max(self._storing, 1), len(self._waiting))
            if not behind:
                return 0
            update = next((index for index in behind if _is_update(self._waiting[index])), behind[0])
            del self._waiting[update]
            return 1

    def wait(self) -> None:
        """Until something is there, or it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or not self._taken)

    def stuck_s(self) -> float:
        """For how long the oldest has been the oldest; 0 if nothing waits."""
        return self._clock.monotonic_s() - self._head_since_s if self._waiting else 0.0

    def _pictured(self) -> int:
        return sum(publication.holds_pictures for publication in self._waiting)

    def _give_up_pictures(self) -> int:
        """The changes themselves stay."""
        excess = max(self._pictured() - MAX_WITH_PICTURES, 0)
        oldest = [index for index, publication in enumerate(self._waiting) if publication.holds_pictures][:excess]
        for index in oldest:
            self._waiting[index] = self._waiting[index].without_pictures()
        return excess


def _is_update(publication: Publication) -> bool:
    return isinstance(publication.item, EventChange) and publication.item.type == EventType.ANOMALY_UPDATED
