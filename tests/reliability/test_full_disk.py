"""A disk full to the last byte, or gone: cameras are watched on, what happens waits, and that is told without the disk."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.site import FEW_DIMS, Site, running_site
from streamwatch.enums import Degradation, EventType
from streamwatch.store.event_store import EventQuery, EventStore
from streamwatch.store.sessions import open_database
from tests.reliability.test_slow_disk import ext4
from tools.receiver import Receiver, running_receiver

pytestmark = [pytest.mark.paced, pytest.mark.slow(42)]
TOLD_WITHIN_S = 40.0
FPS = 2.0


def fill(folder: Path) -> Path:
    """A file that takes what is free, to the last byte."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file:
        for size in (2**20, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    return path


def degradations(receiver: Receiver) -> list[str]:
    told = [request.event for request in list(receiver.received)]
    return [str(event["data"]["what"]) for event in told if event["type"].endswith(EventType.SYSTEM_DEGRADED)]


EXT4_IOC_SHUTDOWN = 0x8004587D
"""_IOR('X', 125, u32) of Linux's ext4.h: from then on every access is an input/output error, as of a disk unplugged."""


def unplug(folder: Path) -> None:
    """Have the file system of ``folder`` fail for good."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("I", 1))
    finally:
        os.close(descriptor)


def site_told_to(receiver: Receiver) -> dict[str, Any]:
    return {
        "defaults": {"max_duration": "2s", "min_duration": "0s", "cooldown": "0s", "end_delay": "0s"},
        "alerts": {"webhooks": [{"name": "ops", "url": receiver.url, "events": ["*"]}]},
    }


def make_everything_an_event(site: Site) -> None:
    document = site.config_path.read_text().replace('"source"', '"threshold": 0.05, "source"')
    site.config_path.write_text(document)


def assert_watched_until_told(site: Site, receiver: Receiver) -> None:
    """Somebody is told that what happens cannot be stored, and until then no camera was left alone."""
    since_s, until_s = time.monotonic(), time.monotonic() + TOLD_WITHIN_S
    while Degradation.STORE_WAITS not in degradations(receiver):
        assert time.monotonic() < until_s, "nobody was told"
        time.sleep(0.1)
    passed_s = time.monotonic() - since_s
    for camera in site.cameras:
        scored = [at_s for at_s in site.observed.scored_at_s[camera] if at_s > since_s]
        assert len(scored) >= FPS * passed_s / 2, camera
    began_s = time.monotonic()
    site.metrics.exposition()
    assert time.monotonic() - began_s < 1.0
    assert not site.service.parts.loop.ended.is_set()


def test_a_full_disk_stops_no_camera_and_is_told_without_it(tmp_path: Path) -> None:
    with ext4(tmp_path) as disk, running_receiver() as receiver:
        evidence = disk / "evidence"
        with running_site(tmp_path, 2, fps=FPS, dims=FEW_DIMS, more=site_told_to(receiver), evidence_dir=evidence) as site:
            ballast = fill(disk)
            make_everything_an_event(site)
            assert_watched_until_told(site, receiver)
            ballast.unlink()
            until_s = time.monotonic() + TOLD_WITHIN_S
            while site.metrics.registry.get_sample_value("streamwatch_queue_length", {"queue": "changes"}):
                assert time.monotonic() < until_s, "what waited was not stored"
                time.sleep(0.1)
            assert not site.metrics.registry.get_sample_value("streamwatch_changes_dropped_total")
        engine = open_database(None, evidence)
        store = EventStore(engine)
        events = store.list_events(EventQuery(limit=10_000))
        assert {event.camera for event in events} == set(site.cameras)
        assert not [event for event in events if event.end_wall_s is None]
        store.close()


def test_a_disk_that_is_gone_stops_no_camera_and_is_told_without_it(tmp_path: Path) -> None:
    with ext4(tmp_path) as disk, running_receiver() as receiver:
        more = site_told_to(receiver)
        evidence = disk / "evidence"
        with running_site(tmp_path, 2, fps=FPS, dims=FEW_DIMS, more=more, evidence_dir=evidence, may_fail=True) as site:
            unplug(disk)
            make_everything_an_event(site)
            assert_watched_until_told(site, receiver)
        assert ["not all that happened was stored" in str(failure) for failure in site.failures] == [True]
