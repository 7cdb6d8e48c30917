"""The thread that runs the pipeline, and another one in its place when it hangs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Protocol

from streamwatch.clock import Clock
from streamwatch.errors import EngineFailure, StreamwatchError
from streamwatch.health import Health
from streamwatch.retry import caught
from streamwatch.threads import ThreadGuard

log = logging.getLogger(__name__)
LOOP = "pipeline"
RESTART_WINDOW_S = 600.0
"""A second hang within ten minutes is the device's, and a new process may help; one a day later is another story."""


class Runnable(Protocol):
    """What the loop runs; see ``detection.pipeline.Pipeline``."""

    def run_once(self, alive: Callable[[], bool]) -> int:
        """One batch; the number of frames it held."""
        ...


class PipelineLoop:
    """Runs a pipeline until it is stopped or fails.

    Args:
        recover: makes the engine anew, for ``replace_thread``.
        on_iteration: called after each batch with the number of frames it held.
        guard: begins it again after a fault of ours; None ends it by the fault, for recordings. A device that fails for good
            ends it in any case.
    """

    def __init__(
        self,
        pipeline: Runnable,
        health: Health,
        *,
        clock: Clock,
        recover: Callable[[], None],
        on_iteration: Callable[[int], None] = lambda _: None,
        guard: ThreadGuard | None = None,
    ) -> None:
        self._pipeline, self._health, self._clock = pipeline, health, clock
        self._recover, self._guard = recover, guard
        self.on_iteration = on_iteration
        self._stop = threading.Event()
        self._generation = 0
        self._replaced_at_s = float("-inf")
        self._thread: threading.Thread | None = None
        self.failure: Exception | None = None
        self.ended = threading.Event()

    def start(self) -> None:
        """Begin."""
        self._generation += 1
        generation = self._generation
        self._health.beat(LOOP)
        if self._guard:
            self._thread = self._guard.start(LOOP, partial(self._run, generation), self._stop)
        else:
            self._thread = threading.Thread(target=self._run, args=(generation,), name=LOOP, daemon=True)
            self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Ask it to end after its batch; whether it did in time."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(max(timeout_s, 0.0))
        return self._thread is None or not self._thread.is_alive()

    def end(self) -> None:
        """End from within: called by ``on_iteration`` when there is nothing more to do."""
        self._stop.set()

    def replace_thread(self) -> None:
        """Leave a hanging thread behind and go on with a new engine and a new thread; a second time soon is a failure."""
        now_s = self._clock.monotonic_s()
        if now_s - self._replaced_at_s < RESTART_WINDOW_S:
            within = f"within {RESTART_WINDOW_S / 60:.0f} minutes"
            self._fail(EngineFailure(f"the engine hangs again {within} of being made anew", hint="see the stacks in the log"))
            return
        self._replaced_at_s = now_s
        self._generation += 1  # from here on the hanging thread changes nothing, whatever it comes back with
        failure = caught(self._recover)
        if failure is None:
            self.start()
        elif isinstance(failure, StreamwatchError):
            self._fail(failure)
        else:
            log.error("the engine could not be made anew", exc_info=failure)
            self._fail(EngineFailure(f"the engine cannot be made anew ({failure.__class__.__name__})", hint="see the log"))

    def _run(self, generation: int) -> None:
        def alive() -> bool:
            return generation == self._generation

        def iterate() -> None:
            while alive() and not self._stop.is_set():
                self._health.beat(LOOP)
                frames = self._pipeline.run_once(alive)
                if alive():
                    self.on_iteration(frames)

        failure = caught(iterate)
        if not alive():
            return
        self._health.retire(LOOP)  # waiting is no lack of progress
        if failure is not None and self._guard and not isinstance(failure, EngineFailure):
            raise failure
        self.failure = self.failure or failure
        self.ended.set()

    def _fail(self, error: StreamwatchError) -> None:
        self.failure = error
        self._stop.set()
        self.ended.set()
