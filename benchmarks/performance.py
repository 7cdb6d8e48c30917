"""What this machine scores, live and offline, as ratios to its bare network in the same run.

python -m benchmarks.performance [--rounds 3] [--precision auto]

In turn, round after round, because these machines are shared: the network alone, pictures in memory to levels, a file from
decoding to levels, and the daemon on 24 cameras that offer 120 frames a second. Then the daemon at 60 % of what it scored.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.results import Figure, record
from streamwatch.bench.footage import Camera, learn, write_clip
from streamwatch.bench.planner import LOAD
from streamwatch.bench.stages import bare_network_fps, offline_fps, read, scoring_fps
from streamwatch.bench.trial import Bench, Trial
from streamwatch.inference.engine import WatchedScene
from streamwatch.inference.factory import build_engine
from streamwatch.model.embedding.identity import BackboneSpec

CAMERAS, FPS = 24, 5.0
SECONDS = 20.0
SENT = Camera(640, 480, FPS)


@dataclass
class Rounds:
    """What each round came to."""

    bare_fps: list[float] = field(default_factory=list)
    scoring_fps: list[float] = field(default_factory=list)
    offline_fps: list[float] = field(default_factory=list)
    live: list[Trial] = field(default_factory=list)

    def ratio(self, numbers: list[float]) -> float:
        """The median of the ratios to the bare network's of the same round."""
        return statistics.median(one / bare for one, bare in zip(numbers, self.bare_fps, strict=True))


def measure(bench: Bench, rounds: int) -> tuple[Rounds, Trial]:
    """The rounds, and the daemon at the planned load."""
    engine = build_engine(BackboneSpec(weights="untrained"), device=bench.device, precision=bench.precision)
    clip, found = write_clip(bench.folder / "offline.mp4", Camera(640, 480, 10.0), 16.0), Rounds()
    pictures = read(clip, "bench", motion_step_s=bench.model.motion_step_s)
    for _ in range(rounds):
        engine.watch("bench", WatchedScene(bench.model))
        found.bare_fps.append(bare_network_fps(engine))
        found.scoring_fps.append(scoring_fps(engine, pictures))
        found.offline_fps.append(offline_fps(engine, clip, bench.model))
        engine.unwatch("bench")
        found.live.append(bench.run(CAMERAS, SECONDS))
        print(found.bare_fps[-1], found.scoring_fps[-1], found.offline_fps[-1], found.live[-1], flush=True)
    scored_fps = statistics.median(trial.scored_fps for trial in found.live)
    return found, bench.run(max(int(LOAD * scored_fps / FPS), 1), SECONDS)


def figures(found: Rounds, planned: Trial) -> list[Figure]:
    """As they are held to."""
    live = [trial.scored_fps for trial in found.live]
    p99_s = statistics.median(trial.latency_s[1] for trial in found.live)
    slowest = statistics.median(trial.slowest_fps for trial in found.live)
    return [
        Figure("The network alone", round(statistics.median(found.bare_fps), 1), "frames/s"),
        Figure("Pictures in memory, both fields, to levels", round(statistics.median(found.scoring_fps), 1), "frames/s"),
        Figure("... of the network alone", round(found.ratio(found.scoring_fps), 2), "", "at least 0.85"),
        Figure("A file, from decoding and flow to levels", round(statistics.median(found.offline_fps), 1), "frames/s"),
        Figure("... of the network alone", round(found.ratio(found.offline_fps), 2), "", "at least 0.85"),
        Figure(f"Live, {CAMERAS} cameras offering {CAMERAS * FPS:g} frames/s", round(statistics.median(live), 1), "frames/s"),
        Figure("... of the network alone", round(found.ratio(live), 2), "", "at least 0.5"),
        Figure("... 99 % quantile from capture to score", round(1e3 * p99_s), "ms", "at most 1000 ms"),
        Figure("... the camera served least", round(slowest, 2), "frames/s"),
        Figure(f"Live at {LOAD:.0%} of that: cameras", planned.cameras),
        Figure("... 99 % quantile from capture to score", round(1e3 * planned.latency_s[1]), "ms", "at most 300 ms"),
        Figure("... dropped", f"{planned.dropped:.1%}", "", "at most 1 %"),
    ]


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="auto")
    arguments = parser.parse_args()
    logging.getLogger("streamwatch").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        engine = build_engine(BackboneSpec(weights="untrained"), device="auto", precision=arguments.precision)
        model = learn(folder, engine).model
        found = figures(*measure(Bench(folder, model, SENT, FPS, precision=arguments.precision), arguments.rounds))
    for figure in found:
        print(f"{figure.what}: {figure.value} {figure.unit} {figure.bound}")
    name = "performance" if arguments.precision == "auto" else f"performance_{arguments.precision}"
    record(name, f"Speed, precision {arguments.precision}", found)


if __name__ == "__main__":
    main()
