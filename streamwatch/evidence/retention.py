"""How long evidence is kept: by age, by size, and by what is free; the oldest goes first, what people marked stays.

An event's row goes before its files: a crash between the two leaves files without an event, which are swept up an hour later,
and never an event that promises files. Every step is small, so that the database is never held for long.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from streamwatch.clock import Clock
from streamwatch.config.schema import Retention
from streamwatch.errors import StoreError
from streamwatch.evidence.layout import KINDS, evidence_of
from streamwatch.evidence.trusted_time import TrustedTime
from streamwatch.metrics import Metrics
from streamwatch.model.calibration.thresholds import DAY_S
from streamwatch.store.event_store import EventStore
from streamwatch.store.outbox.administration import OutboxAdministration

log = logging.getLogger(__name__)
STEP_EVENTS = 50
STEP_MESSAGES = 500
STEP_PAUSE_S = 0.1
EVERY_S = 60.0
ORPHAN_AFTER_S = 3600.0


class Usage(NamedTuple):
    """A file system, as ``shutil.disk_usage`` tells it."""

    total: int
    used: int
    free: int


def _disk_usage(folder: Path) -> Usage:
    return Usage(*shutil.disk_usage(folder))


@dataclass
class _Listing:
    """The files of evidence by event, with what each takes."""

    files: dict[str, dict[Path, int]]

    @classmethod
    def of(cls, folder: Path) -> _Listing:
        return cls({event_id: {path: _size(path) for path in paths} for event_id, paths in evidence_of(folder).items()})

    @property
    def sizes(self) -> dict[str, int]:
        return {event_id: sum(paths.values()) for event_id, paths in self.files.items()}

    @property
    def total(self) -> int:
        return sum(self.sizes.values())

    def drop(self, event_id: str) -> Sequence[Path]:
        """Forget an event's files, which these were."""
        return tuple(self.files.pop(event_id, {}))

    def sizes_by_kind(self) -> dict[str, int]:
        sizes = dict.fromkeys(KINDS, 0)
        for paths in self.files.values():
            for path, size in paths.items():
                sizes[path.parent.name] += size
        return sizes


class RetentionTask:
    """Keeps a data folder within its limits.

    Args:
        rules: told now; they may change while it runs.
        on_full: told when the disk is full and nothing may go, and when that is over.
    """

    def __init__(
        self,
        store: EventStore,
        outbox: OutboxAdministration,
        folder: Path,
        rules: Callable[[], Retention],
        *,
        clock: Clock,
        metrics: Metrics,
        on_full: Callable[[bool], None] = lambda _: None,
        disk_usage: Callable[[Path], Usage] = _disk_usage,
    ) -> None:
        self._store, self._outbox, self._folder, self._rules = store, outbox, folder, rules
        self._clock, self._metrics, self._time = clock, metrics, TrustedTime(clock)
        self._on_full, self._disk_usage = on_full, disk_usage
        self._full = False
        self._listing: _Listing | None = None

    def run(self, stop: threading.Event) -> None:
        """Keep within the limits until stopped."""
        wait_s = EVERY_S
        while not self._clock.wait(stop, wait_s):
            try:
                wait_s = STEP_PAUSE_S if self.run_once() else EVERY_S
            except (StoreError, OSError) as error:
                log.warning("retention: %s", error)
                wait_s = EVERY_S

    def run_once(self) -> int:
        """Take one small step of a pass; how many events went, and 0 at the end of the pass.

        The files are listed once a pass: listing them for each step would read the whole tree a thousand times.

        Raises:
            StoreError: the database refuses.
        """
        listing = self._listing or _Listing.of(self._folder)
        self._listing = None  # whatever goes wrong, the next step looks again
        usage = self._disk_usage(self._folder)
        gone = self._step(listing, usage)
        if gone:
            self._listing = listing
        else:
            self._sweep(listing)
        self._show(listing, usage)
        return gone

    def _step(self, listing: _Listing, usage: Usage) -> int:
        rules = self._rules()
        before_s = self._now_s() - rules.days * DAY_S
        self._outbox.forget_delivered(before_s=before_s, limit=STEP_MESSAGES)
        expired = self._store.expendable(before_s=before_s, limit=STEP_EVENTS)
        excess = max(listing.total - rules.max_bytes, rules.min_free * usage.total - usage.free)
        crowded = self._oldest(listing.sizes, excess) if not expired and excess > 0 else []
        self._notify_if_full(excess > 0 and not expired and not crowded)
        self._forget(expired or crowded, listing)
        return len(expired or crowded)

    def _oldest(self, sizes: Mapping[str, int], excess: float) -> list[str]:
        """The oldest events that may go and whose files make room enough, at most a step; ids are ordered by time."""
        chosen: list[str] = []
        free = self._store.known(sorted(sizes), expendable=True)
        for event_id in sorted(free):
            if excess <= 0 or len(chosen) == STEP_EVENTS:
                break
            chosen.append(event_id)
            excess -= sizes[event_id]
        return chosen

    def _forget(self, event_ids: Sequence[str], listing: _Listing) -> None:
        if event_ids:
            self._store.forget(event_ids)
            for event_id in event_ids:
                _remove(listing.drop(event_id))
            log.info("retention: %d events and their evidence removed", len(event_ids))

    def _sweep(self, listing: _Listing) -> None:
        """Remove files of no event; a new one's may come before its row is read here."""
        now_s = self._now_s()
        known = self._store.known(sorted(listing.files))
        for event_id, paths in listing.files.items():
            if event_id not in known:
                _remove([path for path in paths if _age_s(path, now_s) > ORPHAN_AFTER_S])

    def _now_s(self) -> float:
        return self._time.now_s(self._store.newest_wall_s(), self._rules().days * DAY_S)

    def _show(self, listing: _Listing, usage: Usage) -> None:
        for kind, size in listing.sizes_by_kind().items():
            self._metrics.storage_bytes.labels(kind).set(size)
        self._metrics.storage_free_bytes.set(usage.free)
        self._metrics.storage_size_bytes.set(usage.total)

    def _notify_if_full(self, full: bool) -> None:
        if full != self._full:
            self._full = full
            self._on_full(full)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _age_s(path: Path, now_s: float) -> float:
    try:
        return now_s - path.stat().st_mtime
    except OSError:
        return 0.0


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink()
