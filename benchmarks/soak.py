"""A long run: many simulated cameras, random faults, and nothing lost, leaked or unaccounted for.

python -m benchmarks.soak [--minutes 30] [--cameras 16] [--fps 0.7]

Without --fps the load is half of what this machine scores, measured first: one frame after the other on the threads that
the daemon uses, with nothing beside it.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import random
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.results import Figure, record
from benchmarks.site import DIMS, RATE_HZ, Site, courtyard_loop, learn, running_site
from streamwatch.enums import DropReason
from streamwatch.inference.engine import WatchedScene
from streamwatch.inference.factory import build_engine
from streamwatch.model.artifact.serialization import load_model
from streamwatch.model.embedding.identity import BackboneSpec
from streamwatch.records import SPEED_GRID, Frame
from streamwatch.simulator.faults import Fault

OFFERED_LOAD = 0.5
LOAD_AT_MOST = 0.6
RSS_GROWTH_AT_MOST = 1.02
LATENCY_P99_AT_MOST_S = 0.5
SETTLE_S = 75.0
UNDER_WAY_AT_MOST = 2
"""Descriptors and threads may differ by a request that is under way when they are counted; a leak grows by hundreds."""
FAULTS = (
    Fault("reset"),
    Fault("close"),
    Fault("stall", duration_s=1.0),
    Fault("stall", duration_s=6.0),
    Fault("refuse", duration_s=3.0),
    Fault("jump", amount=3600.0),
    Fault("loss", duration_s=6.0, amount=0.02),
    Fault("resize", duration_s=3.0),
    Fault("black", duration_s=4.0),
)


@dataclass(frozen=True)
class Resources:
    """What a process holds."""

    rss_mib: float
    descriptors: int
    threads: int

    @classmethod
    def now(cls) -> Resources:
        """Read from /proc."""
        status = Path("/proc/self/status").read_text().split("VmRSS:")[1]
        return cls(int(status.split()[0]) / 1024, len(list(Path("/proc/self/fd").iterdir())), threading.active_count())


Injected = list[tuple[float, str, str]]
"""Unix time, camera and kind of every fault."""


def soak(site: Site, seconds: float, rng: random.Random) -> tuple[Resources, Resources, Injected]:
    """Hurt random cameras for a while; resources at a fifth of the time and at the end, and the faults."""
    began_s, early = time.monotonic(), None
    faults: Injected = []
    while time.monotonic() - began_s < seconds:
        fault, camera = rng.choice(FAULTS), rng.choice(list(site.cameras))
        site.cameras[camera].inject(fault)
        faults.append((time.time(), camera, fault.kind))
        time.sleep(rng.uniform(2, 8))
        if early is None and time.monotonic() - began_s > seconds / 5:
            time.sleep(20)
            early = Resources.now()
    time.sleep(SETTLE_S)
    return early or Resources.now(), Resources.now(), faults


def capacity_hz(folder: Path, frames: int = 60) -> float:
    """Frames per second that the daemon's engine scores one by one, on the machine alone."""
    learn(folder, ["probe"])
    torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))
    engine = build_engine(BackboneSpec(weights="untrained", dims=DIMS), device="cpu", precision="auto", tile_frames=1)
    model, _provenance = load_model(folder / "data/models/probe.safetensors")
    engine.watch("probe", WatchedScene(model))
    speed = np.zeros((SPEED_GRID, SPEED_GRID), dtype=np.float32)
    pictures = [(cv2.resize(p, (256, 256)), n) for n, p in enumerate(courtyard_loop(frames=frames))]
    began_s = time.monotonic()
    for pixels, n in pictures:
        engine.score([Frame("probe", n, n / RATE_HZ, 0.0, 0.0, np.asarray(pixels, dtype=np.uint8), None, 0, speed)])
    return frames / (time.monotonic() - began_s)


def engine_load(site: Site, seconds: float) -> float:
    """Share of the time in which the engine computed."""
    value = site.metrics.registry.get_sample_value("streamwatch_inference_duration_seconds_sum", {"device": "cpu"})
    return (value or 0.0) / seconds


def print_events(site: Site, faults: Injected) -> None:
    """Every event, and what its camera had gone through shortly before."""
    for change in site.observed.changes:
        if change.type == "anomaly.started":
            event = change.event
            ages = [(kind, event.start_wall_s - at_s) for at_s, camera, kind in faults if camera == event.camera]
            before = [f"{kind} {age_s:.0f} s before" for kind, age_s in ages if 0 <= age_s < 60]
            print(f"event: {event.camera} peak {event.peak.score:.2f} (threshold {event.start_threshold:.2f}), {before[-3:]}")


def account(site: Site) -> tuple[int, int, dict[str, int], int]:
    """Frames received, scored, dropped by reason, and what is missing from the sum (frames under way)."""
    received = sum(round(site.sample("camera_frames_received_total", name)) for name in site.cameras)
    scored = sum(round(site.sample("camera_frames_scored_total", name)) for name in site.cameras)
    reasons = tuple(map(str, DropReason))
    dropped = {
        reason: sum(round(site.sample("camera_frames_dropped_total", name, reason=reason)) for name in site.cameras)
        for reason in reasons
    }
    return received, scored, dropped, received - scored - sum(dropped.values())


def main() -> int:
    """Run, print, and say by the exit code whether every bound held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--cameras", type=int, default=16)
    parser.add_argument("--fps", type=float)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        most_hz = capacity_hz(Path(folder))
    fps = arguments.fps or OFFERED_LOAD * most_hz / arguments.cameras
    with (
        tempfile.TemporaryDirectory() as folder,
        running_site(Path(folder), arguments.cameras, fps=fps, learned_fps=fps) as site,
    ):
        began_s = time.monotonic()
        early, late, faults = soak(site, 60 * arguments.minutes, random.Random(0))
        received, scored, dropped, under_way = account(site)
        load = engine_load(site, time.monotonic() - began_s)
        print_events(site, faults)
        p50_s, p99_s = (float(q) for q in np.quantile(site.observed.latencies_s, (0.5, 0.99)))
        states = site.service.readiness()
        anomalies = sum(change.type == "anomaly.started" for change in site.observed.changes)
    growth = late.rss_mib / early.rss_mib
    print(f"{arguments.minutes:g} min, {arguments.cameras} cameras at {fps:.2f} fps, {len(faults)} faults")
    offered = arguments.cameras * fps / most_hz
    print(f"the machine alone scores {most_hz:.1f} frames/s; offered {offered:.0%} of it, the engine was busy {load:.0%}")
    print(f"frames: {received} in = {scored} scored + {sum(dropped.values())} dropped {dropped} + {under_way} under way")
    print(f"capture to score: median {1000 * p50_s:.0f} ms, p99 {1000 * p99_s:.0f} ms")
    print(f"false events {anomalies}; cameras not back: {list(states.lacking)}")
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    print(f"RSS {early.rss_mib:.0f} to {late.rss_mib:.0f} MiB ({growth:.3f}), file descriptors {early.descriptors} to "
          f"{late.descriptors}, threads {early.threads} to {late.threads}")  # fmt: skip
    record(
        "soak",
        f"{arguments.minutes:g} minutes of random faults on {arguments.cameras} simulated cameras",
        [
            Figure("faults", len(faults)),
            Figure("the machine alone scores", round(most_hz, 1), "frames/s"),
            Figure("of that was offered", f"{offered:.0%}", "", f"at most {LOAD_AT_MOST:.0%}"),
            Figure("frames in", received),
            Figure("frames scored", scored),
            Figure("frames dropped", ", ".join(f"{count} {reason}" for reason, count in dropped.items() if count)),
            Figure("frames under way at the end", under_way, "", f"at most {arguments.cameras}"),
            Figure("capture to score, median", round(1000 * p50_s), "ms"),
            Figure("capture to score, p99", round(1000 * p99_s), "ms", f"at most {1000 * LATENCY_P99_AT_MOST_S:g} ms"),
            Figure("false events", anomalies, "", "0"),
            Figure("cameras that did not come back", len(states.lacking), "", "0"),
            Figure("memory, at its end over its beginning", round(growth, 3), "", f"at most {RSS_GROWTH_AT_MOST:g}"),
            Figure("file descriptors, beginning and end", f"{early.descriptors}, {late.descriptors}"),
            Figure("threads, beginning and end", f"{early.threads}, {late.threads}"),
        ],
    )
    sound = (
        0 <= under_way <= arguments.cameras
        and states.lacking == ()
        and anomalies == 0
        and growth <= RSS_GROWTH_AT_MOST
        and abs(late.descriptors - early.descriptors) <= UNDER_WAY_AT_MOST
        and abs(late.threads - early.threads) <= UNDER_WAY_AT_MOST
        and p99_s <= LATENCY_P99_AT_MOST_S
        and offered <= LOAD_AT_MOST
    )
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
