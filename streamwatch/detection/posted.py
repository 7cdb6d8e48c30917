"""What others want done between two batches, by the thread that owns the monitors."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable
from functools import partial

from streamwatch.retry import caught

log = logging.getLogger(__name__)
MAX_TRIES = 3
Action = Callable[[], None]


class PostedActions:
    """Actions from any thread, done in order by one.

    Args:
        lasting: one that fails is tried again with the next batches, a few times; else its fault is raised at once.
    """

    def __init__(self, *, lasting: bool) -> None:
        self._lasting = lasting
        self._posted: queue.SimpleQueue[Action] = queue.SimpleQueue()
        self._again: list[tuple[Action, int]] = []

    def post(self, action: Action) -> None:
        """Have it done."""
        self._posted.put(action)

    def do_all(self, act: Callable[[Action], bool]) -> None:
        """Do what is there.

        Args:
            act: does an action, or says that another thread is in charge now.
        """
        self._again, again = [], self._again
        for action, tries in again:
            act(partial(self._try, action, tries))
        while not self._posted.empty():
            if not act(self._do_next):
                return

    def _do_next(self) -> None:
        self._try(self._posted.get(), 0)

    def _try(self, action: Action, tries: int) -> None:
        if not self._lasting:
            action()
            return
        failure = caught(action)
        if failure is not None and tries + 1 < MAX_TRIES:
            log.error("what was to be done between two batches failed; it is tried again", exc_info=failure)
            self._again.append((action, tries + 1))
        elif failure is not None:
            raise failure
