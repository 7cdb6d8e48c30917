"""What is so now: the state of every camera, and what goes on. Messages tell of changes, in order, once, and perhaps late."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from streamwatch.enums import EventType
from streamwatch.records import EventChange, Notice
from streamwatch.store.outbox.messages import NewMessage

CONNECTION, ANOMALY = "connection", "anomaly"
ONLINE, OFFLINE, ON, OFF = "online", "offline", "ON", "OFF"
_GONE = (EventType.CAMERA_OFFLINE, EventType.CAMERA_UNUSABLE)
StateListener = Callable[[str, str, str], None]
"""Told of a camera, of what, and what that is now."""


@dataclass
class _Camera:
    connection: str | None = None
    events: set[str] = field(default_factory=set)

    def states(self) -> dict[str, str]:
        """Empty while nothing is known of it."""
        if self.connection is None and not self.events:
            return {}
        return {CONNECTION: self.connection or ONLINE, ANOMALY: ON if self.events else OFF}


class PresentState:
    """Follows what happens; called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cameras: dict[str, _Camera] = {}
        self._standing: dict[str, dict[str, NewMessage]] = {}
        self._listeners: list[StateListener] = []

    def listen(self, listener: StateListener) -> None:
        """Have ``listener`` told of every change of a state from now on."""
        with self._lock:
            self._listeners.append(listener)

    def tell_all(self, listener: StateListener) -> None:
        """Tell ``listener`` of every state, before any change that follows."""
        with self._lock:
            for camera, known in self._cameras.items():
                for what, state in known.states().items():
                    listener(camera, what, state)

    @property
    def listeners(self) -> tuple[StateListener, ...]:
        """Who is told."""
        with self._lock:
            return tuple(self._listeners)

    def forget_listeners(self, listeners: Collection[StateListener]) -> None:
        """Tell these no more: others have taken their place."""
        with self._lock:
            self._listeners = [listener for listener in self._listeners if listener not in listeners]

    def connected(self, camera: str) -> None:
        """A frame of the camera came."""
        if self._camera(camera).connection == ONLINE:
            return
        self._change(camera, lambda known: setattr(known, "connection", ONLINE))

    def follow_change(self, change: EventChange) -> None:
        """An event began, goes on or ended."""
        event_id, ends = change.event.id, change.type == EventType.ANOMALY_ENDED
        self._change(change.event.camera, lambda known: (known.events.discard if ends else known.events.add)(event_id))

    def follow_notice(self, notice: Notice) -> None:
        """Something about a camera was told."""
        if notice.type in (*_GONE, EventType.CAMERA_ONLINE):
            state = OFFLINE if notice.type in _GONE else ONLINE
            self._change(notice.camera, lambda known: setattr(known, "connection", state))

    def stand(self, subject: str, messages: Sequence[NewMessage], *, goes_on: bool) -> None:
        """What was last told of a subject, and whether it holds until something else is."""
        with self._lock:
            if not goes_on:
                self._standing.pop(subject, None)
            elif messages:  # who is not told of this goes on with what it was told before
                self._standing.setdefault(subject, {}).update({message.endpoint: message for message in messages})

    def standing(self, endpoints: Collection[str]) -> list[NewMessage]:
        """What goes on, as it was told to these endpoints."""
        with self._lock:
            return [m for told in self._standing.values() for endpoint, m in told.items() if endpoint in endpoints]

    def stands(self, message: NewMessage) -> bool:
        """Whether what a message told still goes on."""
        with self._lock:
            return self._standing.get(message.subject, {}).get(message.endpoint) is message

    def keep(self, cameras: Collection[str]) -> None:
        """Forget all other cameras."""
        with self._lock:
            gone = [camera for camera in self._cameras if camera not in cameras]
        for camera in gone:
            self.forget(camera)

    def forget(self, camera: str) -> None:
        """The camera is watched no more, or anew: what was told of it is not sent again."""
        with self._lock:
            self._cameras.pop(camera, None)
            for subject, told in list(self._standing.items()):
                if any(message.camera == camera for message in told.values()):
                    del self._standing[subject]

    def _camera(self, camera: str) -> _Camera:
        with self._lock:
            return self._cameras.setdefault(camera, _Camera())

    def _change(self, camera: str, make: Callable[[_Camera], object]) -> None:
        with self._lock:
            known = self._cameras.setdefault(camera, _Camera())
            before = known.states()
            make(known)
            changed = [(what, state) for what, state in known.states().items() if before.get(what) != state]
            listeners = tuple(self._listeners)
            for listener in listeners:  # in the order of the changes
                for what, state in changed:
                    listener(camera, what, state)
