"""Time as a seam: whoever needs it is given a Clock, so that no test sleeps."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Monotonic seconds, wall seconds, and an interruptible wait."""

    def monotonic_s(self) -> float:
        """Seconds on a clock that never runs backwards."""
        ...

    def wall_s(self) -> float:
        """Seconds since the Unix epoch."""
        ...

    def wait(self, stop: threading.Event, timeout_s: float) -> bool:
        """Wait until ``stop`` is set or ``timeout_s`` has passed; return whether it is set."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def monotonic_s(self) -> float:
        """Seconds since some fixed moment."""
        return time.monotonic()

    def wall_s(self) -> float:
        """Seconds since the Unix epoch."""
        return time.time_ns() / 1e9

    def wait(self, stop: threading.Event, timeout_s: float) -> bool:
        """Wait; whether ``stop`` is set."""
        return stop.wait(max(timeout_s, 0.0))
