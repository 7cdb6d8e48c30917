"""What does not work as it should while detection goes on: told once when it begins, and once when it is over."""

from __future__ import annotations

import threading
from collections.abc import Callable

from streamwatch.enums import Degradation


class DegradedState:
    """Keeps account of it; called from any thread.

    Args:
        on_change: told what, and whether it begins or is over.
    """

    def __init__(self, on_change: Callable[[Degradation, bool], None]) -> None:
        self._on_change = on_change
        self._lock = threading.RLock()
        self._active: set[Degradation] = set()

    def record(self, what: Degradation, active: bool) -> None:
        """It is so, or is not so, now."""
        with self._lock:
            if active == (what in self._active):
                return
            (self._active.add if active else self._active.discard)(what)
            self._on_change(what, active)  # under the lock, so that what is told last is what holds
