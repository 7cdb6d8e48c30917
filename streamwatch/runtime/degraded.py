"""What does not work as it should while detection goes on: told once when it begins, and once when it is over."""

from __future__ import annotations

import threading
from collections.abc import Callable

DISK_FULL = "disk is full"
NO_EVIDENCE = "evidence cannot be written"
NO_CLIPS = "clips cannot be written"


class Degradations:
    """Keeps account of them; called from any thread.

    Args:
        tell: told what, and whether it begins or is over.
    """

    def __init__(self, tell: Callable[[str, bool], None]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._active: set[str] = set()

    def note(self, what: str, active: bool) -> None:
        """It is so, or is not so, now."""
        with self._lock:
            if active == (what in self._active):
                return
            (self._active.add if active else self._active.discard)(what)
        self._tell(what, active)
