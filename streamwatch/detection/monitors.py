"""The monitors of all cameras, and which thread may touch them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streamwatch.detection.camera_monitor import CameraMonitor


class Monitors:
    """Held by one thread at a time: whoever is in charge. Another one takes charge when it acts, and never beside it."""

    def __init__(self) -> None:
        self._cameras: dict[str, CameraMonitor] = {}
        self._acting = threading.RLock()
        self._in_charge: int | None = None

    def add(self, monitor: CameraMonitor) -> None:
        """Have a camera watched."""
        self._cameras[monitor.camera] = monitor

    def remove(self, camera: str) -> None:
        """Watch a camera no more."""
        self._cameras.pop(camera, None)

    def of(self, camera: str) -> CameraMonitor | None:
        """What watches a camera; None if nothing does."""
        return self._cameras.get(camera)

    def cameras(self) -> list[str]:
        """The cameras that are watched."""
        return list(self._cameras)

    @contextmanager
    def in_charge(self) -> Iterator[None]:
        """The caller's thread is the one that touches the monitors; what another one held passes to it."""
        with self._acting:
            if self._in_charge != threading.get_ident():
                self._in_charge = threading.get_ident()
                for monitor in self._cameras.values():
                    monitor.owner = None
            yield

    def act(self, alive: Callable[[], bool], action: Callable[[], None]) -> bool:
        """Do ``action`` unless another thread has taken over; whether it was done."""
        with self._acting:
            if not alive():
                return False
            with self.in_charge():
                action()
            return True
