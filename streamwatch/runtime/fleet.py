"""The cameras of a running daemon: their readers started, stopped, restarted and swapped, each by itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from streamwatch.config.models import Config
from streamwatch.runtime.camera import CameraContext, CameraWorker, Playing
from streamwatch.runtime.snapshots import Privacy
from streamwatch.video.clip_feed import ClipFeed, Cover
from streamwatch.video.clip_ring import ClipRing
from streamwatch.video.opener import Opener, PyAvOpener, StreamOptions
from streamwatch.video.reader import FrameReader, Keeping, Pace
from streamwatch.video.sources import Source, parse_source

log = logging.getLogger(__name__)
_SLACK_S = 20.0
_GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it, modulo 1, lie evenly however many there are (Weyl's sequence): turns for cameras that come and go."""


@dataclass(frozen=True)
class ClipPlan:
    """How a camera's video is held.

    Attributes:
        hold_s, max_bytes: see ClipRing.
        cover: see ClipFeed.
    """

    hold_s: float
    max_bytes: int
    cover: Cover | None


@dataclass(frozen=True)
class CameraPlan:
    """How one camera is read.

    Attributes:
        motion_step_s: see FrameReader; None for a model without motion.
        clips: how its video is held for clips; None holds none.
    """

    source: Source
    fps: float | None
    stream: StreamOptions
    motion_step_s: float | None
    clips: ClipPlan | None = None


def source_of(config: Config, camera: str) -> Source:
    """A camera's source.

    Raises:
        SourceNotFound, SourceEmpty: it is a file or folder that is not there.
    """
    text = config.cameras[camera].source.get_secret_value()
    return parse_source(text, frame_rate_hz=config.settings(camera).frame_rate)


def plan_of(config: Config, camera: str, motion_step_s: float | None) -> CameraPlan:
    """How ``camera`` is read; raises as ``source_of``."""
    settings = config.settings(camera)
    stream = StreamOptions(settings.transport, settings.open_timeout, settings.read_timeout)
    fps = None if settings.fps == "native" else settings.fps
    return CameraPlan(source_of(config, camera), fps, stream, motion_step_s, _clip_plan(config, camera))


def _clip_plan(config: Config, camera: str) -> ClipPlan | None:
    clips, settings, privacy = config.clips, config.settings(camera), config.cameras[camera].privacy
    if not clips.enabled:
        return None
    hold_s = clips.pre_roll + settings.min_duration + _SLACK_S
    covers = Privacy(privacy, settings.pixelate).covered if privacy or settings.pixelate else None
    return ClipPlan(hold_s, clips.buffer, covers)


class Fleet:
    """One worker per camera.

    Args:
        paced: play files at their own pace.
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
        self._taken_on = 0

    @property
    def cameras(self) -> list[str]:
        """The cameras that are read."""
        return list(self._plans)

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
        within_s = plan.stream.open_timeout_s + 2 * plan.stream.read_timeout_s + _SLACK_S
        silence_s = within_s if plan.source.live else float("inf")
        playing = Playing(plan.source.live, paced=self._paced and not plan.source.live, silence_s=silence_s)
        self._taken_on += 1
        turn = self._taken_on * _GOLDEN % 1.0 if plan.source.live else None

        feed = self._feed(camera, plan.clips) if plan.clips else None

        def make_reader(on_unfit: Callable[[str], None]) -> FrameReader:
            return FrameReader(
                camera,
                plan.source,
                opener=self._opener or PyAvOpener(plan.stream),
                clock=self._context.clock,
                pace=Pace(plan.fps, turn),
                keeping=Keeping(pictures=True, feed=feed),
                motion_step_s=plan.motion_step_s,
                on_unfit=on_unfit,
            )

        return CameraWorker(camera, make_reader, self._context, playing)

    def _feed(self, camera: str, clips: ClipPlan) -> ClipFeed:
        self._rings[camera] = ClipRing(hold_s=clips.hold_s, max_bytes=clips.max_bytes)
        return ClipFeed(self._rings[camera], clips.cover)
