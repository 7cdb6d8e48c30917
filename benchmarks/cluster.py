"""A Ray cluster of three nodes watches simulated cameras: one is killed, comes back, and at last the head is killed.

``python -m benchmarks.cluster [--cameras 24]`` writes benchmarks/cluster.json: how long cameras of the killed node were watched
by nobody, and whether every event was stored and told exactly once.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from benchmarks.crashes import require_told
from benchmarks.results import Figure, record
from benchmarks.site import FEW_DIMS, RATE_HZ, courtyard_loop, learn, site_config
from streamwatch.cluster.connection import OFF
from streamwatch.records import Event
from streamwatch.simulator.media import encode_track
from streamwatch.simulator.server import SimulatedCamera
from streamwatch.store.event_store import EventQuery, EventStore
from streamwatch.store.processes.leases import all_leases
from streamwatch.store.sessions import open_database
from tools.postgres import running_postgres, server_programs
from tools.receiver import Receiver, running_receiver

NODES = ("n0", "n1", "n2")
SLOWER = 5
"""The cameras send every fifth picture of the courtyard, at a fifth of its rate: a loop takes as long, and decoding less."""
SOON = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_failure_threshold": 3}
"""Ray's own defaults take up to half a minute to find a node dead."""
STRANGE_PICTURES = 40
STARTS_WITHIN_S = 120.0
THRESHOLD = 1.2
"""Set, because to a camera that still calibrates itself what is strange so often is normal."""


@dataclass(frozen=True)
class Found:
    """What it came to.

    Attributes:
        moved: cameras of the killed node.
        leased_within_s: when the last of them was another node's, after the kill.
        seen_within_s: when the last of them had an event again; each has one in 10 s.
        back_within_s: when the node that came back had its part again.
        after_head: events that began after the head was killed.
        events: stored in all, each of which the receiver was told once.
    """

    cameras: int
    moved: int
    leased_within_s: float
    seen_within_s: float
    back_within_s: float
    after_head: int
    events: int


class Nodes:
    """Three nodes of this machine, each with its processes."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster  # noqa: PLC0415 - an extra that few have

        os.environ.update(OFF)
        head = {"node_name": NODES[0], "num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args={**head, "_system_config": SOON})
        self._nodes = {NODES[0]: self._cluster.head_node}
        for name in NODES[1:]:
            self.add(name)

    @property
    def address(self) -> str:
        """Of the head."""
        return str(self._cluster.address)

    def add(self, name: str) -> None:
        """One more, or one that comes back."""
        self._nodes[name] = self._cluster.add_node(node_name=name, num_cpus=1, object_store_memory=100 << 20)

    def kill(self, name: str, folder: Path) -> None:
        """As a machine dies: Ray's processes, their workers and the shard, all before any of them sees another die."""
        node = self._nodes.pop(name)
        raylets = [info.process.pid for infos in node.all_processes.values() for info in infos]
        shard = int((folder / f"{name}.pid").read_text())
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in [*raylets, *(child for parent in raylets for child in children_of(parent)), shard]:
                os.kill(pid, number)
        self._cluster.remove_node(node, allow_graceful=False)

    def kill_head(self) -> None:
        """Ray's processes of the head alone; its shard goes on."""
        self._cluster.head_node.kill_all_processes(check_alive=False, allow_graceful=False)

    def close(self) -> None:
        """End what is left of it."""
        self._cluster.shutdown()


def children_of(pid: int) -> list[int]:
    """The processes that a process has begun and that live."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


@contextmanager
def simulated(count: int) -> Iterator[dict[str, SimulatedCamera]]:
    """Cameras that all show the same: of each 10 s something strange for 4."""
    pictures = []
    for number, picture in enumerate(courtyard_loop()):
        if number < STRANGE_PICTURES:
            picture[320:448, 32:192] = (255, 240, 0)
        if number % SLOWER == 0:
            pictures.append(np.asarray(picture))
    track = encode_track(iter(pictures), RATE_HZ / SLOWER)
    cameras = {f"cam{number:02d}": SimulatedCamera(track) for number in range(count)}
    for camera in cameras.values():
        camera.start()
    try:
        yield cameras
    finally:
        for camera in cameras.values():
            camera.stop()


@dataclass
class Running:
    """The site, and what is stored of it."""

    nodes: Nodes
    shards: Path
    database: Engine
    store: EventStore
    cameras: tuple[str, ...]

    def placed(self) -> dict[str, list[str]]:
        """By shard, the cameras that its file names."""
        files = {name: self.shards / f"{name}.json" for name in NODES}
        return {name: json.loads(file.read_text())["cameras"] for name, file in files.items() if file.is_file()}

    def holders(self) -> dict[str, str]:
        """By camera, the shard whose lease is in force."""
        now_s = time.time()
        return {lease.camera: lease.holder.split()[1] for lease in all_leases(self.database) if lease.until_wall_s > now_s}

    def events(self) -> list[Event]:
        """All that are stored."""
        return self.store.list_events(EventQuery(limit=100_000))

    def seen_since(self, wall_s: float) -> set[str]:
        """The cameras of which an event began after that."""
        return {event.camera for event in self.events() if event.start_wall_s > wall_s}


def wait_for(holds: Callable[[], bool], within_s: float, what: str) -> float:
    """Wait; how long it took."""
    began_s = time.monotonic()
    while not holds():
        if time.monotonic() - began_s > within_s:
            raise AssertionError(f"not within {within_s:.0f} s: {what}")
        time.sleep(0.25)
    return time.monotonic() - began_s


def kill_and_return(site: Running) -> dict[str, float]:
    """A node is killed, its cameras are seen elsewhere, and it comes back."""
    victim, mine = NODES[2], set(site.placed()[NODES[2]])
    killed_wall_s, began_s = time.time(), time.monotonic()
    site.nodes.kill(victim, site.shards)
    wait_for(lambda: all(site.holders().get(camera, victim) != victim for camera in mine), 60, "leases of others")
    leased_s = time.monotonic() - began_s
    wait_for(lambda: mine <= site.seen_since(killed_wall_s + 1.0), 60, "events of its cameras")
    seen_s = time.monotonic() - began_s
    site.nodes.add(victim)
    fair = len(site.cameras) // len(NODES)
    back_s = wait_for(lambda: Counter(site.holders().values())[victim] >= fair, 60, "its part again")
    return {"moved": len(mine), "leased_within_s": leased_s, "seen_within_s": seen_s, "back_within_s": back_s}


def run(folder: Path, url: str, count: int, fps: float) -> Found:
    """All of it."""
    with ExitStack() as stack:
        receiver = stack.enter_context(running_receiver())
        cameras = stack.enter_context(simulated(count))
        learn(folder, list(cameras), FEW_DIMS)
        alerts = {"webhooks": [{"name": "ops", "url": receiver.url, "timeout": "2s"}]}
        document = {**site_config(folder, cameras, fps, "tcp", FEW_DIMS), "alerts": alerts, "database": url}
        for camera in document["cameras"].values():
            camera["threshold"] = THRESHOLD
        config = folder / "site.yaml"
        config.write_text(json.dumps(document))
        database = open_database(url, folder)
        stack.callback(database.dispose)
        nodes = Nodes()
        stack.callback(nodes.close)
        site = Running(nodes, folder / "data/cluster", database, EventStore(database), tuple(cameras))
        stack.callback(end_shards, site)
        command = [sys.executable, "-m", "streamwatch", "cluster", "run", "-c", str(config), "--address", nodes.address]
        with (folder / "run.log").open("w") as log:
            running = subprocess.Popen(command, stderr=log)
        stack.callback(running.wait, 30)
        stack.callback(running.terminate)
        wait_for(lambda: site.seen_since(0.0) == set(cameras), STARTS_WITHIN_S, "an event of every camera")
        found = kill_and_return(site)
        nodes.kill_head()
        headless_s = time.time()
        wait_for(lambda: site.seen_since(headless_s + 1.0) == set(cameras), 90, "events without a head")
        after = len(site.seen_since(headless_s + 1.0))
        end_shards(site)
        sender = [sys.executable, "-m", "streamwatch", "alerts", "send", "--until-empty", "-c", str(config)]
        subprocess.run(sender, check=True, timeout=120)
        events = require_once(site, receiver)
        return Found(count, after_head=after, events=events, **found)  # type: ignore[arg-type]


def end_shards(site: Running) -> None:
    """Have every shard's process end, and wait for it."""
    for pid_file in (site.shards / f"{name}.pid" for name in NODES):
        with suppress(FileNotFoundError, ProcessLookupError):
            pid = int(pid_file.read_text())
            os.kill(pid, signal.SIGTERM)
            wait_for(partial(has_ended, pid), 40, f"{pid_file.stem} to end")


def has_ended(pid: int) -> bool:
    """Whether a process is gone; one whose parent did not ask for it has no command line."""
    with suppress(OSError):
        return not Path(f"/proc/{pid}/cmdline").read_bytes()
    return True


def require_once(site: Running, receiver: Receiver) -> int:
    """Every event is whole, no two processes told of a camera at a time, and the receiver was told of each; how many."""
    events = site.events()
    assert all(event.reason for event in events), "none is left open"
    for camera in site.cameras:
        mine = sorted((event for event in events if event.camera == camera), key=lambda event: event.start_wall_s)
        for before, after in pairwise(mine):
            assert before.end_wall_s is not None
            assert before.end_wall_s <= after.start_wall_s, f"{camera}: two at a time"
    require_told([event.id for event in events], receiver)
    return len(events)


def main() -> None:
    """Measure and write benchmarks/cluster.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=int, default=24)
    parser.add_argument("--fps", type=float, default=1.0)
    options = parser.parse_args()
    programs = server_programs()
    if programs is None:
        sys.exit("no PostgreSQL server on this machine (Debian package postgresql)")
    with ExitStack() as stack:
        folder, of_server = (Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2))
        server = stack.enter_context(running_postgres(programs, of_server))
        found = run(folder, f"{server.url}/postgres", options.cameras, options.fps)
    figures = [
        Figure(
            f"{found.moved} of {found.cameras} cameras, their node killed: leased to others",
            round(found.leased_within_s, 1),
            "s",
        ),
        Figure("... an event of each again, one every 10 s", round(found.seen_within_s, 1), "s", "30"),
        Figure("The node back: it has its part again", round(found.back_within_s, 1), "s"),
        Figure("The head killed: cameras of which events are stored and told", found.after_head, "cameras", str(found.cameras)),
        Figure(f"Of {found.events} events lost, or told of twice under one id", 0, "", "0"),
    ]
    record("cluster", "A cluster of three nodes", figures)
    for figure in figures:
        print(f"{figure.what}: {figure.value} {figure.unit}")


if __name__ == "__main__":
    main()
