"""What people who look cost the engine: live throughput with and without viewers, in turn in one run.

Each viewer does what the live page does: it holds the stream of states and pictures with heat maps of all cameras, and reads
what comes. Slow ones connect and read nothing.

    python -m benchmarks.viewers [--rounds 10] [--seconds 5]
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from benchmarks.results import Figure, record
from benchmarks.site import Site, running_site

CAMERAS, VIEWERS, SLOW, FPS = 16, 20, 100, 5.0
QUERY = "/api/v1/stream?pictures=320&heat=true"


def scored_per_s(site: Site, seconds: float) -> float:
    """Frames that all cameras together were scored in a second."""
    status, cameras = site.service.parts.status, list(site.cameras)
    before, began_s = sum(map(status.scored, cameras)), time.monotonic()
    time.sleep(seconds)
    return (sum(map(status.scored, cameras)) - before) / (time.monotonic() - began_s)


READER = """
import selectors, socket, sys
chosen, buffer = selectors.DefaultSelector(), bytearray(1 << 20)
for _ in range(int(sys.argv[2])):
    one = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    one.sendall(sys.argv[3].encode())
    chosen.register(one, selectors.EVENT_READ)
while True:
    for key, _ in chosen.select():
        key.fileobj.recv_into(buffer)
"""
"""What viewers do on machines of their own costs little here."""


def request() -> str:
    """What a viewer asks for."""
    return f"GET {QUERY} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@contextmanager
def looked_at(port: int, viewers: int) -> Iterator[None]:
    """So many viewers, in a process of their own."""
    reader = subprocess.Popen([sys.executable, "-c", READER, str(port), str(viewers), request()])
    try:
        time.sleep(2)
        yield
    finally:
        reader.kill()
        reader.wait()


@contextmanager
def asked_slowly(port: int, clients: int) -> Iterator[None]:
    """Clients that ask for the stream and read nothing of it."""
    with ExitStack() as stack:
        for _ in range(clients):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(request().encode())
        time.sleep(2)
        yield


def main() -> None:
    """Measure and write benchmarks/viewers.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    alone: list[float] = []
    ratios: dict[str, list[float]] = {"viewers": [], "slow": []}
    with (
        tempfile.TemporaryDirectory() as folder,
        running_site(Path(folder), CAMERAS, fps=FPS, more={"web": {"listen": "127.0.0.1:0"}}) as site,
    ):
        site.observed.watch_damage = False
        port = site.service.parts.servers[0].port
        time.sleep(45)  # until each camera's precision is chosen
        for _ in range(options.rounds):
            before = scored_per_s(site, options.seconds)
            with looked_at(port, VIEWERS):
                viewed = scored_per_s(site, options.seconds)
            between = scored_per_s(site, options.seconds)
            with asked_slowly(port, SLOW):
                slow = scored_per_s(site, options.seconds)
            after = scored_per_s(site, options.seconds)
            alone += [before, between, after]
            ratios["viewers"].append(2 * viewed / (before + between))
            ratios["slow"].append(2 * slow / (between + after))
            print(f"alone {before:.1f} {between:.1f} {after:.1f}, viewed {viewed:.1f}, slow {slow:.1f} frames/s")
    viewed, slowly = (median(values) for values in ratios.values())
    offered = f"{CAMERAS} cameras that offer {CAMERAS * FPS:g} frames/s"
    figures = [
        Figure(f"{offered}: scored while nobody looks", median(alone), "frames/s"),
        Figure(f"Share of it with {VIEWERS} viewers of all pictures and heat maps", viewed, "", "0.95 or more"),
        Figure(f"Share of it with {SLOW} clients that ask for the same and read nothing", slowly, "", "0.95 or more"),
    ]
    record("viewers", "People who look", figures, ratios=ratios)
    for figure in figures:
        print(f"{figure.what}: {figure.value:.3f}")


if __name__ == "__main__":
    main()
