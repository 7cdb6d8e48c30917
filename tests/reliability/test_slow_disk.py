"""A disk that hangs while cameras are watched: no frame is lost for it, and what happened is complete and in order afterwards.

Two ways: a file system that is really frozen (fsfreeze on a loop device, as backups do it), which holds every write to database
and evidence for half a minute; and a writer that hangs for as long, which needs no privileges.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.site import FEW_DIMS, Site, running_site
from streamwatch.enums import Degradation, EventType
from streamwatch.evidence.layout import evidence_of
from streamwatch.evidence.queue import MAX_WITH_PICTURES
from streamwatch.evidence.writer import WriteFile
from streamwatch.files import write_atomically
from streamwatch.records import Event
from streamwatch.store.event_store import EventQuery, EventStore
from streamwatch.store.outbox.administration import OutboxAdministration
from streamwatch.store.outbox.messages import Message
from streamwatch.store.sessions import open_database
from tools.receiver import running_receiver

pytestmark = [pytest.mark.paced, pytest.mark.slow(88)]
CAMERAS = 8
FPS = 0.8
"""Under half of what two cores score, so that only the disk could cost a frame."""
HANGS_S = 30.0
EVENTS_EVERY_S = 4.0
SCRAPED_WITHIN_S = 1.0


@contextmanager
def ext4(folder: Path) -> Iterator[Path]:
    """A small file system of its own; skips where none can be made."""
    if os.geteuid() or not all(map(shutil.which, ("mkfs.ext4", "mount", "fsfreeze"))):
        pytest.skip("skipped: freezing a file system needs root, mkfs.ext4 and fsfreeze")
    image, mounted = folder / "disk.img", folder / "disk"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(200 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True, capture_output=True)
    done = subprocess.run(["mount", "-o", "loop", str(image), str(mounted)], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"skipped: no loop device can be mounted here ({done.stderr.strip()})")
    try:
        yield mounted
    finally:
        subprocess.run(["umount", "--lazy", str(mounted)], check=False, capture_output=True)


@contextmanager
def frozen(mounted: Path) -> Iterator[None]:
    """Frozen for a while, and thawed by a process of its own whatever becomes of this one."""
    subprocess.run(["fsfreeze", "--freeze", str(mounted)], check=True)
    thaw = f"sleep {HANGS_S}; fsfreeze --unfreeze {mounted}"
    with subprocess.Popen(["sh", "-c", thaw], stdin=subprocess.DEVNULL) as thawing:
        try:
            yield
        finally:
            thawing.wait(HANGS_S + 30)


@contextmanager
def watched(folder: Path, url: str, evidence_dir: Path, write_evidence: WriteFile = write_atomically) -> Iterator[Site]:
    """Cameras of which each begins an event every few seconds, told to an endpoint."""
    more = {
        "defaults": {"max_duration": f"{EVENTS_EVERY_S}s", "min_duration": "1s"},
        "alerts": {"webhooks": [{"name": "ops", "url": url, "events": ["*"]}]},
    }
    with running_site(
        folder, CAMERAS, fps=FPS, dims=FEW_DIMS, more=more, evidence_dir=evidence_dir, write_evidence=write_evidence
    ) as site:
        document = site.config_path.read_text().replace('"source"', '"threshold": 0.05, "source"')
        site.config_path.write_text(document)
        deadline_s = time.monotonic() + 30
        while len({change.event.camera for change in site.observed.changes}) < CAMERAS:
            assert time.monotonic() < deadline_s, "no events"
            time.sleep(0.1)
        yield site


def lost(site: Site) -> dict[str, int]:
    return {camera: sum(site.service.parts.status.drops(camera).values()) for camera in site.cameras}


def scrape_s(site: Site) -> float:
    began_s = time.monotonic()
    site.metrics.exposition()
    return time.monotonic() - began_s


def check_is_watched(site: Site, before: dict[str, int], since_s: float) -> None:
    """No frame was lost, every camera was scored at its rate, by one thread, and monitoring was answered."""
    assert lost(site) == before
    passed_s = time.monotonic() - since_s
    for camera in site.cameras:
        scored = [at_s for at_s in site.observed.scored_at_s[camera] if at_s > since_s]
        assert len(scored) >= FPS * passed_s - 2, camera
    assert [thread.name for thread in threading.enumerate()].count("pipeline") == 1
    assert site.service.parts.loop.failure is None, "the monitors assert that one thread touches them"


def wait_stored(site: Site) -> None:
    """Until nothing waits for the database any more."""
    deadline_s = time.monotonic() + 30
    while site.metrics.registry.get_sample_value("streamwatch_queue_length", {"queue": "changes"}):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def stored(evidence_dir: Path) -> tuple[list[Event], list[Message]]:
    engine = open_database(None, evidence_dir)
    try:
        events = EventStore(engine).list_events(EventQuery(limit=10_000))
        return events[::-1], OutboxAdministration(engine).list_messages(limit=10_000)[::-1]
    finally:
        engine.dispose()


def check_is_complete(events: list[Event], messages: list[Message]) -> None:
    """Each camera's events follow one another without a gap, and of each its start and its end are told, in order."""
    for camera in {event.camera for event in events}:
        chain = [event for event in events if event.camera == camera]
        assert [event.predecessor_id for event in chain[1:]] == [event.id for event in chain[:-1]]
        assert len(chain) >= HANGS_S / (EVENTS_EVERY_S + 2)
        told = [(m.subject, m.type) for m in messages if m.camera == camera and m.type.startswith("anomaly.")]
        told = [(subject, kind) for subject, kind in told if kind != EventType.ANOMALY_UPDATED]
        expected = [(e.id, kind) for e in chain for kind in (EventType.ANOMALY_STARTED, EventType.ANOMALY_ENDED)]
        assert sorted(told) == sorted(expected)
        for event in chain:
            assert [kind for subject, kind in told if subject == event.id] == ["anomaly.started", "anomaly.ended"]
        assert all(event.reason for event in chain)


def test_a_frozen_file_system_costs_no_frame_and_no_event(tmp_path: Path) -> None:
    with ext4(tmp_path) as disk, running_receiver() as receiver:
        with watched(tmp_path, receiver.url, disk) as site:
            before, since_s = lost(site), time.monotonic()
            with frozen(disk):
                time.sleep(HANGS_S - 3)
                assert site.metrics.registry.get_sample_value("streamwatch_queue_length", {"queue": "changes"})
                assert scrape_s(site) < SCRAPED_WITHIN_S
                check_is_watched(site, before, since_s)
            wait_stored(site)
        events, messages = stored(disk)
        check_is_complete(events, messages)
        assert {"starts", "snapshots", "evidence"} <= {p.parent.name for paths in evidence_of(disk).values() for p in paths}


class HangingDisk:
    """Writes evidence, and hangs in it for a while when it is told to."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()

    def write(self, path: Path, content: bytes) -> None:
        self.free.wait(HANGS_S + 30)
        write_atomically(path, content)


def test_a_writer_that_hangs_costs_the_oldest_pictures_alone_and_that_is_told(tmp_path: Path) -> None:
    disk, evidence_dir = HangingDisk(), tmp_path / "evidence"
    with running_receiver() as receiver, watched(tmp_path, receiver.url, evidence_dir, disk.write) as site:
        before, since_s = lost(site), time.monotonic()
        disk.free.clear()
        time.sleep(HANGS_S)
        check_is_watched(site, before, since_s)
        given_up = site.metrics.registry.get_sample_value("streamwatch_evidence_dropped_total")
        assert given_up
        assert site.service.parts.writer.waiting() > MAX_WITH_PICTURES
        disk.free.set()
        deadline_s = time.monotonic() + 30
        while site.service.parts.writer.waiting():
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        time.sleep(1)
        told = [dict(notice.detail) for notice in site.observed.notices if notice.type == EventType.SYSTEM_DEGRADED]
        assert [about["active"] for about in told if about["what"] == Degradation.EVIDENCE_GIVEN_UP] == [True, False]
    events, messages = stored(evidence_dir)
    check_is_complete(events, messages)
    files = evidence_of(evidence_dir)
    documents = {event_id for event_id, paths in files.items() if any(path.parent.name == "evidence" for path in paths)}
    assert documents == {event.id for event in events}, "pictures are given up, and no document"
    pictured = {event_id for event_id, paths in files.items() if any(path.parent.name == "snapshots" for path in paths)}
    assert 0 < len(events) - len(pictured) <= given_up
