"""Attempts to deliver, side by side: a few threads that the process never waits for when it ends.

An attempt that hangs must not keep a daemon from stopping, and the library's pool joins its threads at exit. What is broken off
so was not settled: its lease ends, and it is given out again.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, TypeVar

from streamwatch.retry import caught

Item = TypeVar("Item")
Result = TypeVar("Result")


class AttemptPool:
    """Daemon threads that take work from one queue; started when they are needed.

    Args:
        name: of the threads, before their number.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._threads, self._name = threads, name
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._started = 0
        self._closed = False

    def submit(self, function: Callable[[Item], Result], item: Item) -> Future[Result]:
        """Have ``function(item)`` done; what it returns or raises is in the future.

        Raises:
            RuntimeError: it is closed.
        """
        future: Future[Any] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            failure = caught(lambda: future.set_result(function(item)))
            if failure is not None:
                future.set_exception(failure)  # it is raised where the result is asked for

        with self._lock:
            if self._closed:
                raise RuntimeError("attempts are made no more")
            if self._started < self._threads:
                threading.Thread(target=self._run, name=f"{self._name}_{self._started}", daemon=True).start()
                self._started += 1
            self._work.put(work)
        return future

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """``function`` of each, in their order; raises what the first that failed raised."""
        return [future.result() for future in [self.submit(function, item) for item in items]]

    def close(self) -> None:
        """Take no more; threads that are at work end after it, and nobody waits for them."""
        with self._lock:
            self._closed = True
            for _ in range(self._started):
                self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()
