"""What saturates first when a site grows to 100, 1,000 and 100,000 cameras: placement, leases, reconnects, fail-over, floods.

    python -m benchmarks.fleets

What one process or one database does is measured here; a fleet is simulated from that, with the product's own functions where
they can be called so often. docs/scale.md says what follows. Needs PostgreSQL's server (Debian package postgresql).
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.results import FOLDER, Figure, record
from benchmarks.site import learn
from streamwatch.clock import SystemClock
from streamwatch.config.schema import CameraDefaults
from streamwatch.config.sharding import Shard, spread_of
from streamwatch.daemon.sharing.held_cameras import LEASE_S, RENEWED_EVERY_S
from streamwatch.model.artifact.serialization import load_model
from streamwatch.retry import Backoff
from streamwatch.store.processes.leases import CameraLeases
from streamwatch.store.sessions import open_database
from tools.postgres import running_postgres, server_programs

FLEETS = (100, 1_000, 100_000)
CAMERAS_EACH = 50
"""Cameras of a process: what a GPU's host decodes and measures the motion of at 5 frames a second with some 16 cores."""
OUTAGE_S = 60.0
RNG = np.random.default_rng(0)


def placement(cameras: int) -> Iterator[Figure]:
    """How evenly names fall, and how long a process takes to know its share."""
    shards = cameras // CAMERAS_EACH
    if cameras * shards <= 1_000_000:
        shares = [len(share) for share in spread_of([f"camera-{number}" for number in range(cameras)], shards)]
    else:  # SHA-256 draws evenly: so many would take minutes
        shares = np.bincount(RNG.integers(shards, size=cameras), minlength=shards).tolist()
    yield Figure(
        f"{cameras:,} cameras, {shards:,} processes: cameras of the fullest, {CAMERAS_EACH} on average", max(shares), ""
    )
    one, sample = Shard(0, shards), [f"camera-{number}" for number in range(max(1, 20_000 // shards))]
    began_s = time.perf_counter()
    for camera in sample:
        one.takes(camera)
    taken_s = (time.perf_counter() - began_s) / len(sample) * cameras
    yield Figure("... a process finds its share in", round(taken_s, 3), "s")


def renewal_ms(url: str) -> float:
    """How long the renewal of one process's leases takes."""
    database = open_database(url, Path("/nowhere"))
    leases = CameraLeases(database, "one", clock=SystemClock(), lasts_s=LEASE_S)
    cameras = [f"camera-{number}" for number in range(CAMERAS_EACH)]
    taken = []
    for _ in range(100):
        began_s = time.perf_counter()
        leases.hold(cameras)
        taken.append(time.perf_counter() - began_s)
    database.dispose()
    return 1e3 * median(taken)


def load_s(folder: Path) -> float:
    """How long a model of a hundred dimensions takes to load."""
    learn(folder, ["cam"], 100)
    path, taken = folder / "data/models/cam.safetensors", []
    for _ in range(5):
        began_s = time.perf_counter()
        load_model(path)
        taken.append(time.perf_counter() - began_s)
    return median(taken)


def reconnects(cameras: int, open_timeout_s: float) -> tuple[int, float]:
    """After a minute without a network, each attempt taking its time-out: most cameras in a second, and when 99 % came."""
    at_s, failures = RNG.uniform(0, 1, cameras), np.zeros(cameras, dtype=int)
    connected_s = np.full(cameras, np.inf)
    while not np.isfinite(connected_s).all():
        back = (at_s >= OUTAGE_S) & ~np.isfinite(connected_s)
        connected_s[back] = at_s[back]
        waiting = np.flatnonzero(~np.isfinite(connected_s))
        failures[waiting] += 1
        jitter = RNG.random(len(waiting))
        delays_s = [Backoff().delay_s(int(f), float(j)) for f, j in zip(failures[waiting], jitter, strict=True)]
        at_s[waiting] += open_timeout_s + np.asarray(delays_s)
    after_s = connected_s - OUTAGE_S
    return int(np.bincount(after_s.astype(int)).max()), float(np.quantile(after_s, 0.99))


def measured(name: str, what: str) -> float:
    """A figure that another command wrote."""
    document = json.loads((FOLDER / f"{name}.json").read_text())
    return float(next(figure["value"] for figure in document["figures"] if figure["what"].startswith(what)))


def fleets(renewed_ms: float, loaded_s: float) -> Iterator[Figure]:
    """What each size comes to."""
    yield Figure(f"Leases of {CAMERAS_EACH} cameras renewed in", round(renewed_ms, 1), "ms")
    yield Figure("A model loaded in", round(loaded_s, 2), "s")
    relieved_s = LEASE_S + RENEWED_EVERY_S + CAMERAS_EACH * loaded_s
    yield Figure(
        f"A process dies: its {CAMERAS_EACH} cameras are another's, models loaded, in at most", round(relieved_s, 1), "s"
    )
    stored_hz = 2 * measured("shared_database", "2 processes")
    sent_hz = measured("deliveries", "10,000 signed messages")
    open_timeout_s = CameraDefaults().open_timeout
    for cameras in FLEETS:
        yield from placement(cameras)
        renewals, per_minute = cameras / CAMERAS_EACH * renewed_ms / 1e3 / RENEWED_EVERY_S, cameras / 60
        most, all_s = reconnects(cameras, open_timeout_s)
        yield Figure("... leases: share of one database connection's time", f"{renewals:.1%}", "")
        yield Figure(
            f"... a network is back after {OUTAGE_S:g} s: most cameras in a second; 99 % within", f"{most:,}; {all_s:.0f} s"
        )
        yield Figure("... each raises an event in one minute: of what one database takes", f"{per_minute / stored_hz:.0%}", "")
        yield Figure("... and one endpoint has heard of all, start and end, after", round(2 * cameras / sent_hz, 1), "s")


def main() -> None:
    """Measure, simulate and write benchmarks/fleets.json."""
    programs = server_programs()
    if programs is None:
        sys.exit("no PostgreSQL server on this machine (Debian package postgresql)")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "server").mkdir()
        with running_postgres(programs, Path(folder) / "server") as server:
            renewed_ms = renewal_ms(f"{server.url}/postgres")
        found = list(fleets(renewed_ms, load_s(Path(folder))))
    for figure in found:
        print(f"{figure.what}: {figure.value} {figure.unit}")
    record("fleets", "Fleets, simulated from what one process does", found)


if __name__ == "__main__":
    main()
