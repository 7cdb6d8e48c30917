"""Clips of events: cut from the cameras' rings while the events last, by a thread of their own.

A clip begins at the last key frame that is ``pre_roll`` before the event, grows with it, and ends ``post_roll`` after what was
last above the end threshold. It is written under its name from the first packet on, so that whatever ends the daemon leaves a
playable file. Where the stream breaks off, the clip ends with it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import av

from streamwatch.clock import Clock
from streamwatch.config.schema import Clips
from streamwatch.evidence.collector import ClipDone
from streamwatch.records import Event
from streamwatch.retry import caught
from streamwatch.threads import ThreadGuard
from streamwatch.video.clips.file import ClipFile
from streamwatch.video.clips.ring import ClipRing, Cursor

log = logging.getLogger(__name__)
EVERY_S = 0.25
STOP_S = 10.0
_REFUSED = (OSError, ValueError, av.error.FFmpegError)
LATE_S = 10.0
"""How long the end of a clip is waited for, if the camera sends nothing more."""


@dataclass(eq=False)
class _Job:
    """A clip in the making.

    Attributes:
        until_s: what is decoded by then belongs to it, on the frames' time line.
        cap_s: it ends there at the latest.
        event: as it ended; None while it goes on.
        give_up_at_s: when the rest is no longer waited for, on the monotonic clock.
    """

    ring: ClipRing
    cursor: Cursor
    path: Path
    until_s: float
    cap_s: float
    file: ClipFile | None = None
    event: Event | None = None
    done: ClipDone | None = None
    give_up_at_s: float = 0.0
    complete: bool = False
    failed: bool = False


class ClipRecorder:
    """Writes the clips of all cameras.

    Args:
        rings: of the cameras that have one; it changes as cameras come and go.
        on_written: told whether the disk takes what is written.
    """

    def __init__(
        self, folder: Path, rules: Clips, rings: Mapping[str, ClipRing], *, clock: Clock, on_written: Callable[[bool], None]
    ) -> None:
        self._folder, self._rules, self._rings, self._clock = folder, rules, rings, clock
        self._on_written = on_written
        self._lock = threading.Lock()
        self._jobs: dict[tuple[str, str], _Job] = {}
        self._ending: list[_Job] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, guard: ThreadGuard) -> None:
        """Begin to write."""
        self._thread = guard.start("clips", self._run, self._stop)

    def stop(self) -> None:
        """Finish all clips with what there is."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(STOP_S)
            if not self._thread.is_alive():  # else the disk hangs; what is written plays
                self.run_once(last=True)
            self._thread = None

    def begin(self, event: Event) -> None:
        """An event started: its clip begins."""
        ring = self._rings.get(event.camera)
        from_s = event.start_time_s - self._rules.pre_roll
        cursor = ring.open_at(from_s) if ring else None
        if ring is None or cursor is None:
            return
        until_s = event.start_time_s + self._rules.post_roll
        path = self._folder / f"{event.id}.mp4"
        with self._lock:
            self._jobs[event.camera, event.zone] = _Job(ring, cursor, path, until_s, from_s + self._rules.max_length)

    def extend(self, camera: str, zone: str, time_s: float) -> None:
        """What is seen at ``time_s`` belongs to the event."""
        job = self._jobs.get((camera, zone))
        if job is not None:
            job.until_s = max(job.until_s, time_s + self._rules.post_roll)

    def finish(self, event: Event, done: ClipDone) -> None:
        """An event ended; ``done`` is told what its clip came to, if it has one."""
        with self._lock:
            job = self._jobs.pop((event.camera, event.zone), None)
            if job is None:
                return
            ended_s = event.start_time_s if event.end_time_s is None else event.end_time_s
            job.until_s = ended_s + self._rules.post_roll
            job.give_up_at_s = self._clock.monotonic_s() + self._rules.post_roll + LATE_S
            job.event, job.done = event, done
            self._ending.append(job)

    def run_once(self, *, last: bool = False) -> None:
        """Write what has come since.

        Args:
            last: nothing more will come.
        """
        with self._lock:
            jobs = [*self._jobs.values(), *self._ending]
        for job in jobs:
            self._perform(job, last=last)
            if job.complete and job.event is not None:
                with self._lock:
                    self._ending.remove(job)
                self._notify_done(job, job.event)

    def _run(self) -> None:
        while not self._clock.wait(self._stop, EVERY_S):
            self.run_once()

    def _perform(self, job: _Job, *, last: bool) -> None:
        """One clip; a defect in writing it costs that clip, and not the others."""
        failure = None if job.complete else caught(lambda: self._write(job, last=last))
        if failure is not None:
            log.error("clip %s: internal fault", job.path.name, exc_info=failure, extra={"event_id": job.path.stem})
            self._fail(job, failure)
            job.complete = True

    def _write(self, job: _Job, *, last: bool) -> None:
        ending, over = (
            job.event is not None,
            job.cursor.run.ended,
        )  # before reading: what comes meanwhile is read the next time
        until_s = min(job.until_s, job.cap_s)
        packets, all_there = job.ring.read(job.cursor, until_s)
        try:
            if packets and job.file is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                job.file = ClipFile(job.path, job.cursor.run)
            if packets and job.file is not None:
                job.file.write(packets)
        except _REFUSED as error:
            self._fail(job, error)
        ended = ending and (all_there or self._clock.monotonic_s() >= job.give_up_at_s)
        broken_off = over or (all_there and until_s == job.cap_s)
        if job.failed or last or ended or broken_off:
            self._complete(job)

    def _complete(self, job: _Job) -> None:
        job.complete = True
        job.ring.close(job.cursor)
        if job.file is not None and not job.failed:
            try:
                job.file.close()
                self._on_written(True)
            except _REFUSED as error:
                self._fail(job, error)

    def _fail(self, job: _Job, error: Exception) -> None:
        job.failed = True
        log.warning(
            "clip %s not written: %s", job.path.name, error, extra={"event_id": job.path.stem}
        )  # evidence must never stop detection
        self._on_written(False)

    def _notify_done(self, job: _Job, event: Event) -> None:
        file = job.file
        if job.done is not None and file is not None and file.from_s is not None and file.to_s is not None:
            facts = {"from_s": round(file.from_s, 3), "to_s": round(file.to_s, 3), "copied": job.cursor.run.copied}
            job.done(event, {**facts, "complete": not job.failed, "gaps": job.cursor.gaps})
