"""The one place that retries: ``run_once`` does the work and raises, ``run_forever`` tries again."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass

from streamwatch.clock import Clock
from streamwatch.errors import StreamwatchError


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full jitter, in seconds; reset after ``reset_after_s`` of work."""

    first_s: float = 1.0
    longest_s: float = 60.0
    reset_after_s: float = 60.0

    def delay_s(self, failures: int, jitter: float) -> float:
        """The wait after ``failures`` failures in a row; ``jitter`` in 0..1 is the random share of it."""
        ceiling_s = min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 16))
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
            delay_s = policy.delay_s(failures, random.random())
            on_failure(error, delay_s)
            clock.wait(stop, delay_s)
        else:
            return
