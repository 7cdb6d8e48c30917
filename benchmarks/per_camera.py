"""What one more camera costs: memory, and the time of a frame, with 1 to 200 cameras that each have a model of their own.

python -m benchmarks.per_camera [--cameras 200]

One frame of each camera in turn, in batches as the daemon takes them under overload: every frame reads Gaussians that no other
of its batch reads. The engine is as ``precision: auto`` makes it for cameras that stay in float32, with whiteners of 16 bits
where they may be so, and is held as the daemon holds it, with its scenes to begin anew from.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.deliveries import rss_mib
from benchmarks.results import Figure, record
from streamwatch.bench.footage import Camera, learn, write_clip
from streamwatch.bench.stages import read
from streamwatch.inference.engine import Engine, WatchedScene
from streamwatch.inference.factory import build_engine
from streamwatch.inference.precision import half_whiteners
from streamwatch.inference.resilient_engine import MAX_BATCH_FRAMES, ResilientEngine
from streamwatch.model.artifact.serialization import Provenance, load_model, save_model
from streamwatch.model.embedding.identity import BackboneSpec
from streamwatch.records import Frame

COUNTS = (1, 2, 5, 10, 20, 50, 100, 200)
FEWEST = 20
ROUNDS, BATCHES = 5, 4
ROOM = 0.8
"""Share of the machine's memory that may be taken: beyond it nothing is measured."""


@dataclass(frozen=True)
class Cost:
    """With so many cameras: resident memory of the process, and a core's or all cores' time of a frame."""

    cameras: int
    rss_mib: float
    frame_s: float


def engine_of(learner: Engine) -> ResilientEngine:
    """The engine with the learner's network."""
    embedder, identity, device = learner.embedder, learner.identity, learner.device
    return ResilientEngine(lambda: Engine(embedder, identity, device, tile_frames=1, half_whiteners=half_whiteners(device)))


def measure(engine: ResilientEngine, model_path: Path, frames: list[Frame], at_most: int) -> Iterator[Cost]:
    """Add cameras to the engine, and measure at each count, up to ``at_most`` or as many as there is memory for."""
    watched = 0
    for count in (count for count in COUNTS if count <= at_most):
        while watched < count:
            engine.watch(f"camera-{watched}", WatchedScene(load_model(model_path)[0]))
            watched += 1
            if rss_mib(os.getpid()) > ROOM * _memory_mib():
                return
        yield Cost(count, rss_mib(os.getpid()), _frame_s(engine, frames, count))


def _memory_mib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20


def _frame_s(engine: ResilientEngine, frames: list[Frame], cameras: int) -> float:
    """Seconds of a frame: the median of rounds, each a few batches of one frame of each camera in turn."""
    taken, at = list[float](), 0
    for _ in range(ROUNDS + 1):
        began_s = time.perf_counter()
        for _ in range(BATCHES):
            numbers = range(at, at + min(MAX_BATCH_FRAMES, cameras))
            engine.score([_frame_of(frames, number, cameras) for number in numbers])
            at = numbers.stop
        taken.append((time.perf_counter() - began_s) / (BATCHES * min(MAX_BATCH_FRAMES, cameras)))
    return statistics.median(taken[1:])


def _frame_of(frames: list[Frame], number: int, cameras: int) -> Frame:
    """Another picture each time; its time goes on along its camera's stream."""
    frame = frames[number % len(frames)]
    return replace(frame, camera=f"camera-{number % cameras}", time_s=float(number))


def figures(costs: list[Cost]) -> list[Figure]:
    """As they are held to: flat."""
    first, last = next(cost for cost in costs if cost.cameras >= MAX_BATCH_FRAMES), costs[-1]
    per_camera_mb = 2**20 / 1e6 * (last.rss_mib - costs[0].rss_mib) / (last.cameras - costs[0].cameras)
    rows = [
        Figure(f"Cameras: {cost.cameras}", f"{1e3 * cost.frame_s:.1f} ms a frame, {cost.rss_mib:,.0f} MiB") for cost in costs
    ]
    return [
        *rows,
        Figure("Memory of one more camera, all told", round(per_camera_mb, 1), "MB", "at most 60 MB"),
        Figure(
            f"A frame's time with {last.cameras} cameras, to that with {first.cameras}",
            round(last.frame_s / first.frame_s, 2),
            "",
            "flat",
        ),
    ]


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=int, default=COUNTS[-1], help=f"at least {FEWEST}")
    arguments = parser.parse_args()
    if arguments.cameras < FEWEST:
        parser.error(f"--cameras must be at least {FEWEST}: a batch of one frame of each must be full")
    logging.getLogger("streamwatch").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        learner = build_engine(BackboneSpec(weights="untrained"), device="auto", precision="float32")
        model_path = folder / "model.safetensors"
        model = learn(folder, learner).model
        save_model(model, model_path, Provenance())
        frames = read(write_clip(folder / "clip.mp4", Camera(640, 480, 10.0), 6.0), "bench", motion_step_s=model.motion_step_s)
        del model
        costs = []
        for cost in measure(engine_of(learner), model_path, frames, arguments.cameras):
            print(f"{cost.cameras} cameras: {1e3 * cost.frame_s:.1f} ms a frame, {cost.rss_mib:,.0f} MiB", flush=True)
            costs.append(cost)
    found = figures(costs)
    points = [{"cameras": c.cameras, "rss_mib": round(c.rss_mib), "frame_ms": round(1e3 * c.frame_s, 2)} for c in costs]
    record("per_camera", "What one more camera costs", found, points=points)


if __name__ == "__main__":
    main()
