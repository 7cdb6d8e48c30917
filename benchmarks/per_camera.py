"""What one more camera costs: memory, and the time of a frame, with 1 to 200 cameras that each have a model of their own.

python -m benchmarks.per_camera [--cameras 200] [--precision auto]

One frame of each camera in turn, in batches as the daemon takes them under overload: every frame reads Gaussians that no other
of its batch reads. A camera's frames beyond the first cost less (docs/performance/).
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
from streamwatch.inference.precision import CHECKED_FRAMES
from streamwatch.inference.resilient_engine import MAX_BATCH_FRAMES
from streamwatch.model.artifact.serialization import Provenance, load_model, save_model
from streamwatch.model.embedding.identity import BackboneSpec
from streamwatch.records import Frame

COUNTS = (1, 2, 5, 10, 20, 50, 100, 200)
ROUNDS, BATCHES = 5, 4
ROOM = 0.8
"""Share of the machine's memory that may be taken: beyond it nothing is measured."""


@dataclass(frozen=True)
class Cost:
    """With so many cameras: resident memory of the process, and a core's or all cores' time of a frame."""

    cameras: int
    rss_mib: float
    frame_s: float


def measure(engine: Engine, model_path: Path, frames: list[Frame], at_most: int) -> Iterator[Cost]:
    """Add cameras to the engine, and measure at each count, up to ``at_most`` or as many as there is memory for.

    A camera's first frames, which may be scored in both precisions, are past when it is measured.
    """
    watched = 0
    for count in (count for count in COUNTS if count <= at_most):
        while watched < count:
            engine.watch(f"camera-{watched}", WatchedScene(load_model(model_path)[0]))
            engine.score([replace(frame, camera=f"camera-{watched}") for frame in frames[:CHECKED_FRAMES]])
            watched += 1
            if rss_mib(os.getpid()) > ROOM * _memory_mib():
                return
        yield Cost(count, rss_mib(os.getpid()), _frame_s(engine, frames, count))


def _memory_mib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20


def _frame_s(engine: Engine, frames: list[Frame], cameras: int) -> float:
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
    return replace(frame, camera=f"camera-{number % cameras}", time_s=CHECKED_FRAMES + float(number))


def figures(costs: list[Cost]) -> list[Figure]:
    """As they are held to: flat."""
    first, last = costs[1], costs[-1]
    per_camera = (last.rss_mib - first.rss_mib) / (last.cameras - first.cameras)
    full = [cost for cost in costs if cost.cameras >= MAX_BATCH_FRAMES]
    rows = [
        Figure(f"{cost.cameras} cameras", f"{1e3 * cost.frame_s:.1f} ms a frame, {cost.rss_mib:,.0f} MiB") for cost in costs
    ]
    return [
        *rows,
        Figure("Memory of one more camera", round(per_camera, 1), "MiB", "at most 60 MB of model"),
        Figure(
            f"A frame's time with {full[-1].cameras} cameras, to that with {full[0].cameras}",
            round(full[-1].frame_s / full[0].frame_s, 2),
            "",
            "flat",
        ),
    ]


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=int, default=COUNTS[-1])
    parser.add_argument("--precision", default="auto")
    arguments = parser.parse_args()
    logging.getLogger("streamwatch").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        engine = build_engine(BackboneSpec(weights="untrained"), device="auto", precision=arguments.precision, tile_frames=1)
        model_path = folder / "model.safetensors"
        model = learn(folder, engine).model
        save_model(model, model_path, Provenance())
        frames = read(write_clip(folder / "clip.mp4", Camera(640, 480, 10.0), 6.0), "bench", motion_step_s=model.motion_step_s)
        del model
        costs = []
        for cost in measure(engine, model_path, frames, arguments.cameras):
            print(f"{cost.cameras} cameras: {1e3 * cost.frame_s:.1f} ms a frame, {cost.rss_mib:,.0f} MiB", flush=True)
            costs.append(cost)
    found = figures(costs)
    points = [{"cameras": c.cameras, "rss_mib": round(c.rss_mib), "frame_ms": round(1e3 * c.frame_s, 2)} for c in costs]
    record("per_camera", f"What one more camera costs ({arguments.precision})", found, points=points)


if __name__ == "__main__":
    main()
