"""How fast a full outbox drains to a local receiver, and in how much memory.

python -m benchmarks.deliveries [--messages 10000]
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.results import Figure, record
from benchmarks.sender_kills import fill, start, write_site
from streamwatch.store.outbox.administration import OutboxAdministration
from streamwatch.store.outbox.leases import Outbox
from streamwatch.store.sessions import open_database

AT_LEAST_HZ = 200.0
MEMORY_GROWTH_AT_MOST = 1.05


def rss_mib(pid: int) -> float:
    """Resident memory of a process."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def drain(messages: int, folder: Path) -> tuple[float, float, float]:
    """Messages per second; MiB of the sender after a tenth of them, and at the end."""
    engine = open_database(None, folder / "data")
    outbox, administration = Outbox(engine), OutboxAdministration(engine)
    fill(outbox, messages)
    # The receiver is another process, as it would be: in this one it would take the sender's pace as its own.
    receiver = subprocess.Popen([sys.executable, "-m", "tools.plain_receiver"], stdout=subprocess.PIPE, text=True)
    assert receiver.stdout
    url = receiver.stdout.readline().strip()
    sender = start(write_site(folder, url))
    early = late = 0.0
    began_s: float | None = None
    try:
        while (depth := administration.depths().get("ops")) is not None:
            if depth.pending < messages and began_s is None:
                began_s, at_first = time.monotonic(), depth.pending
            if depth.pending < 0.9 * messages:
                early, late = early or rss_mib(sender.pid), rss_mib(sender.pid)
            time.sleep(0.05)
        took_s = time.monotonic() - (began_s or time.monotonic())
    finally:
        sender.terminate()
        sender.wait()
        receiver.terminate()
        receiver.wait()
    return at_first / took_s, early, late


def main() -> int:
    """Run, print, and say by the exit code whether both bounds held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rate_hz, early, late = drain(arguments.messages, Path(folder))
    print(f"{arguments.messages} messages: {rate_hz:.0f} per second, memory {early:.0f} to {late:.0f} MiB ({late / early:.3f})")
    record(
        "deliveries",
        "Deliveries to a local receiver",
        [
            Figure(f"{arguments.messages:,} signed messages drain at", round(rate_hz), "a second", f"at least {AT_LEAST_HZ:g}"),
            Figure(
                "the sender's memory, at its end over its beginning",
                round(late / early, 3),
                "",
                f"at most {MEMORY_GROWTH_AT_MOST:g}",
            ),
        ],
    )
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    return 0 if rate_hz >= AT_LEAST_HZ and late <= MEMORY_GROWTH_AT_MOST * early else 1


if __name__ == "__main__":
    sys.exit(main())
