"""The steps of a frame's way, each timed by itself: the median of several rounds, all steps in turn in each round.

In turn, because a machine that others use is slow for seconds: then all steps are, and what one is to another stays.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from streamwatch.clock import SystemClock
from streamwatch.inference.decisions import Decisions
from streamwatch.inference.engine import Engine
from streamwatch.inference.offline import score_frames
from streamwatch.inference.precision import HALF_FROM_FRAME
from streamwatch.inference.workers import Workers, workers_for
from streamwatch.model.scene import SceneModel, rules_of
from streamwatch.records import INPUT_SIZE_PX, Frame
from streamwatch.video.optical_flow import MotionEstimator
from streamwatch.video.reader import FrameReader
from streamwatch.video.scaling import InputPicture
from streamwatch.video.sources import parse_source
from streamwatch.video.streams.opener import PyAvOpener

BATCHES = (1, 2, 4, 8, 16)
OFFLINE_BATCH = 8


@dataclass(frozen=True)
class StageTime:
    """What one step costs.

    Attributes:
        batch: frames that it takes at once.
        per_frame_s: seconds for each of them.
    """

    stage: str
    batch: int
    per_frame_s: float


Step = tuple[str, int, Callable[[], int]]
"""Its name, the frames of a batch, and what does it once and says how many frames it was."""


def read(clip: Path, camera: str, *, motion_step_s: float | None) -> list[Frame]:
    """All frames of a clip."""
    return list(_reader(clip, camera, motion_step_s).frames())


def _reader(clip: Path, camera: str, motion_step_s: float | None) -> FrameReader:
    source, clock = parse_source(str(clip)), SystemClock()
    return FrameReader(camera, source, opener=PyAvOpener(), clock=clock, motion_step_s=motion_step_s)


def time_stages(
    engine: Engine, model: SceneModel, clip: Path, rounds: int, batches: Sequence[int] = BATCHES
) -> list[StageTime]:
    """Each step on frames of ``clip``, which the engine watches as camera ``bench``."""
    frames = read(clip, "bench", motion_step_s=model.motion_step_s)
    steps = [*_reading(clip, frames), *_deciding(engine, model, frames)]
    for batch in batches:
        steps += _on_device(engine, frames, batch)
    taken: dict[tuple[str, int], list[float]] = defaultdict(list)
    for _ in range(rounds + 1):
        for name, batch, once in steps:
            began_s = time.perf_counter()
            count = once()
            taken[name, batch].append((time.perf_counter() - began_s) / count)
    return [StageTime(name, batch, statistics.median(seconds[1:])) for (name, batch), seconds in taken.items()]


def _reading(clip: Path, frames: list[Frame]) -> list[Step]:
    def decode() -> int:
        return len(read(clip, "bench", motion_step_s=None))

    def flow() -> int:
        estimator = MotionEstimator()
        for frame in frames:
            estimator.speed(InputPicture.scaled(frame.pixels), frame.time_s)
        return len(frames)

    return [("decode", 1, decode), ("flow", 1, flow)]


def _deciding(engine: Engine, model: SceneModel, frames: list[Frame]) -> list[Step]:
    batch = [replace(frame, still=None) for frame in frames[:OFFLINE_BATCH]]
    maps = [[one.appearance, one.motion] for one in engine.field_maps(batch)]
    silent, began = np.full(model.grid, np.nan, dtype=np.float32), itertools.count()
    grids = np.stack([[silent if one is None else one for one in pair] for pair in maps], axis=1)
    decisions, ready = Decisions(engine.device), torch.from_numpy(grids).to(engine.device)
    decisions.begin("bench", model, rules_of(model), ())

    def decide() -> int:
        segment = next(began)
        decisions.decide([replace(frame, segment=segment) for frame in batch], [False] * len(batch), ready)
        return len(batch)

    return [("decide", OFFLINE_BATCH, decide)]


def _on_device(engine: Engine, frames: list[Frame], batch: int) -> list[Step]:
    chosen = [frames[number % len(frames)] for number in range(batch)]
    pixels, ready = engine.batch_of(chosen).pixels, engine.scene_of("bench")
    with torch.no_grad():
        embeddings = engine.embedder(pixels)

    def embed() -> int:
        with torch.no_grad():
            float(engine.embedder(pixels)[0, 0, 0, 0])  # waits for the device
        return batch

    def distance() -> int:
        with torch.no_grad():
            float(ready.maps(embeddings, tile_frames=engine.tile_frames).scores[0])
        return batch

    return [("embed", batch, embed), ("distance", batch, distance)]


def bare_network_fps(engine: Engine, batch: int = OFFLINE_BATCH, rounds: int = 5) -> float:
    """Frames per second of the network alone, in the engine's precision, on frames that lie ready.

    By all cores on one batch, or by as many workers with a batch each: whichever is faster here.
    """
    images = torch.zeros((batch, 3, INPUT_SIZE_PX, INPUT_SIZE_PX), device=engine.device, dtype=engine.embedder.dtype)
    images = images.to(memory_format=torch.channels_last)

    def once(_part: list[int]) -> None:
        with torch.no_grad():
            float(engine.embedder.backbone(images)[-1].sum())

    workers = Workers(workers_for(engine.device))
    ways = (Workers(1), workers) if workers.count > 1 else (workers,)
    taken: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds + 1):
        for way, seconds in zip(ways, taken, strict=True):
            began_s = time.perf_counter()
            way.map(once, [[number] for number in range(way.count)])
            seconds.append((time.perf_counter() - began_s) / way.count)
    return batch / min(statistics.median(seconds[1:]) for seconds in taken)


def scoring_fps(engine: Engine, frames: Sequence[Frame], rounds: int = 5) -> float:
    """Frames per second of all that comes after reading, from pictures in memory to levels, in batches for all cores.

    Args:
        frames: of camera ``bench``, at least one; they come again and again, each time later.
    """
    batch, taken, number = engine.frames_for_all, list[float](), 0
    for _ in range(max(HALF_FROM_FRAME // batch, 1) + rounds):
        pictures = [replace(frames[n % len(frames)], time_s=float(n)) for n in range(number, number + batch)]
        began_s = time.perf_counter()
        engine.score(pictures)
        taken.append(time.perf_counter() - began_s)
        number += batch
    return batch / statistics.median(taken[-rounds:])


def offline_fps(engine: Engine, clip: Path, model: SceneModel) -> float:
    """Frames per second from a file to levels, read ahead as `score` and `backtest` read."""
    frames = _reader(clip, "bench", model.motion_step_s).frames()
    began_s = time.perf_counter()
    count = sum(1 for _ in score_frames(engine, frames))
    return count / (time.perf_counter() - began_s)
