"""What every camera is doing, and how many of its frames came, were dropped and were scored.

The daemon's own account: readiness, exit codes and the summary of a run are computed from it. Prometheus is shown the same.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from streamwatch.enums import CameraState, DisconnectKind, DropReason
from streamwatch.metrics import Metrics


@dataclass
class _Camera:
    state: CameraState = CameraState.STARTING
    received: int = 0
    scored: int = 0
    drops: Counter[DropReason] = field(default_factory=Counter)
    disconnects: Counter[DisconnectKind] = field(default_factory=Counter)
    scored_at_s: float | None = None
    retry_at_s: float | None = None


class FleetStatus:
    """Keeps the account; called from any thread."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lock = threading.Lock()
        self._cameras: dict[str, _Camera] = {}

    def set_state(self, camera: str, state: CameraState) -> None:
        """The one state that a camera is in."""
        with self._lock:
            self._of(camera).state = state
        self._metrics.camera_state_is(camera, state)

    def lose(self, camera: str, kind: DisconnectKind, retry_at_s: float) -> None:
        """A live source was lost, and is tried again at a time on the monotonic clock."""
        with self._lock:
            known = self._of(camera)
            known.retry_at_s = retry_at_s
            known.disconnects[kind] += 1
        self._metrics.reconnects.labels(camera, kind).inc()
        self.set_state(camera, CameraState.RECONNECTING)

    def receive(self, camera: str, wall_s: float | None = None) -> None:
        """A frame came, at a Unix time if it is one that can be used."""
        with self._lock:
            self._of(camera).received += 1
        self._metrics.frames_received.labels(camera).inc()
        if wall_s is not None:
            self._metrics.last_frame_s.labels(camera).set(wall_s)

    def drop(self, camera: str, reason: DropReason) -> None:
        """A frame is not scored."""
        with self._lock:
            self._of(camera).drops[reason] += 1
        self._metrics.frames_dropped.labels(camera, reason).inc()

    def score(self, camera: str, at_s: float, wall_s: float) -> None:
        """A frame was scored at ``at_s`` on the monotonic clock; it shows Unix time ``wall_s``."""
        with self._lock:
            known = self._of(camera)
            known.scored, known.scored_at_s = known.scored + 1, at_s
        self._metrics.frames_scored.labels(camera).inc()
        self._metrics.last_scored_s.labels(camera).set(wall_s)

    def forget_scored(self, camera: str) -> None:
        """The camera was removed: when it was last scored says nothing any more."""
        with self._lock:
            self._of(camera).scored_at_s = None

    def state_of(self, camera: str) -> CameraState:
        """The state that a camera was last said to be in."""
        with self._lock:
            return self._of(camera).state

    def scored_at_s(self, camera: str) -> float | None:
        """When the camera's last frame was scored, on the monotonic clock."""
        with self._lock:
            return self._of(camera).scored_at_s

    def retry_at_s(self, camera: str) -> float | None:
        """When the camera was last to be tried again, on the monotonic clock; None if it was never lost."""
        with self._lock:
            return self._of(camera).retry_at_s

    def received(self, camera: str) -> int:
        """Frames that came."""
        with self._lock:
            return self._of(camera).received

    def drops(self, camera: str) -> Mapping[DropReason, int]:
        """Frames that were not scored, by reason."""
        with self._lock:
            return dict(self._of(camera).drops)

    def disconnects(self, camera: str) -> Mapping[DisconnectKind, int]:
        """How often it was lost, by kind."""
        with self._lock:
            return dict(self._of(camera).disconnects)

    def scored(self, camera: str) -> int:
        """Frames that were scored."""
        with self._lock:
            return self._of(camera).scored

    def _of(self, camera: str) -> _Camera:
        return self._cameras.setdefault(camera, _Camera())
