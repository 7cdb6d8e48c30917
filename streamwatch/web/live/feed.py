"""What happens, as it happens, to everybody who listens: events and notices after they are stored.

Who reads slowly loses the oldest that waits for them, and is told how much; nobody waits for a reader.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamwatch.documents import change_document, notice_document
from streamwatch.records import EventChange, Notice

MAX_WAITING = 200
MAX_LISTENERS = 100
"""Fewer than connections, so that pages can be opened beside them."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One message of the feed.

    Attributes:
        kind: ``event`` or ``notice``.
        camera: empty for what is of no camera.
    """

    kind: str
    camera: str
    document: dict[str, Any]


class Listener:
    """One reader, in its event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: asyncio.Queue[Happening] = asyncio.Queue(MAX_WAITING)
        self.missed = 0

    def tell(self, happening: Happening) -> None:
        """Called from any thread; a loop that has ended hears nothing."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._put, happening)

    async def next_one(self, within_s: float) -> Happening | None:
        """The next; None if nothing happens for so long."""
        try:
            return await asyncio.wait_for(self._waiting.get(), within_s)
        except TimeoutError:
            return None

    def _put(self, happening: Happening) -> None:
        if self._waiting.full():
            self._waiting.get_nowait()
            self.missed += 1
        self._waiting.put_nowait(happening)


class EventFeed:
    """Told by the publisher's thread."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._changing = threading.Lock()

    def change(self, change: EventChange, _snapshot: Path | None = None) -> None:
        """An event did something."""
        self._tell(Happening("event", change.event.camera, change_document(change)))

    def notice(self, notice: Notice) -> None:
        """Something else happened."""
        self._tell(Happening("notice", notice.camera, notice_document(notice)))

    def has_room(self) -> bool:
        """Whether another one may listen."""
        with self._changing:
            return len(self._listeners) < MAX_LISTENERS

    @contextmanager
    def listening(self) -> Iterator[Listener | None]:
        """Hear everything from now on; called in an event loop. None where too many listen already."""
        listener = Listener(asyncio.get_running_loop())
        with self._changing:
            room = len(self._listeners) < MAX_LISTENERS
            if room:
                self._listeners.add(listener)
        try:
            yield listener if room else None
        finally:
            with self._changing:
                self._listeners.discard(listener)

    def _tell(self, happening: Happening) -> None:
        with self._changing:
            listeners = list(self._listeners)
        for listener in listeners:
            listener.tell(happening)
