"""What the scoring thread does after each batch, besides the batch."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from streamwatch.capture.end_of_stream import EndOfStream
from streamwatch.capture.fleet import Fleet
from streamwatch.capture.liveness import Liveness
from streamwatch.capture.slots import FrameSlots
from streamwatch.detection.pipeline import Pipeline
from streamwatch.enums import EndReason
from streamwatch.evidence.writer import EvidenceWriter
from streamwatch.metrics import Metrics

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AfterBatch:
    """Tells of cameras that fell silent or came to their end.

    Attributes:
        stopping: set when the daemon stops: a reader that was stopped has not come to its end.
        on_all_ended: told when every camera has come to its end; None for a daemon that stays.
    """

    pipeline: Pipeline
    slots: FrameSlots
    fleet: Fleet
    liveness: Liveness
    ends: EndOfStream
    writer: EvidenceWriter
    metrics: Metrics
    stopping: threading.Event
    on_all_ended: Callable[[], None] | None = None

    def __call__(self, frames: int) -> None:
        """After a batch of so many frames."""
        self.metrics.queue_length.labels("frames").set(self.slots.waiting())
        self.metrics.queue_length.labels("evidence").set(self.writer.waiting())
        for change in self.liveness.changes():
            self.pipeline.post(partial(self.pipeline.change_liveness, change))  # one camera's fault is not the others'
        self.pipeline.do_posted()
        if frames == 0:
            self._close_ended_cameras()
            if self.on_all_ended and len(self.ends.handled) == len(self.fleet.cameras):
                self.on_all_ended()

    def _close_ended_cameras(self) -> None:
        """End the events of cameras whose source has ended; called when no frame is waiting."""
        for camera in self.ends.unhandled():
            if self.slots.waiting() or self.stopping.is_set():
                return
            self.ends.handled.add(camera)
            self.pipeline.end_camera(camera, EndReason.NORMAL)
            failure = self.ends.ended[camera]
            if failure:
                log.error("camera %s: %s", camera, failure, extra={"camera": camera})
            else:
                log.info("camera %s: finished", camera, extra={"camera": camera})
