"""``kill -9`` in mid-event, again and again: the store opens, every event is closed with a reason, no id comes twice.

python -m benchmarks.crashes [--times 20]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from benchmarks.results import Figure, record
from benchmarks.site import FEW_DIMS, RATE_HZ, courtyard_loop, learn, site_config
from streamwatch.evidence.layout import path_of
from streamwatch.records import Event, UInt8Array
from streamwatch.simulator.media import encode_track
from streamwatch.simulator.server import SimulatedCamera
from streamwatch.store.event_store import EventQuery, EventStore
from streamwatch.store.sessions import open_database
from tools.footage import REPOSITORY
from tools.receiver import Receiver, running_receiver

STARTS_WITHIN_S = 90.0
A_FRAGMENT_BYTES = 4096
"""More than the head of a clip: a kill within its first second leaves no picture."""


def strange_loop() -> Iterator[UInt8Array]:
    """The courtyard with something in it that does not belong, most of the time."""
    for number, picture in enumerate(courtyard_loop()):
        if number % 50 > 10:
            picture[320:448, 32:192] = (255, 240, 0)
        yield np.asarray(picture)


def crash(folder: Path, times: int, rng: random.Random) -> Counter[str]:
    """Kill the daemon ``times`` times in mid-event, then stop it; how the events ended.

    Raises:
        AssertionError: an event has no reason, an id came twice, or a receiver did not hear of each event in order.
    """
    camera = SimulatedCamera(encode_track(strange_loop(), RATE_HZ))
    camera.start()
    learn(folder, ["cam0"], FEW_DIMS)
    path, started = folder / "site.yaml", list[str]()
    with running_receiver() as receiver:
        webhook = {"name": "ops", "url": receiver.url, "timeout": "1s"}
        document = {**site_config(folder, {"cam0": camera}, 5.0, "tcp", FEW_DIMS), "alerts": {"webhooks": [webhook]}}
        path.write_text(json.dumps(document))
        try:
            for number in range(times + 1):
                started += _run_until_event(path, rng.uniform(0, 1.5), signal.SIGTERM if number == times else signal.SIGKILL)
        finally:
            camera.stop()
        sender = [sys.executable, "-m", "streamwatch", "alerts", "send", "--until-empty", "-c", str(path)]
        subprocess.run(sender, check=True, cwd=REPOSITORY, timeout=60)
    store = EventStore(open_database(None, folder / "data"))
    events = store.list_events(EventQuery(limit=10_000))
    store.close()
    assert len({event.id for event in events}) == len(events)
    assert set(started) <= {event.id for event in events}
    assert all(event.reason for event in events), "an event without an end"
    require_told([event.id for event in events], receiver)
    require_evidence(folder / "data", [event for event in events if event.reason == "crash"])
    return Counter(str(event.reason) for event in events)


def require_told(event_ids: list[str], receiver: Receiver) -> None:
    """Every event's start and end arrived, at least once, in this order."""
    heard: dict[str, list[str]] = {}
    for request in receiver.received:
        heard.setdefault(request.event["data"]["id"], []).append(request.event["type"].rpartition(".")[2])
    for event_id in event_ids:
        types = heard.get(event_id, [])
        assert types == sorted(types, reverse=True), f"{event_id} was heard of as {types}"
        assert set(types) == {"started", "ended"}, f"{event_id} was heard of as {types}"


def require_evidence(folder: Path, crashed: list[Event]) -> None:
    """What was written of an event before the kill is named by its document; of clips, most are there, and play."""
    played = 0
    for event in crashed:
        named = json.loads(path_of(folder, "evidence", event.id).read_text())["sha256"]
        assert f"starts/{event.id}.jpg" in named
        clip = path_of(folder, "clips", event.id)
        if clip.is_file() and clip.stat().st_size > A_FRAGMENT_BYTES:
            with av.open(str(clip)) as container:
                played += next(container.decode(video=0)).width > 0
    assert played or not crashed, "no clip of a killed daemon plays"


def _run_until_event(config: Path, wait_s: float, end: signal.Signals) -> list[str]:
    """Start the daemon, wait for an event to open and a little longer, and end it; the ids of events that it began."""
    command = [sys.executable, "-m", "streamwatch", "run", "-c", str(config)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=REPOSITORY, env=environment
    )
    assert process.stdout
    ids: list[str] = []
    deadline_s = time.monotonic() + STARTS_WITHIN_S
    while not ids and time.monotonic() < deadline_s:
        if select.select([process.stdout], [], [], 1.0)[0]:
            document = json.loads(process.stdout.readline() or "{}")
            ids += [document["id"]] if document.get("type") == "anomaly.started" else []
    time.sleep(wait_s)
    process.send_signal(end)
    out, _ = process.communicate(timeout=30)
    assert ids, "no event in time"
    lines = [json.loads(line) for line in out.splitlines() if line.endswith("}")]
    return ids + [line["id"] for line in lines if line["type"] == "anomaly.started"]


def main() -> None:
    """Crash and print what became of the events."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        reasons = crash(Path(folder), arguments.times, random.Random(0))
    record(
        "crashes",
        "A daemon that is killed in mid-event",
        [Figure("kills; every event closed, no id twice", arguments.times), Figure("ends", str(dict(reasons)))],
    )
    print(f"killed {arguments.times} times in mid-event: every event closed, no id twice; ends: {dict(reasons)}")


if __name__ == "__main__":
    main()
