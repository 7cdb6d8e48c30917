"""What one GPU scores, and how well its precisions agree with float64: the measuring half of ``make gpu``.

python -m benchmarks.gpu [--device cuda] [--seconds 2] [--cameras 100]

Two ways of a frame are measured: from pictures that lie on the device (``resident``), which is what the device and the host's
decisions do, and from the host's memory as decoders leave them, which adds the way up. Both end at levels, with all decisions
taken. Then what half of that load waits, and the daemon with all its decoding. Takes under 4 minutes.
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
from streamwatch.inference.precision import HALF_FROM_FRAME, MAP_ERROR_AT_MOST, map_error
from streamwatch.inference.upload import host_batch
from streamwatch.learning.fit import learn_scene
from streamwatch.learning.footage import Footage
from streamwatch.model.batches import FrameBatch, sent
from streamwatch.model.embedding.identity import BackboneSpec
from streamwatch.model.scene import SceneModel
from streamwatch.records import Frame
from streamwatch.threads import long_lived
from streamwatch.video.sources import parse_source
from streamwatch.video.streams.opener import PyAvOpener

SPEC = BackboneSpec(weights="untrained")
SENT = Camera(640, 480, 10.0)
LEARNED_S, SCORED_S = 40.0, 6.4
BATCHES = (1, 16, 64, 256, 512)
FLOAT32_ERROR_AT_MOST = 1e-4
ONE_MODEL_FPS, MANY_MODELS_FPS = 10_000, 6_000
HALF_LOAD_MS = "40; 100"
PAUSE_MS = 5


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


class Resident:
    """Pictures that lie on the device, taken by their frames' number."""

    def __init__(self, frames: Sequence[Frame], device: torch.device) -> None:
        batch = host_batch(frames)
        self._rows = {frame.index: row for row, frame in enumerate(frames)}
        self._pixels, self._speed = batch.pixels.to(device), batch.speed.to(device)

    def __call__(self, frames: Sequence[Frame]) -> FrameBatch:
        """Frames as tensors on the device."""
        at = sent(np.array([self._rows[frame.index] for frame in frames]), self._pixels.device)
        times = torch.tensor([frame.time_s for frame in frames], dtype=torch.float64)
        return FrameBatch(self._pixels[at], self._speed[at], times)


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


class Turns:
    """An engine's cameras, each of which sends the same pictures again and again, in turn."""

    def __init__(self, engine: Engine, model: SceneModel, frames: Sequence[Frame], cameras: int) -> None:
        self.engine, self._frames, self._cameras, self._sent = engine, frames, cameras, 0
        for number in range(cameras):
            engine.watch(f"cam{number}", WatchedScene(model))

    def next(self, count: int) -> list[Frame]:
        """The next frames."""
        chosen = []
        for number in range(self._sent, self._sent + count):
            frame, time_s = self._frames[number % len(self._frames)], number / self._cameras / SENT.rate_hz
            chosen.append(replace(frame, camera=f"cam{number % self._cameras}", time_s=time_s))
        self._sent += count
        return chosen

    def settle(self, batch: int) -> None:
        """Score until each camera's precision is chosen and the device has made its plans."""
        for _ in range(0, max(self._cameras * HALF_FROM_FRAME, 3 * batch), batch):
            self.engine.score(self.next(batch))

    def batch_seconds(self, batch: int, seconds: float) -> list[float]:
        """How long each of the batches took that were scored in so many seconds, at least two."""
        taken: list[float] = []
        began_s = time.perf_counter()
        while time.perf_counter() - began_s < seconds or len(taken) < 2:
            chosen, at_s = self.next(batch), time.perf_counter()
            self.engine.score(chosen)
            taken.append(time.perf_counter() - at_s)
        return taken

    def waits_s(self, fps: float, seconds: float, at_most: int) -> list[float]:
        """How long each frame waits from its coming to its score, where so many come in a second, evenly."""
        waits, began_s, taken = list[float](), time.perf_counter(), 0
        while taken < max(fps * seconds, 1):
            here = min(int((time.perf_counter() - began_s) * fps) - taken, at_most)
            if here <= 0:
                time.sleep(0.0005)
                continue
            self.engine.score(self.next(here))
            done_s = time.perf_counter() - began_s
            waits += [done_s - (taken + number) / fps for number in range(here)]
            taken += here
        return waits


def throughput(turns: Turns, sizes: Sizes, what: str, asked: str) -> Iterator[Figure]:
    """Frames a second and the time of a batch, by the size of a batch, and what half of the most waits."""
    turns.settle(max(sizes.batches))
    with long_lived():  # as a daemon does
        yield from _settled(turns, sizes, what, asked)


def _settled(turns: Turns, sizes: Sizes, what: str, asked: str) -> Iterator[Figure]:
    best_fps = 0.0
    for batch in sizes.batches:
        turns.engine.score(turns.next(batch))
        taken = turns.batch_seconds(batch, sizes.seconds)
        low, high = (1e3 * float(np.quantile(taken, share)) for share in (0.5, 0.99))
        fps = batch / statistics.median(taken)
        best_fps = max(best_fps, fps)
        yield Figure(f"{what}, batches of {batch}: scored, decisions included", round(fps, 1), "frames/s", asked)
        yield Figure(f"{what}, batches of {batch}: a batch takes (median; 99 %)", f"{low:.1f}; {high:.1f}", "ms")
    waits = turns.waits_s(best_fps / 2, sizes.seconds, max(sizes.batches))
    low, high = (1e3 * float(q) for q in np.quantile(waits, (0.5, 0.99)))
    name = f"{what}, at {best_fps / 2:.0f} frames/s: a frame waits (median; 99 %)"
    yield Figure(name, f"{low:.1f}; {high:.1f}", "ms", HALF_LOAD_MS)


def ways(model: SceneModel, frames: Sequence[Frame], sizes: Sizes, precision: str, cameras: int) -> Iterator[Figure]:
    """Throughput of resident pictures and of the host's."""
    engine = build_engine(SPEC, device=sizes.device, precision=precision)
    turns, upload = Turns(engine, model, frames, cameras), engine.batch_of
    who, asked = (f"{cameras} cameras", MANY_MODELS_FPS) if cameras > 1 else ("one camera", ONE_MODEL_FPS)
    engine.batch_of = Resident(frames, engine.device)
    yield from throughput(turns, sizes, f"{precision}, {who}, resident", f"{asked} is asked of one card")
    engine.batch_of = upload
    large = replace(sizes, batches=sizes.batches[-2:])
    yield from throughput(turns, large, f"{precision}, {who}, from the host", "")
    if sizes.device.startswith("cuda"):
        yield Figure(f"{precision}, {who}: GPU memory", round(device_memory()["allocated"] / 2**20), "MiB")


def pauses(seconds: float) -> Figure:
    """How often the machine itself stands still: gaps in a loop that only looks at the clock. Every wait here includes them."""
    long_ms, last_s = list[float](), time.perf_counter()
    until_s = last_s + seconds
    while last_s < until_s:
        now_s = time.perf_counter()
        if 1e3 * (now_s - last_s) >= PAUSE_MS:
            long_ms.append(1e3 * (now_s - last_s))
        last_s = now_s
    what = f"The machine stands still for {PAUSE_MS} ms or more (times in a second; longest)"
    return Figure(what, f"{len(long_ms) / seconds:.1f}; {max(long_ms, default=0.0):.0f}", "1/s; ms")


def live(folder: Path, model: SceneModel, sizes: Sizes) -> Iterator[Figure]:
    """The daemon on as many cameras at 5 frames a second, which the host's cores decode."""
    trial = Bench(folder, model, Camera(640, 480, 5.0), 5.0, device=sizes.device).run(sizes.cameras, 4 * sizes.seconds)
    yield Figure(
        f"Live, {sizes.cameras} cameras: scored of {trial.offered_fps:g} frames/s", round(trial.scored_fps, 1), "frames/s"
    )
    low, high, _ = trial.latency_s
    yield Figure("... from capture to score (median; 99 %)", f"{1e3 * low:.0f}; {1e3 * high:.0f}", "ms", HALF_LOAD_MS)


def measure(folder: Path, sizes: Sizes) -> Iterator[Figure]:
    """All figures, each as it is found."""
    yield pauses(sizes.seconds)
    model, frames = learned(folder, sizes.device)
    yield from agreement(model, frames[:8], sizes)
    for precision in ("auto", *sizes.precisions):
        if precision != "auto":
            bare = bare_network_fps(build_engine(SPEC, device=sizes.device, precision=precision), max(sizes.batches))
            yield Figure(f"{precision}: the network alone, batches of {max(sizes.batches)}", round(bare, 1), "frames/s")
        for cameras in dict.fromkeys((1, sizes.cameras)):
            yield from ways(model, frames, sizes, precision, cameras)
    yield from live(folder, model, sizes)


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=2.0)
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
