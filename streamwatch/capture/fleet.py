"""The cameras of a running daemon: their readers started, stopped, restarted and swapped, each by itself."""

from __future__ import annotations

import logging

from streamwatch.capture.camera import CameraContext, CameraWorker, PlaybackMode
from streamwatch.capture.plans import SLACK_S, CameraPlan, ClipPlan
from streamwatch.video.clips.feed import ClipFeed
from streamwatch.video.clips.ring import ClipRing
from streamwatch.video.pace import Pace
from streamwatch.video.reader import FrameReader, ReaderListeners, RetentionOptions
from streamwatch.video.streams.live import PICTURE_WITHIN_S
from streamwatch.video.streams.opener import Opener, PyAvOpener

log = logging.getLogger(__name__)
_GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it, modulo 1, lie evenly however many there are (Weyl's sequence): phases for cameras that come and go."""


class Fleet:
    """One worker per camera.

    Args:
        paced: play files at their own pace; frames that come too fast are dropped, and only those that are scored are made.
        opener: for tests; None opens with FFmpeg.
        rings: where the cameras' video is held for clips.
    """

    def __init__(
        self, context: CameraContext, *, paced: bool, opener: Opener | None = None, rings: dict[str, ClipRing] | None = None
    ) -> None:
        self._context, self._paced, self._opener = context, paced, opener
        self._plans: dict[str, CameraPlan] = {}
        self._workers: dict[str, CameraWorker] = {}
        self._rings = {} if rings is None else rings
        self._added = 0

    @property
    def cameras(self) -> list[str]:
        """The cameras that are read."""
        return list(self._plans)

    def worker_of(self, camera: str) -> CameraWorker | None:
        """What reads a camera now; None if nothing does."""
        return self._workers.get(camera)

    def add(self, camera: str, plan: CameraPlan) -> None:
        """Take a camera on; ``start`` begins to read it."""
        self._plans[camera] = plan
        self._workers[camera] = self._worker(camera, plan)

    def start(self, camera: str) -> None:
        """Begin to read a camera."""
        self._workers[camera].start()

    def remove(self, camera: str) -> None:
        """Stop reading a camera, and forget what it had waiting."""
        self._retire(camera)
        self._plans.pop(camera, None)

    def restart(self, camera: str) -> None:
        """Read a camera with a new thread; the old one is left behind, it may hang in a call that nothing ends."""
        plan = self._plans.get(camera)
        if plan is not None:
            self._retire(camera)
            self.add(camera, plan)
            self.start(camera)

    def stop(self, timeout_s: float) -> None:
        """Stop all, and wait for them within ``timeout_s`` together."""
        for worker in self._workers.values():
            worker.stop()
        clock = self._context.clock
        deadline_s = clock.monotonic_s() + timeout_s
        for worker in self._workers.values():
            if not worker.join(deadline_s - clock.monotonic_s()):
                log.warning(
                    "camera %s: its reader did not stop in time and is left behind", worker.name, extra={"camera": worker.name}
                )

    def _retire(self, camera: str) -> None:
        ring = self._rings.pop(camera, None)
        if ring is not None:
            ring.retire()
        worker = self._workers.pop(camera, None)
        if worker is not None:
            worker.stop()
            self._context.slots.discard(camera)

    def _worker(self, camera: str, plan: CameraPlan) -> CameraWorker:
        # A recording's reader may rightly wait for room, however long; one that hangs is not read twice.
        within_s = plan.stream.open_timeout_s + 2 * plan.stream.read_timeout_s + SLACK_S
        silence_s = max(within_s, PICTURE_WITHIN_S + SLACK_S) if plan.source.live else float("inf")
        rates_hz = [plan.fps or 0.0, *(segment.frame_rate_hz for segment in plan.source.segments if segment.kind == "images")]
        interval_s = max((1 / rate_hz for rate_hz in rates_hz if rate_hz), default=0.0)
        paced = self._paced and not plan.source.live
        playing = PlaybackMode(plan.source.live, paced=paced, silence_s=silence_s, interval_s=interval_s, deferred=self._paced)
        self._added += 1
        phase = self._added * _GOLDEN % 1.0 if plan.source.live else None

        feed = self._feed(camera, plan.clips) if plan.clips else None

        def make_reader(listeners: ReaderListeners) -> FrameReader:
            return FrameReader(
                camera,
                plan.source,
                opener=self._opener or PyAvOpener(plan.stream),
                clock=self._context.clock,
                pace=Pace(plan.fps, phase, plan.gated),
                retention=RetentionOptions(pictures=True, feed=feed),
                motion_step_s=plan.motion_step_s,
                listeners=listeners,
            )

        return CameraWorker(camera, make_reader, self._context, playing)

    def _feed(self, camera: str, clips: ClipPlan) -> ClipFeed:
        self._rings[camera] = ClipRing(hold_s=clips.hold_s, max_bytes=clips.max_bytes)
        return ClipFeed(self._rings[camera], clips.cover)
