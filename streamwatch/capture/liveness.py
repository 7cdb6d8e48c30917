"""Which cameras deliver: offline after a silence, unusable while what comes cannot be scored, online with a good picture."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

from streamwatch.clock import Clock
from streamwatch.enums import DropReason


@dataclass(frozen=True, slots=True)
class LivenessChange:
    """A camera went offline or became unusable, or came back after ``silent_s``.

    Attributes:
        silent_s: how long no picture came that can be used.
        unusable: why most of the pictures that do come cannot be used; None if none come.
        pictures: how many of them came since the last good one.
    """

    camera: str
    online: bool
    silent_s: float
    unusable: DropReason | None = None
    pictures: int = 0


@dataclass
class _Seen:
    """When a camera last delivered, and after which silence it counts as offline.

    Attributes:
        at_s: of the last good picture.
        arrived_at_s, unusable_since_s: of the last that cannot be used, and of the first since it was good or offline.
    """

    at_s: float
    offline_after_s: float
    arrived_at_s: float = float("-inf")
    unusable_since_s: float | None = None
    reasons: Counter[DropReason] = field(default_factory=Counter)
    online: bool = True
    unusable: bool = False

    def change(self, camera: str, now_s: float) -> LivenessChange | None:
        """What has become of it at ``now_s``, if anything."""
        comes = now_s - self.arrived_at_s <= self.offline_after_s
        since_s = max(self.at_s, self.unusable_since_s or self.at_s) if not self.online else self.at_s
        if now_s - since_s <= self.offline_after_s or (not self.online and comes == self.unusable):
            return None
        self.online, self.unusable = False, comes
        reason = self._reason() if comes else None
        pictures = self.reasons.total() if comes else 0
        if not comes:
            self.unusable_since_s = None
        return LivenessChange(camera, False, now_s - self.at_s, reason, pictures)

    def _reason(self) -> DropReason:
        """The most common; that a key frame is waited for follows from what is wrong with those that come."""
        causes = Counter({reason: count for reason, count in self.reasons.items() if reason != DropReason.AWAIT_KEYFRAME})
        return (causes or self.reasons).most_common(1)[0][0]


class Liveness:
    """Records every camera's pictures; ``changes`` says what became of them since it was last asked."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._cameras: dict[str, _Seen] = {}
        self._returned: list[LivenessChange] = []
        self._lock = threading.Lock()

    def watch(self, camera: str, offline_after_s: float) -> None:
        """Expect pictures of ``camera`` from now on."""
        with self._lock:
            self._cameras[camera] = _Seen(self._clock.monotonic_s(), offline_after_s)

    def forget(self, camera: str) -> None:
        """Expect nothing more of ``camera``."""
        with self._lock:
            self._cameras.pop(camera, None)

    def record(self, camera: str, unusable: DropReason | None = None) -> None:
        """A picture of ``camera`` arrived, a good one or one that cannot be used."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            seen = self._cameras.get(camera)
            if seen is None:
                return
            if unusable is not None:
                seen.arrived_at_s = now_s
                seen.unusable_since_s = now_s if seen.unusable_since_s is None else seen.unusable_since_s
                seen.reasons[unusable] += 1
                return
            if not seen.online:
                self._returned.append(LivenessChange(camera, True, now_s - seen.at_s))
            self._cameras[camera] = _Seen(now_s, seen.offline_after_s)

    def changes(self) -> list[LivenessChange]:
        """Cameras that came back, fell silent or became unusable since the last call."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            changes, self._returned = self._returned, []
            found = [seen.change(camera, now_s) for camera, seen in self._cameras.items()]
        return [*changes, *(change for change in found if change)]
