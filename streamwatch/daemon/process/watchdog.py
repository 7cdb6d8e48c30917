"""Notices loops that stand still, writes every thread's stack to the log, and has the part restarted."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial

from streamwatch.health import Health
from streamwatch.retry import caught

log = logging.getLogger(__name__)


def all_stacks() -> str:
    """The stack of every thread, by name."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = []
    for ident, frame in sys._current_frames().items():  # noqa: SLF001 - the documented way to see other threads' stacks
        stack = "".join(traceback.format_stack(frame))
        parts.append(f"thread {names.get(ident, ident)}:\n{stack}")
    return "\n".join(parts)


class Watchdog:
    """Compares heartbeats with their limits.

    Args:
        restart: restarts the part whose loop is named; its heartbeat is retired before.
    """

    def __init__(self, health: Health, restart: Callable[[str], None]) -> None:
        self._health, self._restart = health, restart

    def check(self) -> list[str]:
        """Restart whatever is overdue; the names of it."""
        stalled = self._health.stalled()
        if not stalled:
            return []
        log.error("no progress: %s; all stacks:\n%s", _list_of(stalled), all_stacks())
        for loop in stalled:
            self._health.retire(loop)
            failure = caught(partial(self._restart, loop))
            if failure is not None:
                log.error("%s could not be restarted; it is tried again", loop, exc_info=failure)
                self._health.beat(loop)  # so that it is overdue again
        return list(stalled)


def _list_of(stalled: dict[str, float]) -> str:
    return ", ".join(f"{loop} for {age_s:.0f} s" for loop, age_s in stalled.items())
