"""Which cameras deliver: offline after a silence, online with the first good frame."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from streamwatch.clock import Clock


@dataclass(frozen=True, slots=True)
class LivenessChange:
    """A camera went offline, or came back after ``silent_s``."""

    camera: str
    online: bool
    silent_s: float


@dataclass
class _Seen:
    """When a camera last delivered, and after which silence it counts as offline."""

    at_s: float
    offline_after_s: float
    online: bool = True


class Liveness:
    """Records every camera's frames; ``changes`` says what became of them since it was last asked."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._cameras: dict[str, _Seen] = {}
        self._returned: list[LivenessChange] = []
        self._lock = threading.Lock()

    def watch(self, camera: str, offline_after_s: float) -> None:
        """Expect frames of ``camera`` from now on."""
        with self._lock:
            self._cameras[camera] = _Seen(self._clock.monotonic_s(), offline_after_s)

    def forget(self, camera: str) -> None:
        """Expect nothing more of ``camera``."""
        with self._lock:
            self._cameras.pop(camera, None)

    def record(self, camera: str) -> None:
        """A good frame of ``camera`` arrived."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            seen = self._cameras.get(camera)
            if seen is None:
                return
            if not seen.online:
                seen.online = True
                self._returned.append(LivenessChange(camera, True, now_s - seen.at_s))
            seen.at_s = now_s

    def changes(self) -> list[LivenessChange]:
        """Cameras that came back or fell silent since the last call."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            changes, self._returned = self._returned, []
            for camera, seen in self._cameras.items():
                if seen.online and now_s - seen.at_s > seen.offline_after_s:
                    seen.online = False
                    changes.append(LivenessChange(camera, False, now_s - seen.at_s))
        return changes
