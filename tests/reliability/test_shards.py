"""Two processes share a site and a PostgreSQL: one is killed in mid-event and comes back, which is nothing to the other.

``benchmarks.crashes`` kills a process that is alone, 20 times.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmarks.crashes import A_FRAGMENT_BYTES, STARTS_WITHIN_S, require_evidence, require_told, strange_loop
from benchmarks.shared_database import require_whole, run
from benchmarks.site import FEW_DIMS, RATE_HZ, courtyard_loop, learn, site_config
from streamwatch.config.sharding import spread_of
from streamwatch.evidence.layout import path_of
from streamwatch.records import Event, UInt8Array
from streamwatch.simulator.media import encode_track
from streamwatch.simulator.server import SimulatedCamera
from streamwatch.store.event_store import EventQuery, EventStore
from streamwatch.store.sessions import open_database
from tests.conftest import REPOSITORY
from tests.databases import open_admin
from tools.postgres import running_postgres, server_programs
from tools.receiver import running_receiver

pytestmark = pytest.mark.slow(50)
RELIEVED_WITHIN_S = 30


def strange_for_good() -> Iterator[UInt8Array]:
    """The courtyard with something in it that does not belong and does not leave."""
    for picture in courtyard_loop():
        picture[320:448, 32:192] = (255, 240, 0)
        yield np.asarray(picture)


class Shard:
    """One of the processes, which says on stdout what it sees."""

    def __init__(self, config: Path, share: str, log: Path) -> None:
        command = [sys.executable, "-m", "streamwatch", "run", "-c", str(config), "--shard", share]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self._path = log
        with log.open("w") as stderr:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=REPOSITORY, env=environment
            )

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self._path.read_text()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def next_event(self) -> tuple[str, str]:
        """Id and camera of the next event that begins."""
        assert self._process.stdout
        deadline_s = time.monotonic() + STARTS_WITHIN_S
        while time.monotonic() < deadline_s:
            if select.select([self._process.stdout], [], [], 1.0)[0]:
                line = self._process.stdout.readline()
                assert line, f"it has ended:\n{self.log}"
                document = json.loads(line)
                if document.get("type") == "anomaly.started":
                    return document["id"], document["camera"]
        raise AssertionError(f"no event in time:\n{self.log}")

    def end(self, number: signal.Signals) -> None:
        self._process.send_signal(number)  # which is nothing to one that has ended
        self._process.communicate(timeout=30)


@contextmanager
def shard(config: Path, share: str, log: Path) -> Iterator[Shard]:
    running = Shard(config, share, log)
    try:
        yield running
    finally:
        running.end(signal.SIGKILL)


@contextmanager
def simulated(pictures: Iterator[UInt8Array]) -> Iterator[SimulatedCamera]:
    camera = SimulatedCamera(encode_track(pictures, RATE_HZ))
    camera.start()
    try:
        yield camera
    finally:
        camera.stop()


def test_a_killed_process_closes_its_own_events_and_no_others(postgres: str, tmp_path: Path) -> None:
    admin = open_admin(postgres)
    with admin.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE shards")
    admin.dispose()
    url = f"{postgres}/shards"
    (comes_and_goes, *_), (stays, *_) = spread_of([f"cam{n}" for n in range(16)], 2)
    learn(tmp_path, [comes_and_goes, stays], FEW_DIMS)
    with ExitStack() as stack:
        receiver = stack.enter_context(running_receiver())
        cameras = {
            comes_and_goes: stack.enter_context(simulated(strange_loop())),
            stays: stack.enter_context(simulated(strange_for_good())),
        }
        alerts = {"webhooks": [{"name": "ops", "url": receiver.url, "timeout": "1s"}]}
        document = {**site_config(tmp_path, cameras, 5.0, "tcp", FEW_DIMS), "alerts": alerts, "database": url}
        path = tmp_path / "site.yaml"
        path.write_text(json.dumps(document))
        first = stack.enter_context(shard(path, "0/2", tmp_path / "first.log"))
        second = stack.enter_context(shard(path, "1/2", tmp_path / "second.log"))
        lasting, of = second.next_event()
        assert of == stays
        crashed, of = first.next_event()
        assert of == comes_and_goes
        clip, start = (path_of(tmp_path / "data", kind, crashed) for kind in ("clips", "starts"))
        wait_until(lambda: start.is_file() and clip.is_file() and clip.stat().st_size > A_FRAGMENT_BYTES)
        first.end(signal.SIGKILL)
        again = stack.enter_context(shard(path, "0/2", tmp_path / "again.log"))
        again.next_event()
        store = EventStore(open_database(url, tmp_path))
        stack.callback(store.close)
        assert store.find(crashed).reason == "crash"
        assert store.find(lasting).reason is None, "it is the other process's, which lives"
        again.end(signal.SIGTERM)
        second.end(signal.SIGTERM)
        sender = [sys.executable, "-m", "streamwatch", "alerts", "send", "--until-empty", "-c", str(path)]
        subprocess.run(sender, check=True, cwd=REPOSITORY, timeout=60)
        events = store.list_events(EventQuery(limit=1000))
        assert len({event.id for event in events}) == len(events) >= 3
        assert {event.camera for event in events} == {comes_and_goes, stays}
        assert reason_of(events, lasting) == "shutdown"
        require_told([event.id for event in events], receiver)
        require_evidence(tmp_path / "data", [event for event in events if event.id == crashed])


@pytest.mark.paced
def test_a_process_that_hangs_is_relieved_and_does_no_harm_when_it_comes_back(postgres: str, tmp_path: Path) -> None:
    """Two are given the same share by mistake, each with a folder of its own."""
    admin = open_admin(postgres)
    with admin.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE relieved")
    admin.dispose()
    url = f"{postgres}/relieved"
    with ExitStack() as stack:
        receiver = stack.enter_context(running_receiver())
        cameras = {"dock": stack.enter_context(simulated(strange_loop()))}
        alerts = {"webhooks": [{"name": "ops", "url": receiver.url, "timeout": "1s"}]}
        paths = []
        for name in ("first", "second"):
            learn(tmp_path / name, list(cameras), FEW_DIMS)
            document = {**site_config(tmp_path / name, cameras, 5.0, "tcp", FEW_DIMS), "alerts": alerts, "database": url}
            paths.append(tmp_path / name / "site.yaml")
            paths[-1].write_text(json.dumps(document))
        first = stack.enter_context(shard(paths[0], "0/1", tmp_path / "first.log"))
        left_open, _ = first.next_event()
        second = stack.enter_context(shard(paths[1], "0/1", tmp_path / "second.log"))
        wait_until(lambda: "ready" in second.log or "shard 0/1 takes" in second.log)
        first.send(signal.SIGSTOP)
        stopped_s = time.monotonic()
        second.next_event()
        assert time.monotonic() - stopped_s < RELIEVED_WITHIN_S
        first.send(signal.SIGCONT)
        wait_until(lambda: "camera dock: another process watches it now" in first.log)
        second.next_event()
        store = EventStore(open_database(url, tmp_path))
        stack.callback(store.close)
        assert store.find(left_open).reason in ("crash", "normal")
        for running in (first, second):
            running.end(signal.SIGTERM)
        sender = [sys.executable, "-m", "streamwatch", "alerts", "send", "--until-empty", "-c", str(paths[1])]
        subprocess.run(sender, check=True, cwd=REPOSITORY, timeout=60)
        events = sorted(store.list_events(EventQuery(limit=1000)), key=lambda event: event.start_wall_s)
        assert all(event.reason for event in events), "none is left open"
        for before, after in pairwise(events):
            assert before.end_wall_s is not None
            assert before.end_wall_s <= after.start_wall_s, "never do two processes tell of the camera at a time"
        require_told([event.id for event in events], receiver)


@pytest.mark.paced
def test_a_shared_database_that_is_killed_has_everything_once_when_it_is_back(tmp_path: Path) -> None:
    programs = server_programs()
    if programs is None:
        pytest.skip("skipped: no PostgreSQL server on this machine (Debian package postgresql)")
    (tmp_path / "server").mkdir()
    with running_postgres(programs, tmp_path / "server") as server:
        told = run(server, events_hz=50.0, seconds=4.0, away_s=1.0)
        require_whole(f"{server.url}/postgres", told)
    assert all(len(one.ids) > 150 for one in told)
    assert max(one.most for one in told) > 20, "it was away while they went on"


def wait_until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def reason_of(events: list[Event], event_id: str) -> str | None:
    return next(event.reason for event in events if event.id == event_id)
