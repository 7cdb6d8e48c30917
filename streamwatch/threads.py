"""Threads that outlive their faults: the one outermost guard.

What a thread does may raise whatever it likes. It is caught here, logged with its stack and counted, and the thread's work is
begun again after a wait; what fails again and again is told. So no fault of one part ends another.
"""

from __future__ import annotations

import gc
import logging
import os
import queue
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

from streamwatch.clock import Clock
from streamwatch.errors import StreamwatchError
from streamwatch.retry import Backoff, caught

log = logging.getLogger(__name__)
T = TypeVar("T")
REPEATEDLY = 3
"""Faults of a thread, each within a minute of being begun again, that are told as a degradation."""
GUARD_BACKOFF = Backoff(first_s=0.5, max_s=30.0, reset_after_s=60.0)


class ThreadGuard:
    """Starts threads, and begins their work again after a fault.

    Args:
        on_fault: told the name of the thread after each fault.
        on_repeating: told when some thread fails again and again, and when none does any more.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        on_fault: Callable[[str], None] = lambda _: None,
        on_repeating: Callable[[bool], None] = lambda _: None,
        backoff: Backoff = GUARD_BACKOFF,
    ) -> None:
        self._clock, self._backoff = clock, backoff
        self._on_fault, self._on_repeating = on_fault, on_repeating
        self._lock = threading.Lock()
        self._faults: dict[str, int] = {}
        self._last_s: dict[str, float] = {}
        self._repeating = False

    def start(
        self, name: str, work: Callable[[], None], stop: threading.Event, *, wait_at_most_s: float = float("inf")
    ) -> threading.Thread:
        """A running thread that does ``work`` until it returns; after a fault again, until ``stop`` is set."""
        thread = threading.Thread(target=self.run, args=(name, work, stop, wait_at_most_s), name=name, daemon=True)
        thread.start()
        return thread

    def run(self, name: str, work: Callable[[], None], stop: threading.Event, wait_at_most_s: float = float("inf")) -> None:
        """The same in the caller's thread."""
        while True:
            began_s = self._clock.monotonic_s()
            failure = caught(work)
            if failure is None:
                return
            wait_s = self.record(name, failure, lasted_s=self._clock.monotonic_s() - began_s)
            if self._clock.wait(stop, min(wait_s, wait_at_most_s)):
                return

    def record(self, name: str, failure: Exception, *, lasted_s: float = 0.0) -> float:
        """Log and count a fault that was caught elsewhere; how many seconds to wait before the next try.

        Args:
            lasted_s: how long the part worked before it.
        """
        with self._lock:
            faults = 1 if lasted_s >= self._backoff.reset_after_s else self._faults.get(name, 0) + 1
            self._faults[name], self._last_s[name] = faults, self._clock.monotonic_s()
        wait_s = self._backoff.delay_s(faults, random.random())
        for telling in (lambda: _say(name, failure, wait_s), lambda: self._on_fault(name), self.check):
            again = caught(telling)  # whoever is told may fail, too
            if again is not None:
                log.error("a fault of %s could not be told (%s)", name, again.__class__.__name__)
        return wait_s

    def check(self) -> None:
        """Tell whether a thread fails again and again; called now and then."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            for name in [n for n, at_s in self._last_s.items() if now_s - at_s >= self._quiet_s()]:
                del self._faults[name], self._last_s[name]
            repeating = any(faults >= REPEATEDLY for faults in self._faults.values())
            changed, self._repeating = repeating != self._repeating, repeating
        if changed:
            self._on_repeating(repeating)

    def _quiet_s(self) -> float:
        """A thread that waits for its next try has not recovered."""
        return self._backoff.max_s + self._backoff.reset_after_s


def _say(name: str, failure: Exception, wait_s: float) -> None:
    known = isinstance(failure, StreamwatchError)
    text = str(failure) if known else f"internal fault ({failure.__class__.__name__}: {failure})"
    log.error("%s: %s; begun again in %.1f s", name, text, wait_s, exc_info=None if known else failure)


@contextmanager
def long_lived() -> Iterator[None]:
    """What is there by now is not looked at by the garbage collector, which stops all threads, until the end.

    A full collection looks at each of the 340,000 objects that torch and the rest are made of: 0.13 s in which no frame is
    scored, time and again. Before cameras are made, of which one that is taken away must be collected.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def usable_cores() -> int:
    """Cores that this process may use: what OMP_NUM_THREADS says, or else those of the machine's that it is bound to."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) > 0 else len(os.sched_getaffinity(0))


class Pool:
    """Threads that work for one caller, which waits for them; they end with the process, whatever they hang in.

    Not the library's pool: its threads are joined when the interpreter exits, and one that hangs in a driver or a codec kept a
    daemon that had failed for good from ending, so that no service manager started it again.

    Args:
        prepare: done once by each thread.
    """

    def __init__(self, threads: int, name: str, prepare: Callable[[], None] = lambda: None) -> None:
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads, self._prepare = threads, prepare
        for number in range(threads):
            threading.Thread(target=self._work, name=f"{name}_{number}", daemon=True).start()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Have it done by the next thread that is free; what it raises is raised by the future."""
        future: Future[T] = Future()

        def task() -> None:
            results: list[T] = []
            failure = caught(lambda: results.append(work()))
            if failure is None:
                future.set_result(results[0])
            else:
                future.set_exception(failure)

        self._tasks.put(task)
        return future

    def close(self) -> None:
        """End the threads when they have done what waits."""
        for _ in range(self._threads):
            self._tasks.put(None)

    def _work(self) -> None:
        self._prepare()
        while (task := self._tasks.get()) is not None:
            task()
            del task  # what it held is free while the next one is waited for
