"""Storing what waits: all of it at once, and one by one only what is refused so."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import repeat
from typing import Protocol

from streamwatch.detection.waiting import Publication
from streamwatch.errors import AlreadyStored, LeaseLost, NotStorable, StoreError, StoreUnavailable
from streamwatch.metrics import Metrics
from streamwatch.records import EventChange, Notice
from streamwatch.retry import caught
from streamwatch.store.event_store import Record

log = logging.getLogger(__name__)
MAX_AT_ONCE = 100
"""Changes in one transaction, of those that wait: the database takes a hundred nearly as quickly as one."""
MAX_TRIES = 3
"""Of one change that a fault of ours keeps from being stored: then it is given up for those that wait behind it."""


class EventRecorder(Protocol):
    """Where event changes and notices are made durable before anybody hears of them."""

    def token_of(self, camera: str) -> int | None:
        """The token of a camera's lease, which what happens now is recorded with; None where cameras are not leased."""
        ...

    def record_all(self, records: Sequence[Record]) -> None:
        """Write what happened, in order, all or nothing; raises StoreUnavailable to be asked again, LeaseLost to be let be."""
        ...


class ChangeRecorder:
    """Records publications in their order.

    Args:
        strict: nothing may be given up.
    """

    def __init__(self, store: EventRecorder, metrics: Metrics, *, strict: bool) -> None:
        self._store, self._metrics, self._strict = store, metrics, strict
        self._tried: list[EventChange | Notice] = []
        self._faults = 0

    def record(self, waiting: Sequence[Publication]) -> Iterator[bool]:
        """Store them at once, or if that is refused one by one, each when it is asked for.

        Yields whether each is stored. It is not if it is given up: a fault of ours keeps it from it, or its camera is another
        process's by now.

        Raises:
            StoreError: the database refuses; what was stored before is stored.
        """
        if len(waiting) > 1:
            failure = caught(partial(self._store.record_all, [(one.item, one.token) for one in waiting]))
            if failure is None:
                self._tried.clear()
                return repeat(True, len(waiting))
            if isinstance(failure, StoreUnavailable):
                self._tried = [one.item for one in waiting]  # perhaps it was the answer that was lost
                raise failure
        return map(self._is_stored, waiting)

    def _is_stored(self, publication: Publication) -> bool:
        item = publication.item
        again = any(item is one for one in self._tried)
        self._tried = [one for one in self._tried if one is not item]
        self._faults = self._faults if again else 0
        failure = caught(partial(self._store.record_all, [(item, publication.token)]))
        if isinstance(failure, LeaseLost):
            log.warning("%s: what this one still had to say of it is not stored", failure)
            return False
        if isinstance(failure, AlreadyStored) and again:
            log.info("what was not acknowledged had been stored")  # the answer was lost, not the transaction
            return True
        if failure is None:
            return True
        ours = isinstance(failure, AlreadyStored | NotStorable) or not isinstance(failure, StoreError)
        self._faults += ours
        self._tried.append(item)
        if self._strict or not ours or self._faults < MAX_TRIES:
            raise failure
        log.error("a change is given up, it cannot be stored", exc_info=failure)
        self._metrics.changes_dropped.inc()
        return False
