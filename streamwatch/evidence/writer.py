"""Writes what a person needs to judge an event, in a thread of its own: pictures, the heat map, the map, the course of the
score, what the model saw, and last a document that says what they are.

Each file is written as a whole or not at all. A disk that is full or slow stops evidence, and never detection: what waits is
bounded, and of what is too much the oldest pictures are given up first, counted and told.
"""

from __future__ import annotations

import io
import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from streamwatch.errors import UsageError
from streamwatch.evidence.collector import EventEvidence
from streamwatch.evidence.event_frames import write_event_frames
from streamwatch.evidence.layout import path_of
from streamwatch.evidence.manifest import manifest_of
from streamwatch.evidence.normal_frames import append_normal_frame
from streamwatch.evidence.queue import EvidenceQueue, Job
from streamwatch.evidence.snapshots import draw_snapshot
from streamwatch.evidence.sparkline import draw_sparkline
from streamwatch.files import write_atomically
from streamwatch.logs import about
from streamwatch.records import Event, Frame
from streamwatch.retry import caught
from streamwatch.scores import FrameScore
from streamwatch.threads import ThreadGuard
from streamwatch.video.overlay import encode_jpeg

log = logging.getLogger(__name__)
MAX_CLIPS_KNOWN = 1000
STOP_S = 10.0
WriteFile = Callable[[Path, bytes], None]


class EvidenceWriter:
    """Writes evidence in the order in which it comes.

    Args:
        lossless: make who hands over wait rather than give anything up; for recordings that are read as fast as may be.
        write: writes a file, complete or not at all; raises UsageError.
        on_written: told after every file whether it could be written.
        on_given_up: told how many pictures were given up, and 0 when all that waited is written.
    """

    def __init__(
        self,
        folder: Path,
        *,
        lossless: bool = False,
        write: WriteFile = write_atomically,
        on_written: Callable[[bool], None] = lambda _: None,
        on_given_up: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.folder, self._write_to, self.lossless = folder, write, lossless
        self._on_written, self._on_given_up = on_written, on_given_up
        self._queue = EvidenceQueue(lossless=lossless)
        self._gave_up = threading.Event()
        self._clips: OrderedDict[str, Mapping[str, Any]] = OrderedDict()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, guard: ThreadGuard) -> None:
        """Begin to write."""
        self._queue.open()
        self._thread = guard.start("evidence", self._run, self._stopping)

    def stop(self, patience_s: float = STOP_S) -> bool:
        """Write what waits, and end; False if the disk took nothing for so long, and the rest is lost."""
        self._stopping.set()
        self._queue.close()
        while self._thread is not None and self._thread.is_alive():
            before = self.waiting()
            self._thread.join(patience_s)
            if self._thread.is_alive() and self.waiting() >= before:
                log.error("evidence of %d events is lost: the disk took nothing for %g s", before + 1, patience_s)
                return False
        self.write_all()
        return True

    def put(self, job: Job) -> None:
        """Have an event's evidence, or a frame for the nightly update, written; returns at once unless it is lossless."""
        self.count_given_up(self._queue.put(job))

    def count_given_up(self, events: int) -> None:
        """So many events' pictures were given up; told, and told to be over when what waits is written."""
        if events:
            self._gave_up.set()
            self._on_given_up(events)

    def waiting(self) -> int:
        """How many jobs wait now."""
        return len(self._queue)

    def write_all(self) -> None:
        """Write everything that waits, in the caller's thread."""
        while self.waiting() and (job := self._queue.take()) is not None:
            self._perform(job)

    def _run(self) -> None:
        while (job := self._queue.take()) is not None:
            self._perform(job)
            if self._gave_up.is_set() and not self.waiting():
                self._gave_up.clear()
                self._on_given_up(0)

    def _perform(self, job: Job) -> None:
        """Write one job; a defect in drawing it costs that job, and not the thread that everybody's evidence waits for."""
        failure = caught(lambda: self._write(job))
        if failure is not None:
            log.error("evidence not written: %r", failure, exc_info=failure)
            self._on_written(False)

    def _write(self, job: Job) -> None:
        if isinstance(job, Frame):
            self._write_normal(job)
            return
        if job.frames is not None:
            self._write_frames(job)
        for kind, content in self._files_of(job):
            self._write_file(kind, job.event, content)

    def _files_of(self, job: EventEvidence) -> Iterator[tuple[str, Callable[[], bytes | None]]]:
        """Kinds of evidence and what makes each, in the order in which they are written."""
        if job.start is not None:
            start = job.start
            yield "starts", lambda: _picture(job, start)
        if job.peak is not None:
            peak = job.peak
            yield "snapshots", lambda: _snapshot(job, peak)
            yield "peaks", lambda: _picture(job, peak)
            yield "maps", lambda: _encoded_maps(peak)
        if job.points:
            yield "scores", lambda: _sparkline(job)
        if job.ended or job.clip is not None:
            yield "evidence", lambda: self._manifest(job)

    def _manifest(self, job: EventEvidence) -> bytes:
        """The document; with what is known of the clip, which may have been complete before."""
        clip = job.clip or self._clips.pop(job.event.id, None)
        if job.clip is not None:
            self._clips[job.event.id] = job.clip
            if len(self._clips) > MAX_CLIPS_KNOWN:
                self._clips.popitem(last=False)
        return json.dumps(manifest_of(self.folder, job.event, job.facts, clip), indent=1).encode()

    def _write_frames(self, job: EventEvidence) -> None:
        try:
            if job.frames is not None:
                write_event_frames(self.folder / "inputs", job.event.id, job.frames)
        except (OSError, UsageError) as error:  # evidence must never stop detection
            log.warning("model inputs of event %s not written: %s", job.event.id, error, extra=about(job.event))

    def _write_normal(self, frame: Frame) -> None:
        try:
            append_normal_frame(self.folder / "normal", frame)
        except OSError as error:  # learning must never stop detection
            camera = frame.camera
            log.warning("a normal frame of camera %s not kept: %s", camera, error.strerror, extra={"camera": camera})

    def _write_file(self, kind: str, event: Event, make: Callable[[], bytes | None]) -> None:
        def write() -> None:
            content = make()
            if content is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._write_to(path, content)

        path = path_of(self.folder, kind, event.id)
        failure = caught(write)
        self._on_written(failure is None)
        if isinstance(failure, OSError | UsageError):
            log.warning("%s of event %s not written: %s", kind, event.id, failure, extra=about(event))
        elif failure is not None:
            log.error("%s of event %s not written: %r", kind, event.id, failure, exc_info=failure, extra=about(event))


def _picture(job: EventEvidence, scored: FrameScore) -> bytes | None:
    if scored.frame.picture is None:
        return None
    return encode_jpeg(job.privacy.covered(scored.frame.picture.rgb(), job.event.peak.boxes))


def _snapshot(job: EventEvidence, scored: FrameScore) -> bytes | None:
    drawn = draw_snapshot(job.event, scored, job.privacy)
    return None if drawn is None else encode_jpeg(drawn)


def _sparkline(job: EventEvidence) -> bytes:
    event = job.event
    lasted_s = (event.start_time_s, event.start_time_s if event.end_time_s is None else event.end_time_s)
    return draw_sparkline(job.points, start=event.start_threshold, end=event.end_threshold, event_s=lasted_s).encode()


def _encoded_maps(scored: FrameScore) -> bytes:
    """The peak's maps as .npz: ``level``, filtered over time, and ``score``, the frame by itself; (h, w) float16."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, level=scored.level_grid.astype(np.float16), score=scored.grid.astype(np.float16))
    return buffer.getvalue()
