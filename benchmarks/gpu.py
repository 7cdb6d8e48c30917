"""What one GPU scores, and how well its precisions agree with float64: the measuring half of ``make gpu``.

python -m benchmarks.gpu [--device cuda] [--seconds 5] [--cameras 100]

Frames lie in the host's memory as decoders leave them; what is measured is all from there to levels: the upload, the network,
the distances to each camera's own Gaussians, the maps' way back, filters and levels. Takes under 5 minutes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.results import Figure, record
from streamwatch.bench.footage import Camera, write_clip
from streamwatch.bench.stages import bare_network_fps, read
from streamwatch.bench.trial import Bench
from streamwatch.clock import SystemClock
from streamwatch.inference.engine import Engine, WatchedScene, device_memory
from streamwatch.inference.factory import build_engine
from streamwatch.inference.precision import MAP_ERROR_AT_MOST, map_error
from streamwatch.learning.fit import learn_scene
from streamwatch.learning.footage import Footage
from streamwatch.model.embedding.identity import BackboneSpec
from streamwatch.model.scene import SceneModel
from streamwatch.records import Frame
from streamwatch.video.sources import parse_source
from streamwatch.video.streams.opener import PyAvOpener

SPEC = BackboneSpec(weights="untrained")
SENT = Camera(640, 480, 10.0)
LEARNED_S, SCORED_S = 40.0, 6.4
BATCHES = (1, 16, 64, 256)
FLOAT32_ERROR_AT_MOST = 1e-4
ONE_MODEL_FPS, MANY_MODELS_FPS = 10_000, 6_000


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        seconds: of each figure.
    """

    device: str
    seconds: float
    cameras: int
    batches: Sequence[int] = BATCHES

    @property
    def precisions(self) -> tuple[str, ...]:
        """What the device computes in."""
        return ("float32", "bf16", "fp16") if self.device.startswith("cuda") else ("float32", "bf16")


def learned(folder: Path, device: str) -> tuple[SceneModel, list[Frame]]:
    """A scene, and other frames of it."""
    footage = Footage((parse_source(str(write_clip(folder / "normal.mp4", SENT, LEARNED_S))),), fps=None, features="both")
    engine = build_engine(SPEC, device=device, precision="float32")
    model = learn_scene(footage, engine, opener=PyAvOpener(), clock=SystemClock()).model
    return model, read(write_clip(folder / "other.mp4", SENT, SCORED_S, 1), "cam", motion_step_s=model.motion_step_s)


def appearance(engine: Engine, model: SceneModel, frames: Sequence[Frame]) -> torch.Tensor:
    """(N, h, w) float64 appearance maps of frames."""
    engine.watch("cam", WatchedScene(model))
    maps = [one.appearance for one in engine.field_maps(frames)]
    return torch.from_numpy(np.stack([one for one in maps if one is not None])).double()


def agreement(model: SceneModel, frames: Sequence[Frame], sizes: Sizes) -> Iterator[Figure]:
    """How far each precision's maps are from float64's, as a share of each map's highest value."""
    reference = appearance(build_engine(SPEC, device=sizes.device, precision="reference"), model, frames)
    for precision in sizes.precisions:
        error = map_error(appearance(build_engine(SPEC, device=sizes.device, precision=precision), model, frames), reference)
        bound = FLOAT32_ERROR_AT_MOST if precision == "float32" else MAP_ERROR_AT_MOST
        yield Figure(f"{precision}: maps differ from float64's by at most", f"{error:.1e}", "", f"at most {bound:.0e}")


def batch_seconds(engine: Engine, frames: Sequence[Frame], cameras: int, batch: int, seconds: float) -> list[float]:
    """How long each of the batches took that were scored in so many seconds, the cameras in turn."""
    taken: list[float] = []
    began_s, number = time.perf_counter(), 0
    while time.perf_counter() - began_s < seconds or len(taken) < 3:
        chosen = []
        for _ in range(batch):
            frame, camera = frames[number % len(frames)], f"cam{number % cameras}"
            chosen.append(replace(frame, camera=camera, time_s=number / cameras / SENT.rate_hz))
            number += 1
        at_s = time.perf_counter()
        engine.score(chosen)
        taken.append(time.perf_counter() - at_s)
    return taken[1:]


def throughput(model: SceneModel, frames: Sequence[Frame], sizes: Sizes, precision: str, cameras: int) -> Iterator[Figure]:
    """Frames a second and the time of a batch, by the size of a batch."""
    engine = build_engine(SPEC, device=sizes.device, precision=precision)
    for number in range(cameras):
        engine.watch(f"cam{number}", WatchedScene(model))
    who, asked = (f"{cameras} cameras" if cameras > 1 else "one camera"), MANY_MODELS_FPS if cameras > 1 else ONE_MODEL_FPS
    for batch in sizes.batches:
        taken = batch_seconds(engine, frames, cameras, batch, sizes.seconds)
        low, high = (1e3 * float(np.quantile(taken, share)) for share in (0.5, 0.99))
        fps = batch / statistics.median(taken)
        what = f"{precision}, {who}, batches of {batch}"
        yield Figure(f"{what}: scored, decisions included", round(fps, 1), "frames/s", f"{asked} is asked of one card")
        yield Figure(f"{what}: a batch takes (median; 99 %)", f"{low:.1f}; {high:.1f}", "ms")
    if sizes.device.startswith("cuda"):
        yield Figure(f"{precision}, {who}: GPU memory", round(device_memory()["allocated"] / 2**20), "MiB")


def live(folder: Path, model: SceneModel, sizes: Sizes) -> Iterator[Figure]:
    """The daemon on as many cameras at 5 frames a second, which the host's cores decode."""
    trial = Bench(folder, model, Camera(640, 480, 5.0), 5.0, device=sizes.device).run(sizes.cameras, 2 * sizes.seconds)
    yield Figure(
        f"Live, {sizes.cameras} cameras: scored of {trial.offered_fps:g} frames/s", round(trial.scored_fps, 1), "frames/s"
    )
    low, high, _ = trial.latency_s
    yield Figure("... from capture to score (median; 99 %)", f"{1e3 * low:.0f}; {1e3 * high:.0f}", "ms", "40; 100")


def measure(folder: Path, sizes: Sizes) -> Iterator[Figure]:
    """All figures, each as it is found."""
    model, frames = learned(folder, sizes.device)
    yield from agreement(model, frames[:8], sizes)
    for precision in sizes.precisions:
        bare = bare_network_fps(build_engine(SPEC, device=sizes.device, precision=precision), max(sizes.batches))
        yield Figure(f"{precision}: the network alone, batches of {max(sizes.batches)}", round(bare, 1), "frames/s")
        for cameras in dict.fromkeys((1, sizes.cameras)):
            yield from throughput(model, frames, sizes, precision, cameras)
    yield from live(folder, model, sizes)


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--cameras", type=int, default=100)
    arguments = parser.parse_args()
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as name:
        for figure in measure(Path(name), Sizes(arguments.device, arguments.seconds, arguments.cameras)):
            found.append(figure)
            print(f"{figure.what}: {figure.value} {figure.unit} {figure.bound}", flush=True)
    record("gpu", "One GPU", found)


if __name__ == "__main__":
    main()
