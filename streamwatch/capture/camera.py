"""One camera's reading thread: frames from its reader into its slot."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from streamwatch.capture.slots import FrameSlots
from streamwatch.capture.status import FleetStatus
from streamwatch.clock import Clock
from streamwatch.enums import CameraState, DisconnectKind, DropReason
from streamwatch.errors import SourceDisconnected, SourceError, StreamwatchError
from streamwatch.health import Health
from streamwatch.metrics import Metrics
from streamwatch.records import DueFrame
from streamwatch.retry import Backoff, caught, run_forever
from streamwatch.threads import ThreadGuard
from streamwatch.video.reader import FrameReader, ReaderListeners

log = logging.getLogger(__name__)
MAX_PACED_WAIT_S = 10.0
"""A recording that plays at its own pace does not wait longer for its next frame."""


@dataclass(frozen=True)
class CameraContext:
    """What every camera shares.

    Attributes:
        on_frame: told of every frame that a camera hands over.
        on_picture: told of every picture that comes, and why it cannot be used if so.
        on_end: told when a camera has come to its end, with the error that ended it if any.
        guard: begins a live camera's reading again after a fault of ours.
    """

    slots: FrameSlots
    clock: Clock
    metrics: Metrics
    status: FleetStatus
    health: Health
    on_frame: Callable[[str], None]
    on_picture: Callable[[str, DropReason | None], None]
    on_end: Callable[[str, StreamwatchError | None], None]
    guard: ThreadGuard
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(frozen=True)
class PlaybackMode:
    """How a source is played.

    Attributes:
        live: its end is a fault, and it is opened again.
        paced: a file plays at its own pace instead of as fast as it is taken.
        silence_s: longest time that it may make no progress: its own time-outs, and some.
        interval_s: between its frames, as it is asked for or declared; longer ones are gaps.
        deferred: frames are handed over as due, to be made when they are scored; else made where they are read.
    """

    live: bool
    paced: bool
    silence_s: float = 60.0
    interval_s: float = 0.0
    deferred: bool = False


class CameraWorker:
    """Reads one camera until its source ends, or for ever if it is live.

    Args:
        make_reader: makes the reader, which tells of every picture.
    """

    def __init__(
        self,
        name: str,
        make_reader: Callable[[ReaderListeners], FrameReader],
        context: CameraContext,
        playing: PlaybackMode,
    ) -> None:
        self.name, self.playing = name, playing
        self._context = context
        self._reader = make_reader(ReaderListeners(self._count_drop, self._heed))
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def loop(self) -> str:
        """The name of its heartbeat."""
        return f"camera {self.name}"

    def start(self) -> None:
        """Start reading."""
        self._context.status.set_state(self.name, CameraState.STARTING)
        self._thread = self._context.guard.start(f"camera-{self.name}", self._run, self._stop)

    def stop(self) -> None:
        """Ask it to end; what it still reads goes nowhere."""
        self._stop.set()
        self._context.health.retire(self.loop)

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; False if it is still running."""
        if self._thread is None:
            return True
        self._thread.join(max(timeout_s, 0.0))
        return not self._thread.is_alive()

    def run_once(self) -> None:
        """Read the source to its end.

        Raises:
            SourceError: it could not be opened or read.
        """
        self._beat()
        started_s, left_out_s = self._context.clock.monotonic_s(), 0.0
        for frame in self._reader.due_frames() if self.playing.deferred else self._reader.frames():
            gap_s = skipped_s(self.name, frame, self._lead_s(frame, started_s), self.playing)
            started_s, left_out_s = started_s - gap_s, left_out_s + gap_s
            if self.playing.paced and self._context.clock.wait(self._stop, self._lead_s(frame, started_s)):
                return
            self._beat()
            if self.playing.paced:  # it was decoded ahead of its time: what it waited for that is no latency
                self._hand_over(frame.captured(self._context.clock.monotonic_s(), left_out_s))
            else:
                self._hand_over(frame)
            if self._stop.is_set():
                return
        for warning in self._reader.summary().warnings:
            log.warning("camera %s: %s", self.name, warning, extra={"camera": self.name})

    def _beat(self) -> None:
        if not self._stop.is_set():
            self._context.health.beat(self.loop, within_s=self.playing.silence_s)

    def _lead_s(self, frame: DueFrame, started_s: float) -> float:
        return started_s + frame.time_s - self._context.clock.monotonic_s()

    def _hand_over(self, frame: DueFrame) -> None:
        if self._stop.is_set():
            return
        self._context.status.receive(self.name, frame.wall_s)
        self._context.on_frame(self.name)
        self._context.slots.put(frame, self._stop)

    def _heed(self, reason: DropReason | None) -> bool:
        """A picture came: the stream is alive, whether or not it is scored. False if it is to stop."""
        self._beat()
        if not self._stop.is_set():
            self._context.on_picture(self.name, reason)
        return not self._stop.is_set()

    def _count_drop(self, reason: DropReason) -> None:
        """A frame was due that must not be scored."""
        if not self._stop.is_set():
            self._context.status.receive(self.name)
            self._context.status.drop(self.name, reason)

    def _run(self) -> None:
        """Until it is stopped or over; of a live camera a fault of ours is raised, and its reading begun again."""
        failure = caught(self._read_live if self.playing.live else self.run_once)
        self._context.health.retire(self.loop)
        if self._stop.is_set():
            return
        if failure is not None and self.playing.live:
            self._context.status.lose(self.name, DisconnectKind.INVALID_DATA, self._context.clock.monotonic_s())
            raise failure
        self._end(failure)

    def _read_live(self) -> None:
        context = self._context
        run_forever(
            self.run_once, clock=context.clock, stop=self._stop, on_failure=self._record_failure, backoff=context.backoff
        )

    def _end(self, failure: Exception | None) -> None:
        error = failure if isinstance(failure, StreamwatchError) else None
        if failure is not None and error is None:
            log.error("camera %s: internal fault", self.name, exc_info=failure, extra={"camera": self.name})
            error = SourceError(f"internal fault ({failure.__class__.__name__})", where=self.name, hint="see the log")
        self._context.status.set_state(self.name, CameraState.FAILED if error else CameraState.FINISHED)
        self._context.on_end(self.name, error)

    def _record_failure(self, error: StreamwatchError, delay_s: float) -> None:
        self._context.health.retire(self.loop)  # waiting is no lack of progress
        if self._stop.is_set():
            return
        kind = error.kind if isinstance(error, SourceDisconnected) else DisconnectKind.INVALID_DATA
        self._context.status.lose(self.name, kind, self._context.clock.monotonic_s() + delay_s)
        log.warning("camera %s: %s; trying again in %.1f s", self.name, error, delay_s, extra={"camera": self.name})


def skipped_s(camera: str, frame: DueFrame, lead_s: float, playing: PlaybackMode) -> float:
    """How much of a wait for a frame is left out: a recording's gap is not waited for, but told."""
    if not playing.paced or lead_s <= max(MAX_PACED_WAIT_S, 2 * playing.interval_s):
        return 0.0
    gap = f"nothing was recorded for {lead_s:.0f} s until {frame.time_s:.0f} s"
    log.warning("camera %s: %s; skipped after %g s", camera, gap, MAX_PACED_WAIT_S, extra={"camera": camera})
    return lead_s - MAX_PACED_WAIT_S
