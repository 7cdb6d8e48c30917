"""Events of other processes for those who listen here: they are in the database that all share, and are looked for there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress

from streamwatch.enums import EventType
from streamwatch.errors import UsageError
from streamwatch.records import Event, EventChange
from streamwatch.store.event_store import EventQuery, EventStore

OVERLAP_S = 60.0
"""Machines' clocks differ, and what was spooled while the database was away comes late: so much is looked through again."""
MAX_EVENTS = 200


class EventsElsewhere:
    """Told of by whoever looks, once a second; before anybody looked nothing is news.

    Args:
        is_own: whether this process watches a camera, and so tells of its events itself.
        tell: called for each change.
    """

    def __init__(self, store: EventStore, is_own: Callable[[str], bool], tell: Callable[[EventChange], None]) -> None:
        self._store, self._is_own, self._tell = store, is_own, tell
        self._looking = threading.Lock()
        self._open: dict[str, bool] | None = None
        self._looked_s = float("-inf")

    def look(self, now_wall_s: float) -> None:
        """Tell what began or ended since the last look; raises StoreError."""
        with self._looking:
            known = self._open if now_wall_s - self._looked_s <= OVERLAP_S else None  # what nobody looked at is no news
            self._looked_s = now_wall_s
            events = self._found(now_wall_s, known or {})
            self._open = {event.id: event.end_wall_s is None for event in events}
        if known is not None:
            for event in events:
                self._news_of(event, known.get(event.id))

    def _found(self, now_wall_s: float, known: Mapping[str, bool]) -> list[Event]:
        """What began lately, is open, or was; the oldest first."""
        recent = self._store.list_events(EventQuery(since_s=now_wall_s - OVERLAP_S, limit=MAX_EVENTS))
        still = self._store.list_events(EventQuery(state="open", limit=MAX_EVENTS))
        found = {event.id: event for event in (*recent, *still)}
        for event_id in [event_id for event_id, was_open in known.items() if was_open and event_id not in found]:
            with suppress(UsageError):  # removed meanwhile
                found[event_id] = self._store.find(event_id)
        others = (event for event in found.values() if not self._is_own(event.camera))
        return sorted(others, key=lambda event: event.start_wall_s)

    def _news_of(self, event: Event, was_open: bool | None) -> None:
        """Args: was_open: how it was at the last look; None if it was not there."""
        if was_open is None:
            self._tell(EventChange(EventType.ANOMALY_STARTED, event, event.start_wall_s))
        if event.end_wall_s is not None and was_open is not False:
            self._tell(EventChange(EventType.ANOMALY_ENDED, event, event.end_wall_s))
