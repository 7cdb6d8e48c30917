"""The thread that runs the pipeline, and another one in its place when it hangs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from streamwatch.errors import EngineFailure, StreamwatchError
from streamwatch.health import Health
from streamwatch.runtime.pipeline import Pipeline
from streamwatch.runtime.retry import caught

log = logging.getLogger(__name__)
LOOP = "pipeline"


class PipelineLoop:
    """Runs a pipeline until it is stopped or fails.

    Args:
        on_round: called after each batch with the number of frames it held.
        recover: makes the engine anew, for ``replace_thread``.
    """

    def __init__(
        self, pipeline: Pipeline, health: Health, *, on_round: Callable[[int], None], recover: Callable[[], None]
    ) -> None:
        self._pipeline, self._health = pipeline, health
        self._on_round, self._recover = on_round, recover
        self._stop = threading.Event()
        self._generation = 0
        self._thread: threading.Thread | None = None
        self.failure: Exception | None = None
        self.ended = threading.Event()

    def start(self) -> None:
        """Begin."""
        self._generation += 1
        generation = self._generation
        self._health.beat(LOOP)
        self._thread = threading.Thread(target=self._run, args=(generation,), name=LOOP, daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Ask it to end after its batch; whether it did in time."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(max(timeout_s, 0.0))
        return self._thread is None or not self._thread.is_alive()

    def end(self) -> None:
        """End from within: called by ``on_round`` when there is nothing more to do."""
        self._stop.set()

    def replace_thread(self) -> None:
        """Leave a hanging thread behind and go on with a new engine and a new thread; a second time is a failure."""
        if self._generation > 1:
            self._fail(EngineFailure("the engine hangs again after it was made anew", hint="see the stacks in the log"))
            return
        try:
            self._recover()
        except StreamwatchError as error:
            self._fail(error)
            return
        self.start()

    def _run(self, generation: int) -> None:
        def alive() -> bool:
            return generation == self._generation

        def go_round() -> None:
            while alive() and not self._stop.is_set():
                self._health.beat(LOOP)
                frames = self._pipeline.run_once(alive)
                if alive():
                    self._on_round(frames)

        failure = caught(go_round)
        if alive():
            self.failure = self.failure or failure
            self._health.retire(LOOP)
            self.ended.set()

    def _fail(self, error: StreamwatchError) -> None:
        self.failure = error
        self._stop.set()
        self.ended.set()
