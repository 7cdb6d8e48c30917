"""What the main thread does while the daemon runs: it watches over the loops and follows the configuration."""

from __future__ import annotations

import threading
from collections.abc import Callable

from streamwatch.capture.fleet import Fleet
from streamwatch.clock import Clock
from streamwatch.daemon.assembly import Components
from streamwatch.daemon.nightly_process import NightlyProcess
from streamwatch.daemon.persistence import Persistence
from streamwatch.daemon.process.systemd import notify
from streamwatch.daemon.process.watchdog import Watchdog
from streamwatch.daemon.reconfigure import Reconfiguration
from streamwatch.detection.loop import LOOP, PipelineLoop
from streamwatch.detection.publisher import Publisher
from streamwatch.health import Health
from streamwatch.retry import caught

POLL_S = 0.2


class Supervisor:
    """Waits for the end.

    Args:
        stopping: set to end it.
        nightly: starts the nightly update; None for a daemon without one.
    """

    def __init__(
        self,
        parts: Components,
        reconfiguration: Reconfiguration,
        nightly: NightlyProcess | None,
        stopping: threading.Event,
    ) -> None:
        self._clock: Clock = parts.clock
        self._health: Health = parts.health
        self._loop: PipelineLoop = parts.loop
        self._fleet: Fleet = parts.fleet
        self._publisher: Publisher = parts.publisher
        self._persistence: Persistence = parts.persistence
        self._config = parts.config
        self._reconfiguration, self._nightly, self._stopping = reconfiguration, nightly, stopping
        self._guard = parts.guard
        self._watchdog = Watchdog(parts.health, self._restart)
        self._left_out_until_s: dict[int, float] = {}
        self._looks: tuple[Callable[[], None], ...] = (
            self._watch_loops,
            self._watch_database,
            self._persistence.stay_alive,
            self._feed_systemd,
            self._follow_the_night,
            self._reconfiguration.follow,
        )

    def run(self) -> None:
        """Until the pipeline ends or fails, the store refuses for good, or somebody stops it."""
        while not self._over() and not self._clock.wait(self._stopping, POLL_S):
            self.run_once()
            self._guard.check()

    def run_once(self) -> None:
        """One look at everything. A look that fails is left out for a while, and keeps none of the others from being taken."""
        for number, look in enumerate(self._looks):
            if self._clock.monotonic_s() >= self._left_out_until_s.get(number, float("-inf")):
                failure = caught(look)
                if failure is not None:
                    now_s = self._clock.monotonic_s()
                    lasted_s = now_s - self._left_out_until_s.get(number, now_s)
                    self._left_out_until_s[number] = now_s + self._guard.record("main", failure, lasted_s=lasted_s)

    def _watch_loops(self) -> None:
        self._watchdog.check()

    def _watch_database(self) -> None:
        self._publisher.check_progress()

    def _feed_systemd(self) -> None:
        if not self._health.stalled():
            notify("WATCHDOG=1")

    def _follow_the_night(self) -> None:
        if self._nightly and self._nightly.poll(self._config.value.nightly_at()):
            self._reconfiguration.ask()

    def _over(self) -> bool:
        return self._loop.ended.is_set() or self._publisher.failed.is_set()

    def _restart(self, loop: str) -> None:
        if loop == LOOP:
            self._loop.replace_thread()
        else:
            self._fleet.restart(loop.removeprefix("camera "))
