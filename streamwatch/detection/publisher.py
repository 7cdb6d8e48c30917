"""From changes to everybody who is told: stored first, then counted, written as evidence, and told to subscribers.

A thread of its own, because a database or a disk may hang and scoring must not: what happens waits here, in order. A database
that refuses, for whatever reason, is tried again for as long as the process lives; of what is too much the oldest is lost,
counted and told. Where recordings are read (``lossless``), nothing may be lost, and a refusal for good ends the run.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from streamwatch.clock import Clock
from streamwatch.detection.recorder import MAX_AT_ONCE, ChangeRecorder, EventRecorder
from streamwatch.detection.waiting import Publication, WaitingChanges
from streamwatch.enums import Degradation, EventType, LatencyStage
from streamwatch.errors import StoreError, StoreUnavailable, StreamwatchError
from streamwatch.evidence.writer import EvidenceWriter
from streamwatch.metrics import Metrics
from streamwatch.records import EventChange, Notice
from streamwatch.retry import Backoff, caught, run_forever
from streamwatch.scores import FrameScore
from streamwatch.threads import ThreadGuard

log = logging.getLogger(__name__)
Subscriber = Callable[[EventChange, Path | None], None]
NoticeSubscriber = Callable[[Notice], None]
ScoreSubscriber = Callable[[FrameScore, bool], None]
"""Told of every scored frame, and whether it counts, by the scoring thread, which waits for it."""
MAX_WAITING = 20_000
"""Changes that may wait: 64 cameras that each change every second for five minutes. Beyond it the oldest are lost."""
HANGS_AFTER_S = 10.0
"""Longer than SQLite waits for another process's lock."""
STORE_BACKOFF = Backoff(first_s=0.2, max_s=5.0)


@dataclass(frozen=True)
class Subscribers:
    """Who is told of event changes and notices, after they are stored."""

    changes: tuple[Subscriber, ...] = ()
    notices: tuple[NoticeSubscriber, ...] = ()
    scores: tuple[ScoreSubscriber, ...] = ()


class Publisher:
    """Publishes in the order in which it is told.

    Args:
        writer: writes evidence after the event is stored; subscribers are told where in its folder the heat map will be.
        on_degraded: told when what happens begins to wait for the database, and when that is over.
        on_stuck: told of a degradation that cannot be stored, because it is the database's own.
        max_waiting: changes that may wait before the oldest are lost, or a recording's run is given up.
    """

    def __init__(
        self,
        store: EventRecorder,
        writer: EvidenceWriter,
        *,
        subscribers: Subscribers,
        metrics: Metrics,
        clock: Clock,
        on_degraded: Callable[[Degradation, bool], None] = lambda *_: None,
        on_stuck: Callable[[Degradation], None] = lambda _: None,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._store, self._writer = store, writer
        self._subscribers, self._metrics, self._clock = subscribers, metrics, clock
        self._on_degraded, self._on_stuck, self._max_waiting = on_degraded, on_stuck, max_waiting
        self._strict = writer.lossless
        self._recorder = ChangeRecorder(store, metrics, strict=self._strict)
        self._waiting = WaitingChanges(clock, lossless=writer.lossless)
        self._open: set[str] = set()
        self._hangs = self._loses = False
        self._ending = threading.Event()
        self._give_up = threading.Event()
        self._thread: threading.Thread | None = None
        self.failure: Exception | None = None
        self.failed = threading.Event()

    def start(self, guard: ThreadGuard) -> None:
        """Begin to publish."""
        self._waiting.open()
        self._thread = guard.start("publisher", self._run, self._give_up, wait_at_most_s=1.0)

    def publish(self, publication: Publication) -> None:
        """Have it stored and told; returns at once, from any thread, unless recordings are read as fast as may be."""
        given_up = self._waiting.put(replace(publication, token=self._store.token_of(publication.camera)))
        self._show_waiting()
        self._writer.count_given_up(given_up)
        if len(self._waiting) > self._max_waiting:
            self._overflow()

    def check_progress(self) -> None:
        """Tell it when the database hangs, rather than refuses; called now and then by another thread."""
        stuck_s = self._waiting.stuck_s()
        if stuck_s <= HANGS_AFTER_S:
            self._hangs = False
        elif not self._hangs:
            self._hangs = True
            log.error("the database has taken nothing for %.0f s, %d changes wait", stuck_s, len(self._waiting))
            self._on_stuck(Degradation.STORE_WAITS)

    def stop(self, timeout_s: float) -> bool:
        """Publish what waits, and end; False if not all could be stored or told."""
        self._ending.set()
        self._waiting.close()
        if self._thread is not None:
            self._thread.join(timeout_s)
            self._give_up.set()
            if self._thread.is_alive():
                log.error("%d changes were not stored: the database does not answer", len(self._waiting))
                return False
        return self.failure is None

    def publish_waiting(self) -> None:
        """Publish all that waits, in the caller's thread.

        Raises:
            StoreError: the database refuses; what it refused still waits.
        """
        while waiting := self._waiting.oldest(MAX_AT_ONCE):
            for publication, stored in zip(waiting, self._recorder.record(waiting), strict=True):
                if stored:
                    self._notify(publication)
                elif isinstance(publication.item, EventChange) and publication.item.type == EventType.ANOMALY_ENDED:
                    _count_open(publication.item, self._open, self._metrics)  # over for this process, whoever else tells of it
                self._waiting.done()
            self._show_waiting()

    def _overflow(self) -> None:
        if self._strict:
            self._fail(StoreError(f"the database did not take {self._max_waiting} changes", hint="check it and its disk"))
            return
        self._metrics.changes_dropped.inc(self._waiting.give_up_oldest())
        if not self._loses:
            self._loses = True
            log.error("the database takes nothing and %d changes wait: from now on the oldest are lost", self._max_waiting)
            self._on_stuck(Degradation.CHANGES_LOST)

    def _show_waiting(self) -> None:
        self._metrics.queue_length.labels("changes").set(len(self._waiting))

    def _run(self) -> None:
        def go_on() -> None:
            while not (self._ending.is_set() and not self._waiting) and not self._give_up.is_set():
                # Asked to end, it waits no longer for the next try, and from then on only until it is given up.
                stop = self._give_up if self._ending.is_set() else self._ending
                run_forever(self._iterate, clock=self._clock, stop=stop, on_failure=self._report_waiting, backoff=STORE_BACKOFF)

        failure = caught(go_on)
        if failure is None:
            return
        if not self._strict:
            raise failure
        self._fail(failure)

    def _iterate(self) -> None:
        self._waiting.wait()
        try:
            self.publish_waiting()
        except StoreUnavailable:
            raise
        except StreamwatchError as error:
            if self._strict:
                raise _Refused(error) from error
            raise
        self._loses = False
        self._on_degraded(Degradation.CHANGES_LOST, False)
        self._on_degraded(Degradation.STORE_WAITS, False)

    def _report_waiting(self, error: StreamwatchError, delay_s: float) -> None:
        log.warning("%s; trying again in %.1f s, %d changes wait", error, delay_s, len(self._waiting))
        self._on_degraded(Degradation.STORE_WAITS, True)

    def _fail(self, failure: Exception) -> None:
        self.failure = self.failure or (failure.error if isinstance(failure, _Refused) else failure)
        self._give_up.set()
        self.failed.set()

    def _notify(self, publication: Publication) -> None:
        """Everybody who hears of what is stored."""
        item = publication.item
        if isinstance(item, Notice):
            self._metrics.events.labels(item.camera, item.type).inc()
            for notice_subscriber in self._subscribers.notices:
                self._tell(partial(notice_subscriber, item))
            return
        _count(item, publication.captured_at_s, self._metrics, self._clock)
        _count_open(item, self._open, self._metrics)
        evidence = publication.evidence
        if evidence is not None:
            self._writer.put(evidence)
        snapshot = evidence.snapshot_path(self._writer.folder) if evidence is not None else None
        for subscriber in self._subscribers.changes:
            self._tell(partial(subscriber, item, snapshot))

    def _tell(self, subscriber: Callable[[], None]) -> None:
        """A subscriber that fails ends a recording's run, and not what is stored until then; of a daemon it ends nothing."""
        if self.failure is not None:
            return
        failure = caught(subscriber)
        if failure is not None and self._strict:
            self.failure = failure
            self.failed.set()
        elif failure is not None:
            log.error("a subscriber failed", exc_info=failure)


def _count(change: EventChange, captured_at_s: float | None, metrics: Metrics, clock: Clock) -> None:
    """How many there are; and of a start how long it took since its deciding frame was decoded, the event as exemplar."""
    event = change.event
    metrics.events.labels(event.camera, change.type).inc()
    if event.end_wall_s is not None:
        metrics.event_duration.observe(event.end_wall_s - event.start_wall_s)
    if change.type == EventType.ANOMALY_STARTED and captured_at_s is not None:
        latency_s = max(clock.monotonic_s() - captured_at_s, 0.0)
        metrics.frame_latency.labels(LatencyStage.CAPTURE_TO_EVENT).observe(latency_s, {"event_id": event.id})


def _count_open(change: EventChange, opened: set[str], metrics: Metrics) -> None:
    """How many are open; an end whose start was lost ends none."""
    event_id, gauge = change.event.id, metrics.events_open.labels(change.event.camera)
    if change.type == EventType.ANOMALY_STARTED and event_id not in opened:
        opened.add(event_id)
        gauge.inc()
    elif change.type == EventType.ANOMALY_ENDED and event_id in opened:
        opened.remove(event_id)
        gauge.dec()


class _Refused(Exception):
    """Carries a refusal for good past the loop that tries again."""

    def __init__(self, error: StreamwatchError) -> None:
        super().__init__(str(error))
        self.error = error
