"""Keeps a daemon's models in line with those that machines share, in both directions."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from typing import Protocol

from streamwatch.clock import Clock
from streamwatch.errors import StreamwatchError
from streamwatch.scenes.shared_models.store import Sync
from streamwatch.threads import ThreadGuard

log = logging.getLogger(__name__)
EVERY_S = 30.0
STOP_S = 5.0


class Store(Protocol):
    """Where models are shared."""

    def sync(self, camera: str) -> Sync:
        """See ``SharedModels.sync``."""
        ...


class ModelSync:
    """Asks for each camera's models again and again.

    Args:
        cameras: that are watched.
        on_pulled: told when other models lie there than before.
    """

    def __init__(
        self, store: Store, cameras: Callable[[], Collection[str]], on_pulled: Callable[[], None], clock: Clock
    ) -> None:
        self._store, self._cameras, self._on_pulled, self._clock = store, cameras, on_pulled, clock
        self._said: dict[str, str] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, guard: ThreadGuard) -> None:
        """Begin to ask."""
        self._thread = guard.start("models", self._keep, self._stop)

    def stop(self) -> None:
        """Ask no more; a transfer that hangs is left behind."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(STOP_S)

    def run_once(self) -> None:
        """Ask for each camera once; what cannot be had of one is told once, and keeps nothing from the others."""
        came = [camera for camera in self._cameras() if not self._stop.is_set() and self._try(camera) == Sync.PULLED]
        if came:
            self._on_pulled()

    def _try(self, camera: str) -> Sync:
        try:
            result = self._store.sync(camera)
        except StreamwatchError as error:
            level = logging.DEBUG if self._said.get(camera) == str(error) else logging.WARNING
            log.log(level, "camera %s: %s", camera, error, extra={"camera": camera})
            self._said[camera] = str(error)
            return Sync.SAME
        self._said.pop(camera, None)
        return result

    def _keep(self) -> None:
        while not self._stop.is_set():
            self.run_once()  # at once: what a daemon begins with may be older
            self._clock.wait(self._stop, EVERY_S)
