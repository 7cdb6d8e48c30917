"""The one place that retries: ``run_once`` does the work and raises, ``run_forever`` tries again.

It is also the one place that catches whatever comes, for a thread whose faults are another's to raise or a job's to lose.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass

from streamwatch.clock import Clock
from streamwatch.errors import Retry, StreamwatchError


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full jitter, in seconds; reset after ``reset_after_s`` of work."""

    first_s: float = 1.0
    max_s: float = 60.0
    reset_after_s: float = 60.0

    def delay_s(self, failures: int, jitter: float, retry: Retry = "backoff") -> float:
        """The wait after ``failures`` failures in a row.

        Args:
            jitter: in 0..1, the random share of the wait (full jitter).
            retry: ``at_once`` skips the first failure's wait; ``slowly`` takes the longest whatever happened before.
        """
        if retry == "slowly":
            return self.max_s * max(jitter, 0.5)
        if retry == "at_once" and failures <= 1:
            return 0.0
        ceiling_s = min(self.max_s, self.first_s * 2.0 ** min(failures - 1, 16))
        return ceiling_s * max(jitter, 0.1)


def run_forever(
    run_once: Callable[[], None],
    *,
    clock: Clock,
    stop: threading.Event,
    on_failure: Callable[[StreamwatchError, float], None],
    backoff: Backoff | None = None,
) -> None:
    """Call ``run_once`` until it returns or ``stop`` is set; after a StreamwatchError, wait and call it again.

    Args:
        on_failure: told of each failure, and of the seconds until the next try.

    Anything but a StreamwatchError is a defect and ends the loop by being raised.
    """
    policy = backoff or Backoff()
    failures = 0
    while not stop.is_set():
        began_s = clock.monotonic_s()
        try:
            run_once()
        except StreamwatchError as error:
            failures = 1 if clock.monotonic_s() - began_s >= policy.reset_after_s else failures + 1
            delay_s = policy.delay_s(failures, random.random(), error.retry)
            on_failure(error, delay_s)
            clock.wait(stop, delay_s)
        else:
            return


def caught(work: Callable[[], object]) -> Exception | None:
    """Do ``work`` and return what it raised, for the caller to raise where it is waited for, or to log."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - nothing is swallowed: the caller raises or logs it
        return error
    return None
