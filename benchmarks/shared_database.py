"""Two processes that write into one PostgreSQL, which is killed in mid-stream and comes back: is everything there, and once?

    python -m benchmarks.shared_database [--events-hz 500] [--seconds 20] [--away 5]

Each process is a publisher with leases of its own cameras, as a shard has it: events start and end at a steady rate, each with
whom to tell of it. Needs PostgreSQL's server (Debian package postgresql).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import create_engine, func, select

from benchmarks.results import Figure, record
from streamwatch.alerts.router import NotificationRouter, links_to
from streamwatch.clock import SystemClock
from streamwatch.config.schema import Config
from streamwatch.detection.publisher import Publisher, Subscribers
from streamwatch.detection.waiting import Publication
from streamwatch.enums import EndReason, EventType
from streamwatch.evidence.writer import EvidenceWriter
from streamwatch.ids import uuid7
from streamwatch.metrics import Metrics
from streamwatch.records import Box, Event, EventChange, Peak
from streamwatch.store.event_store import EventStore
from streamwatch.store.processes.leases import CameraLeases
from streamwatch.store.sessions import open_database
from streamwatch.store.tables import events, outbox
from streamwatch.threads import ThreadGuard
from tools.postgres import PostgresServer, running_postgres, server_programs

PROCESSES, CAMERAS = 2, 16
SITE = {
    "version": 1,
    "cameras": {"cam": {"source": "rtsp://127.0.0.1/"}},
    "alerts": {"webhooks": [{"name": "ops", "url": "http://127.0.0.1:9/", "events": ["anomaly.started", "anomaly.ended"]}]},
}


@dataclass(frozen=True)
class Told:
    """What a process says at its end.

    Attributes:
        most: changes that waited at a time.
        drained_s: from its last event until all was stored.
    """

    ids: list[str]
    most: int
    drained_s: float
    events_hz: float


def happening(camera: str, now_s: float) -> tuple[EventChange, EventChange]:
    """An event's start and its end."""
    peak = Peak(7.5, now_s, 0.0, (Box(0.1, 0.2, 0.3, 0.4),), (("appearance", 7.5), ("motion", 3.25)))
    begun = Event(uuid7(now_s), camera, "", now_s, 0.0, peak, 5.0, 4.0)
    ended = replace(begun, end_wall_s=now_s + 1, end_time_s=1.0, reason=EndReason.NORMAL)
    return EventChange(EventType.ANOMALY_STARTED, begun, now_s), EventChange(EventType.ANOMALY_ENDED, ended, now_s + 1)


def work(number: int, url: str, events_hz: float, seconds: float) -> Told:
    """One process."""
    clock, folder = SystemClock(), Path("/nowhere")
    database = open_database(url, folder)
    cameras = [f"cam{number}-{of}" for of in range(CAMERAS)]
    tokens = CameraLeases(database, f"process {number}", clock=clock, lasts_s=600.0).hold(cameras)
    router = NotificationRouter(Config.model_validate(SITE).alerts, clock, links_to(None, clips=False))
    store = EventStore(database, router, tokens.get)
    writer = EvidenceWriter(folder, lossless=False)
    metrics = Metrics()
    publisher = Publisher(store, writer, subscribers=Subscribers(), metrics=metrics, clock=clock)
    publisher.start(ThreadGuard(clock))
    print("ready", flush=True)
    sys.stdin.readline()
    ids, most, began_s = list[str](), 0, time.monotonic()
    while (passed_s := time.monotonic() - began_s) < seconds:
        while len(ids) < passed_s * events_hz:
            changes = happening(cameras[len(ids) % CAMERAS], clock.wall_s())
            ids.append(changes[0].event.id)
            for change in changes:
                publisher.publish(Publication(change))
        most = max(most, int(metrics.registry.get_sample_value("streamwatch_queue_length", {"queue": "changes"}) or 0))
        time.sleep(0.005)
    ended_s = time.monotonic()
    if not publisher.stop(300.0):
        raise AssertionError("not all was stored")
    database.dispose()
    return Told(ids, most, time.monotonic() - ended_s, len(ids) / (ended_s - began_s))


def run(server: PostgresServer, events_hz: float, seconds: float, away_s: float) -> list[Told]:
    """All processes, and the server that is killed half way."""
    url = f"{server.url}/postgres"
    open_database(url, Path("/nowhere")).dispose()
    arguments = [sys.executable, "-m", "benchmarks.shared_database", "--url", url]
    arguments += ["--events-hz", str(events_hz), "--seconds", str(seconds)]
    begun = [
        subprocess.Popen(
            [*arguments, "--number", str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    for process in begun:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in begun:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    if away_s:
        time.sleep(seconds / 2)
        server.kill()
        time.sleep(away_s)
        server.start()
    told = []
    for process in begun:
        out, _ = process.communicate(timeout=600)
        assert process.returncode == 0
        told.append(Told(**json.loads(out.splitlines()[-1])))
    return told


def require_whole(url: str, told: list[Told]) -> None:
    """Every event is there once, has ended, and is told of twice.

    Raises:
        AssertionError: one is not.
    """
    database = create_engine(url)
    with database.connect() as connection:
        stored = Counter(connection.scalars(select(events.c.id)))
        ended = connection.scalar(select(func.count()).select_from(events).where(events.c.reason == "normal"))
        messages = Counter(connection.scalars(select(outbox.c.subject)))
    database.dispose()
    ids = [event_id for one in told for event_id in one.ids]
    assert stored == Counter(ids), "an event is lost, or there twice"
    assert ended == len(ids), "an event has not ended"
    assert messages == Counter(dict.fromkeys(ids, 2)), "a message is lost, or there twice"


def main() -> None:
    """Measure and write benchmarks/shared_database.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events-hz", type=float, default=500.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--away", type=float, default=5.0)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.url:
        print(json.dumps(vars(work(options.number, options.url, options.events_hz, options.seconds))))
        return
    programs = server_programs()
    if programs is None:
        sys.exit("no PostgreSQL server on this machine (Debian package postgresql)")
    with tempfile.TemporaryDirectory() as folder, running_postgres(programs, Path(folder)) as server:
        told = run(server, options.events_hz, options.seconds, options.away)
        require_whole(f"{server.url}/postgres", told)
    slowest, most = min(one.events_hz for one in told), max(one.most for one in told)
    figures = [
        Figure(
            f"{PROCESSES} processes, each: events that start and end", round(slowest, 1), "events/s", f"{options.events_hz:g}"
        ),
        Figure(f"The server killed for {options.away:g} s: changes that waited in a process", most, "changes", "at most 20000"),
        Figure("... until all was stored, after the last event", round(max(one.drained_s for one in told), 1), "s"),
        Figure("Events lost, or stored twice; messages lost, or there twice", 0, "", "0"),
    ]
    record("shared_database", "One database for several processes", figures)
    for figure in figures:
        print(f"{figure.what}: {figure.value} {figure.unit}")


if __name__ == "__main__":
    main()
