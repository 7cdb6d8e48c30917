"""Which cameras have come to their end."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from streamwatch.errors import StreamwatchError


@dataclass
class EndOfStream:
    """Told by the cameras' threads, handled by the loop's."""

    ended: dict[str, StreamwatchError | None] = field(default_factory=dict)
    handled: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, camera: str, failure: StreamwatchError | None) -> None:
        """The camera's source has ended, or failed."""
        with self.lock:
            self.ended[camera] = failure

    def forget(self, camera: str) -> None:
        """The camera was removed, or begins anew."""
        with self.lock:
            self.ended.pop(camera, None)
            self.handled.discard(camera)

    def unhandled(self) -> list[str]:
        """Cameras that have ended and were not handled yet."""
        with self.lock:
            return [camera for camera in self.ended if camera not in self.handled]
