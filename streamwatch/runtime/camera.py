"""One camera's reading thread: frames from its reader into its slot."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from streamwatch.clock import Clock
from streamwatch.errors import StreamwatchError
from streamwatch.metrics import Metrics
from streamwatch.records import Frame
from streamwatch.runtime.retry import run_forever
from streamwatch.runtime.slots import FrameSlots
from streamwatch.video.reader import FrameReader

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CameraContext:
    """What every camera shares."""

    slots: FrameSlots
    clock: Clock
    metrics: Metrics
    stop: threading.Event
    on_end: Callable[[str, StreamwatchError | None], None]


class CameraWorker:
    """Reads one camera until its source ends, or for ever if it is live.

    Args:
        paced: play a file at its own pace instead of as fast as it is taken.
        live: the end of the source is a fault, and it is opened again.
    """

    def __init__(self, name: str, reader: FrameReader, context: CameraContext, *, live: bool, paced: bool) -> None:
        self.name = name
        self._reader, self._context = reader, context
        self._live, self._paced = live, paced
        self._thread = threading.Thread(target=self._run, name=f"camera-{name}", daemon=True)

    def start(self) -> None:
        """Start reading."""
        self._context.metrics.camera_state_is(self.name, "starting")
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; False if it is still running."""
        self._thread.join(max(timeout_s, 0.0))
        return not self._thread.is_alive()

    def run_once(self) -> None:
        """Read the source to its end.

        Raises:
            SourceError: it could not be opened or read.
        """
        started_s = self._context.clock.monotonic_s()
        for frame in self._reader.frames():
            if self._paced and self._context.clock.wait(self._context.stop, self._lead_s(frame, started_s)):
                return
            self._hand_over(frame)
            if self._context.stop.is_set():
                return
        for warning in self._reader.summary().warnings:
            log.warning("camera %s: %s", self.name, warning)

    def _lead_s(self, frame: Frame, started_s: float) -> float:
        return started_s + frame.time_s - self._context.clock.monotonic_s()

    def _hand_over(self, frame: Frame) -> None:
        metrics = self._context.metrics
        metrics.frames_received.labels(self.name).inc()
        metrics.last_frame_s.labels(self.name).set(frame.wall_s)
        metrics.camera_state_is(self.name, "running")
        self._context.slots.put(frame, self._context.stop)

    def _run(self) -> None:
        failure: StreamwatchError | None = None
        try:
            if self._live:
                run_forever(self.run_once, clock=self._context.clock, stop=self._context.stop, on_failure=self._note_failure)
            else:
                self.run_once()
        except StreamwatchError as error:
            failure = error
        finally:
            self._context.metrics.camera_state_is(self.name, "failed" if failure else "finished")
            self._context.on_end(self.name, failure)

    def _note_failure(self, error: StreamwatchError, delay_s: float) -> None:
        self._context.metrics.camera_state_is(self.name, "offline")
        self._context.metrics.reconnects.labels(self.name, "eof").inc()
        log.warning("camera %s: %s; trying again in %.1f s", self.name, error, delay_s)
