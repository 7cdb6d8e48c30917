"""What a fault left between the monitors and what was told of them: an event that nobody would end, or that nobody heard of."""

from __future__ import annotations

import logging
from collections import Counter

from streamwatch.clock import Clock
from streamwatch.detection.monitors import Monitors
from streamwatch.detection.reporter import Reporter
from streamwatch.enums import EventType
from streamwatch.logs import about
from streamwatch.records import Event, EventChange
from streamwatch.retry import caught

log = logging.getLogger(__name__)
MAX_TRIES = 20
"""To end an event: nobody else does before the daemon's next start."""


class Reconciliation:
    """As after a crash of the whole daemon, whose start closes what is left open."""

    def __init__(self, monitors: Monitors, reporter: Reporter, clock: Clock) -> None:
        self._monitors, self._reporter, self._clock = monitors, reporter, clock
        self._tries: Counter[str] = Counter()

    def run(self) -> None:
        """End what was told and is open no more, and forget what is open and was not told."""
        told = self._reporter.told_open
        for event in told:
            monitor = self._monitors.of(event.camera)
            if monitor is None or event.id not in monitor.open_ids:
                self._end(event)
        for camera in self._monitors.cameras():
            monitor = self._monitors.of(camera)
            if monitor:
                monitor.abandon_untold({event.id for event in told})

    def _end(self, event: Event) -> None:
        change = EventChange(EventType.ANOMALY_ENDED, event.crashed(), self._clock.wall_s())
        failure = caught(lambda: self._reporter.report_changes([change]))
        if failure is None:
            self._tries.pop(event.id, None)
            return
        log.error("event %s could not be ended", event.id, exc_info=failure, extra=about(event))
        self._tries[event.id] += 1
        if self._tries[event.id] >= MAX_TRIES:
            self._reporter.forget_told(event)
            del self._tries[event.id]
