"""A sender that is killed again and again: every message arrives at least once, in order per event, under one id.

python -m benchmarks.sender_kills [--kills 200]

The sender is `streamwatch alerts send`, a process without torch. It is killed at random moments after it has begun to
deliver, and started again.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from standardwebhooks import Webhook as Verifier

from benchmarks.results import Figure, record
from streamwatch.store.outbox.administration import OutboxAdministration
from streamwatch.store.outbox.leases import Outbox
from streamwatch.store.outbox.messages import NewMessage
from streamwatch.store.sessions import open_database
from tools.receiver import Received, Receiver, running_receiver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGES_AN_EVENT = 3
MESSAGES_A_KILL = 40
START_WITHIN_S = 30.0


@dataclass(frozen=True)
class Tally:
    """What came of it."""

    messages: int
    kills: int
    lost: int
    out_of_order: int
    twice: int
    other_ids: int


def write_site(folder: Path, url: str) -> Path:
    """A configuration whose only endpoint is ``url``."""
    webhook = {"name": "ops", "url": url, "secret": SECRET, "timeout": "200ms", "events": ["*"]}
    document = {
        "version": 1,
        "data_dir": str(folder / "data"),
        "cameras": {"cam": {"source": "rtsp://127.0.0.1:1/"}},
        "alerts": {"webhooks": [webhook]},
    }
    (folder / "site.yaml").write_text(json.dumps(document))
    return folder / "site.yaml"


def fill(outbox: Outbox, count: int) -> None:
    """Messages of events with three each."""
    now_s = time.time()
    messages = [
        NewMessage(
            f"m{n}", "ops", f"e{n // MESSAGES_AN_EVENT}", "anomaly.updated", "cam",
            {"time": "2026-01-01T00:00:00.000Z", "event": n // MESSAGES_AN_EVENT, "n": n % MESSAGES_AN_EVENT}, now_s,
        )
        for n in range(count)
    ]  # fmt: skip
    outbox.put(messages)


def start(config: Path, *options: str) -> subprocess.Popen[bytes]:
    """A sender of its own."""
    return subprocess.Popen([sys.executable, "-m", "streamwatch", "alerts", "send", "-c", str(config), *options])


def kill_in_mid_delivery(config: Path, receiver: Receiver, rng: random.Random) -> None:
    """Start a sender, and kill it a moment after its first message."""
    before, sender = len(receiver.received), start(config)
    until_s = time.monotonic() + START_WITHIN_S
    while len(receiver.received) == before and time.monotonic() < until_s and sender.poll() is None:
        time.sleep(0.001)
    time.sleep(rng.uniform(0, 0.08))
    sender.kill()
    sender.wait()


def verify(requests: list[Received]) -> None:
    """Check signatures, soon after they came: five minutes later they are too old to be believed."""
    for request in requests:
        Verifier(SECRET).verify(request.body, dict(request.headers))


def tally(receiver: Receiver, count: int, kills: int) -> Tally:
    """Judge what the receiver heard."""
    heard: dict[int, list[int]] = {}
    for request in receiver.received:
        data = request.event["data"]
        heard.setdefault(data["event"], []).append(data["n"])
    numbers = {(event, n) for event, seen in heard.items() for n in seen}
    ids = {request.message_id for request in receiver.received}
    return Tally(
        count,
        kills,
        lost=count - len(numbers),
        out_of_order=sum(seen != sorted(seen) for seen in heard.values()),
        twice=len(receiver.received) - len(numbers),
        other_ids=len(ids) - len(numbers),
    )


def run(kills: int, folder: Path, seed: int = 0) -> Tally:
    """Kill so often, then deliver the rest."""
    rng, count = random.Random(seed), kills * MESSAGES_A_KILL
    engine = open_database(None, folder / "data")
    outbox, administration = Outbox(engine), OutboxAdministration(engine)
    fill(outbox, count)
    with running_receiver() as receiver:
        config = write_site(folder, receiver.url)
        done = verified = 0
        while done < kills and administration.depths():
            kill_in_mid_delivery(config, receiver, rng)
            verify(receiver.received[verified:])
            done, verified = done + 1, len(receiver.received)
        last = start(config, "--until-empty")
        last.wait(60 + count / 20)
        verify(receiver.received[verified:])
        return tally(receiver, count, done)


def main() -> int:
    """Run, print, and say by the exit code whether nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(arguments.kills, Path(folder))
    print(found)
    record(
        "sender_kills",
        "A sender that is killed again and again",
        [
            Figure("kills", found.kills),
            Figure("messages lost", found.lost, "", "0"),
            Figure("messages out of their event's order", found.out_of_order, "", "0"),
            Figure("messages under another id", found.other_ids, "", "0"),
        ],
    )
    return 0 if found.lost == found.out_of_order == found.other_ids == 0 and found.kills >= arguments.kills // 2 else 1


if __name__ == "__main__":
    sys.exit(main())
