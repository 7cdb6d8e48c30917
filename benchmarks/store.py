"""Do questions to the event store stay fast at a million events?

python -m benchmarks.store [--events 1000000]
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from benchmarks.results import Figure, record
from streamwatch.enums import Severity
from streamwatch.store.event_store import EventQuery, EventStore
from streamwatch.store.sessions import open_database
from streamwatch.store.tables import events

CAMERAS = 16
EVERY_S = 30.0
REPEATS = 200


@dataclass(frozen=True)
class Timing:
    """Milliseconds that a question takes: median and 99th percentile."""

    median_ms: float
    p99_ms: float


def questions(count: int, rng: random.Random) -> dict[str, EventQuery]:
    """One of every kind, at a random place."""
    at_s, camera = rng.uniform(0.1, 0.9) * count * EVERY_S, f"cam{rng.randrange(CAMERAS)}"
    return {
        "newest": EventQuery(),
        "an hour of all cameras": EventQuery(since_s=at_s, until_s=at_s + 3600),
        "a camera": EventQuery(camera=camera),
        "a camera until a time": EventQuery(camera=camera, until_s=at_s),
        "alerts until a time": EventQuery(severity=Severity.ALERT, until_s=at_s),
        "alerts of a camera": EventQuery(camera=camera, severity=Severity.ALERT),
        "open": EventQuery(state="open"),
        "open of a camera": EventQuery(camera=camera, state="open"),
        "labelled": EventQuery(label="normal"),
        "the next page": EventQuery(before=(at_s, "x")),
        "the next page of a camera": EventQuery(camera=camera, before=(at_s, "x")),
    }


def fill(engine: Engine, count: int) -> None:
    """Events of 16 cameras, one in twenty an alert, one in ten thousand labelled, the last of every camera open."""
    with engine.begin() as connection:
        for part in range(0, count, 10_000):
            rows = list(_rows(range(part, min(part + 10_000, count)), count))
            connection.execute(events.insert(), rows)


def _rows(numbers: range, count: int) -> Iterator[dict[str, Any]]:
    for n in numbers:
        start_s = n * EVERY_S
        ended = n < count - CAMERAS
        yield {
            "id": f"{n:08d}-0000-7000-8000-000000000000", "camera": f"cam{n % CAMERAS}", "zone": "",
            "start_wall_s": start_s, "start_time_s": start_s,
            "end_wall_s": start_s + 5 if ended else None, "end_time_s": start_s + 5 if ended else None,
            "peak_score": 9.0, "peak_wall_s": start_s + 1, "peak_time_s": start_s + 1, "boxes": [],
            "start_threshold": 6.0, "end_threshold": 4.0, "reason": "normal" if ended else None, "predecessor_id": None,
            "fields": {}, "severity": "alert" if (n // CAMERAS) % 20 == 0 else "warning", "provisional": False,
            "label": "normal" if n % 10_000 == 0 else None,
        }  # fmt: skip


def measure(store: EventStore, count: int, repeats: int = REPEATS) -> dict[str, Timing]:
    """Every question many times, at random places."""
    rng = random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in questions(count, rng)}
    for _ in range(repeats):
        for name, query in questions(count, rng).items():
            began_s = time.perf_counter()
            store.list_events(query)
            seconds[name].append(time.perf_counter() - began_s)
    return {
        name: Timing(1000 * statistics.median(taken), 1000 * statistics.quantiles(taken, n=100)[-1])
        for name, taken in seconds.items()
    }


def timings(count: int, repeats: int = REPEATS) -> dict[str, Timing]:
    """Timings on a fresh SQLite database of ``count`` events."""
    with tempfile.TemporaryDirectory() as folder:
        engine = open_database(None, Path(folder))
        fill(engine, count)
        store = EventStore(engine)
        try:
            return measure(store, count, repeats)
        finally:
            store.close()


def main() -> None:
    """Print a table: 10,000 events against a million."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    arguments = parser.parse_args()
    few, many = timings(10_000), timings(arguments.events)
    slowest = max(many.values(), key=lambda timing: timing.median_ms)
    record(
        "store",
        "Questions to the event store",
        [
            figure
            for name, timing in many.items()
            for figure in (
                Figure(f"{name}: median at 10,000 events", round(few[name].median_ms, 2), "ms"),
                Figure(f"{name}: median at {arguments.events:,} events", round(timing.median_ms, 2), "ms"),
            )
        ],
        slowest_ms=slowest.median_ms,
    )
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; pages of 100 events")
    print(f"| question | 10,000 events | {arguments.events:,} events | p99 |\n|---|---|---|---|")
    for name, timing in many.items():
        print(f"| {name} | {few[name].median_ms:.2f} ms | {timing.median_ms:.2f} ms | {timing.p99_ms:.2f} ms |")


if __name__ == "__main__":
    main()
