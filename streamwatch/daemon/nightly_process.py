"""When the nightly update runs, and that it runs beside the daemon: another process, so that no camera waits for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Protocol

from streamwatch.clock import Clock
from streamwatch.commands import start_command

log = logging.getLogger(__name__)


class Running(Protocol):
    """A process that was started."""

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        ...

    def terminate(self) -> None:
        """End it."""
        ...


def start_update(config_path: Path, cameras: Callable[[], Collection[str]] | None = None) -> Running:
    """Start ``streamwatch model update --gently``.

    Args:
        cameras: those that are this process's at present; None is all of the configuration.

    Raises:
        OSError: it cannot be started.
    """
    chosen = ("--all",) if cameras is None else tuple(cameras())
    return start_command(("model", "update", *chosen, "--gently", "-c", str(config_path)))


class NightlyProcess:
    """Starts the update once a day, at or after a local time, and says when it has ended well.

    A daemon that starts after that time waits for the next day.

    Args:
        start: starts it; raises OSError.
    """

    def __init__(self, clock: Clock, start: Callable[[], Running]) -> None:
        self._clock, self._start = clock, start
        self._running: Running | None = None
        self._before = _local(clock.wall_s())

    def poll(self, at: time | None) -> bool:
        """Start it if it is time; True when it has just ended well and models may be others.

        Args:
            at: local time of the day; None if no camera is to be updated.
        """
        now, before = _local(self._clock.wall_s()), self._before
        self._before = now
        if self._running is not None:
            return self._ended(self._running)
        if at is not None and before < datetime.combine(now.date(), at, now.tzinfo) <= now:
            log.info("nightly update begins")
            try:
                self._running = self._start()
            except OSError as error:
                log.warning("nightly update: cannot be started (%s)", error.strerror)
        return False

    def stop(self) -> None:
        """End it: models are written as a whole or not at all."""
        if self._running is not None:
            self._running.terminate()

    def _ended(self, running: Running) -> bool:
        code = running.poll()
        if code is None:
            return False
        self._running = None
        if code:
            log.error("nightly update failed with exit code %d", code)
        else:
            log.info("nightly update ended")
        return code == 0


def _local(wall_s: float) -> datetime:
    """Local time, with the offset that holds then."""
    return datetime.fromtimestamp(wall_s, UTC).astimezone()
