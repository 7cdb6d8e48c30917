"""The thread that calibrates: now and then, for as long as the daemon runs."""

from __future__ import annotations

import logging
import threading
from typing import Protocol

from streamwatch.clock import Clock
from streamwatch.errors import StreamwatchError
from streamwatch.threads import ThreadGuard

log = logging.getLogger(__name__)
EVERY_S = 30.0
"""What a crash may cost at most is twice that: half a minute that waits, and half a minute that is being written."""


class Work(Protocol):
    """What is done; see ``recalibrator.Recalibrator``."""

    def run_once(self) -> None:
        """Once; raises to be asked again."""
        ...


class RecalibrationTask:
    """Does its work every half minute, and once more at the end; what fails is logged, and tried again the next time."""

    def __init__(self, work: Work, clock: Clock) -> None:
        self._work, self._clock = work, clock
        self._stop = threading.Event()
        self._failing = False
        self._thread: threading.Thread | None = None

    def start(self, guard: ThreadGuard) -> None:
        """Begin."""
        self._thread = guard.start("calibration", self._run, self._stop)

    def stop(self, timeout_s: float) -> None:
        """Store what is there, and end; a database that hangs is left behind."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._clock.wait(self._stop, EVERY_S):
            self.run_once()
        self.run_once()

    def run_once(self) -> None:
        """The work once; the database's refusals are told once, because cameras are watched without it."""
        try:
            self._work.run_once()
        except StreamwatchError as error:
            if not self._failing:
                log.warning("thresholds are not calibrated: %s", error)
            self._failing = True
        else:
            self._failing = False
